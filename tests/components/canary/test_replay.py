from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from components.canary.replay import NotRepeated, Record, Tensors, Tolerance, compare, replay

RECORD = Record("double", {"x": np.array([1.0, 2.0])}, {"y": np.array([2.0, 4.0])})


def double(signature: str, inputs: Tensors) -> Tensors:
    return {"y": inputs["x"] * 2}


def test_equal_answers_are_ok() -> None:
    report = replay(["double"], [RECORD, RECORD], double, Tolerance(1e-6))
    assert report.ok
    assert report.reason == ""
    assert report.signatures["double"].requests == 2
    assert report.signatures["double"].max_abs_difference == 0.0
    assert report.signatures["double"].median_ms >= 0.0


def test_largest_difference_is_reported() -> None:
    report = replay(["double"], [RECORD], lambda _, x: {"y": np.array([2.25, 3.5])}, Tolerance(0.5))
    assert report.ok
    assert report.signatures["double"].max_abs_difference == 0.5


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda _, x: {"y": np.array([2.0, 5.0])}, "output 'y': differs from the recorded answer by 1, tol"),
        (lambda _, x: {"y": np.array([2.0, np.nan])}, "output 'y': 1 of 2 values are NaN or infinite"),
        (lambda _, x: {"y": np.array([2.0])}, r"output 'y': expected shape \(2,\), got \(1,\)"),
        (lambda _, x: {"y": np.array([2, 4])}, "output 'y': expected dtype float64, got int64"),
        (lambda _, x: {"z": np.array([2, 4])}, "expected the outputs y, got z"),
        (lambda _, x: {}, "expected the outputs y, got none"),
    ],
)
def test_other_answers_are_refused(answer: Callable[[str, Tensors], Tensors], reason: str) -> None:
    report = replay(["double"], [RECORD], answer, Tolerance(1e-6))
    assert not report.ok
    with pytest.raises(ValueError, match=f"^signature 'double'.*{reason}"):
        raise ValueError(report.reason)


def test_signature_without_a_request_is_refused() -> None:
    report = replay(["double", "other"], [RECORD], double, Tolerance(1e-6))
    assert (report.ok, report.reason) == (False, "no recorded request for other")
    assert list(report.signatures) == ["double"]


def test_model_without_signatures_is_refused() -> None:
    assert not replay([], [], double, Tolerance(1e-6)).ok


def test_request_for_an_unknown_signature_is_refused() -> None:
    report = replay(["doubles"], [RECORD], double, Tolerance(1e-6))
    assert report.reason == (
        "a recorded request asks for an unknown signature 'double'; did you mean 'doubles'? known: doubles"
    )


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (np.array([1, 2]), np.array([1, 3])),
        (np.array([True]), np.array([False])),
        (np.array([b"a", b"b"], object), np.array([b"a", b"B"], object)),
    ],
)
def test_exact_types_must_be_equal(expected: NDArray, got: NDArray) -> None:
    assert compare(expected, expected.copy(), Tolerance(10.0)) == 0.0
    with pytest.raises(NotRepeated, match=r"1 of \d values differ"):
        compare(expected, got, Tolerance(10.0))


def test_recorded_nan_agrees_with_nothing() -> None:
    with pytest.raises(NotRepeated, match="by nan"):
        compare(np.array([np.nan]), np.array([1.0]), Tolerance(1.0))


def test_half_precision_and_empty_arrays_compare() -> None:
    import tensorflow as tf

    half = tf.constant([1.0, 2.0], tf.bfloat16).numpy()
    assert compare(half, half + half.dtype.type(0.5), Tolerance(1.0)) == 0.5
    assert compare(np.zeros((0, 3)), np.zeros((0, 3)), Tolerance(0.0)) == 0.0


def test_complex_numbers_differ_by_their_imaginary_part_too() -> None:
    assert compare(np.array([1 + 1j]), np.array([1 + 1.5j]), Tolerance(1.0)) == 0.5
    with pytest.raises(NotRepeated, match=r"by 0\.5"):
        compare(np.array([1 + 1j]), np.array([1 + 1.5j]), Tolerance(0.1))


def test_a_share_of_a_dense_answer_of_integers_may_differ() -> None:
    mask = np.zeros((1, 10, 10), np.int64)
    other = mask.copy()
    other[0, 0, :2] = 1
    assert compare(mask, other, Tolerance(0.0, differing_share=0.02)) == 0.0
    with pytest.raises(NotRepeated, match="2 of 100 values differ"):
        compare(mask, other, Tolerance(0.0, differing_share=0.01))
    with pytest.raises(NotRepeated, match="1 of 100 values differ"):
        compare(np.zeros(100, np.int64), np.eye(100, dtype=np.int64)[0], Tolerance(0.0, differing_share=0.02))
