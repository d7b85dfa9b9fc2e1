"""Floats as TensorFlow Serving prints them: worked by hand, and against C's printf rule value by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.serving.rest.json.numbers import float_texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (2, "2.0"),
        (-0.0, "-0.0"),
        (999999, "999999.0"),
        (1e6, "1e+06"),
        (9e6, "9e+06"),
        (1234567, "1234567.0"),
        (555557.5, "555557.5"),
        (0.00003, "3e-05"),
        (1 / 3, "0.333333343"),
        (16777216, "16777216.0"),
        (1e-45, "1.4013e-45"),
        (3.4028235e38, "3.40282347e+38"),
        (np.nan, "NaN"),
        (np.inf, "Infinity"),
        (-np.inf, "-Infinity"),
    ],
)
def test_a_float32_is_printed_at_its_own_precision(value: float, text: str) -> None:
    assert float_texts(np.array([value], np.float32)) == [text]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1 / 3, "0.33333333333333331"),
        (123456789, "123456789.0"),
        (1e17, "1e+17"),
        (12345678901234567, "12345678901234568.0"),
        (5e-324, "4.94066e-324"),
    ],
)
def test_a_float64_is_printed_at_its_own_precision(value: float, text: str) -> None:
    assert float_texts(np.array([value], np.float64)) == [text]


def test_half_floats_are_printed_as_float32() -> None:
    assert float_texts(np.array([0.5, 0.1], np.float16)) == ["0.5", "0.0999755859"]


def test_nothing_is_printed_of_nothing() -> None:
    assert float_texts(np.zeros(0, np.float32)) == []


def by_printf(value: Any, full: str) -> str:
    text = f"{float(value):g}"
    with np.errstate(over="ignore"):
        if type(value)(float(text)) != value:
            text = full % float(value)
    return text if "." in text or "e" in text else f"{text}.0"


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=50))
def test_float32_texts_follow_the_rule_and_read_back(values: list[float]) -> None:
    array = np.array(values, np.float32)
    texts = float_texts(array)
    assert texts == [by_printf(value, "%.9g") for value in array]
    assert np.array_equal(np.array(list(map(float, texts))).astype(np.float32), array)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=50))
def test_float64_texts_follow_the_rule_and_read_back(values: list[float]) -> None:
    array = np.array(values, np.float64)
    texts = float_texts(array)
    assert texts == [by_printf(value, "%.17g") for value in array]
    assert np.array_equal(np.array(list(map(float, texts))), array)


def test_any_bits_and_any_short_decimal_follow_the_rule() -> None:
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2**32, 20_000, np.uint32).view(np.float32)
    decimals = (rng.integers(1, 10**7, 20_000) * 10.0 ** rng.integers(-44, 32, 20_000)).astype(np.float32)
    array = np.concatenate([bits[np.isfinite(bits)], decimals[np.isfinite(decimals)]])
    assert float_texts(array) == [by_printf(value, "%.9g") for value in array]
