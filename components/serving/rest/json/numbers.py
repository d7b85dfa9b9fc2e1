"""Floats as TensorFlow Serving prints them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray


class _Form(NamedTuple):
    full: str  # max_digits10 digits
    whole_below: float  # up to where `full` prints whole numbers without an exponent


_FORMS: Final = {np.dtype(np.float32): _Form("%.9g", 1e9), np.dtype(np.float64): _Form("%.17g", 1e17)}
_SHORT: Final = _Form("%g", 1e6)
# `%.0s` takes the value and prints nothing.
_NAN, _INFINITY, _NEGATIVE_INFINITY = "%.0sNaN", "%.0sInfinity", "%.0s-Infinity"


def float_texts(values: NDArray[Any]) -> list[str]:
    """Returns one text for each of float32[n] or float64[n]: six digits, or all if six do not read back.

    float_texts(float32[0.1, 2, 1e6, 1/3, nan]) -> ["0.1", "2.0", "1e+06", "0.333333343", "NaN"]

    As `WriteDecimal` in TensorFlow Serving's util/json_tensor.cc; other floats are taken as float32.
    """
    if not values.size:
        return []
    if values.dtype not in _FORMS:
        values = values.astype(np.float32)
    form = _FORMS[values.dtype]
    exact = values.astype(np.float64)
    short = _six_digits_read_back(values, exact)
    # What prints neither a point nor an exponent gets a point, so that a reader sees a float.
    limit = np.where(short, _SHORT.whole_below, form.whole_below)
    whole = (exact == np.rint(exact)) & (np.abs(exact) < limit)
    formats = [
        form.full,
        _SHORT.full,
        f"{form.full}.0",
        f"{_SHORT.full}.0",
        _NAN,
        _INFINITY,
        _NEGATIVE_INFINITY,
    ]
    codes = short + 2 * whole
    if not np.isfinite(exact).all():
        codes = np.select([np.isnan(exact), np.isposinf(exact), np.isneginf(exact)], [4, 5, 6], codes)
    return ("\n".join(np.array(formats, object)[codes]) % tuple(exact.tolist())).split("\n")


def _six_digits_read_back(values: NDArray[Any], exact: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether "%g" of each value reads back as the value; text is made only where arithmetic says it may."""
    with np.errstate(all="ignore"):
        scale = 10.0 ** (5 - np.floor(np.log10(np.abs(exact))))
        rounded = np.rint(exact * scale) / scale
        # The arithmetic itself is off by a few units in the last place of float64.
        tolerance = np.spacing(np.abs(values)).astype(np.float64) * (1 if values.dtype == np.float32 else 4)
        maybe = ~(np.abs(rounded - exact) > tolerance)
    places = np.flatnonzero(maybe & np.isfinite(exact))
    texts = [_SHORT.full % number for number in exact[places].tolist()]
    with np.errstate(over="ignore"):  # "%g" of the largest float32 is beyond it
        back = np.array(texts, np.float64).astype(values.dtype)
    result = np.zeros(values.shape, np.bool_)
    result[places] = back == values[places]
    return result
