import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from components.metrics.confusion import (
    accuracy,
    f1,
    matthews_corrcoef,
    precision_by_class,
    recall_by_class,
)

# Three of class 0 (two found, one said to be 1), two of class 1 (one found, one without a class), none of 2.
COUNTS = np.array([[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]])

classes = st.integers(0, 4)


def counted(pairs, num_classes: int = 5):
    """counts[actual, answered], with a last column for no class."""
    counts = np.zeros((num_classes, num_classes + 1))
    for pair in pairs:
        counts[pair] += 1
    return counts


def test_metrics_worked_by_hand():
    assert accuracy(COUNTS) == 3 / 5
    assert precision_by_class(COUNTS) == pytest.approx([1, 1 / 2, np.nan], nan_ok=True)
    assert recall_by_class(COUNTS) == pytest.approx([2 / 3, 1 / 2, np.nan], nan_ok=True)


@given(st.lists(st.tuples(classes, classes), min_size=1))
def test_metrics_agree_with_scikit_learn(pairs):
    actual, predicted = zip(*pairs, strict=True)
    counts = counted(pairs)
    known = {"labels": list(range(5)), "average": None, "zero_division": np.nan}
    assert accuracy(counts) == pytest.approx(sklearn_metrics.accuracy_score(actual, predicted))
    np.testing.assert_allclose(
        precision_by_class(counts), sklearn_metrics.precision_score(actual, predicted, **known)
    )
    np.testing.assert_allclose(
        recall_by_class(counts), sklearn_metrics.recall_score(actual, predicted, **known)
    )


def test_f1_and_correlation_worked_by_hand():
    # 6 true positives, 1 false negative, 2 false positives, 3 true negatives.
    counts = np.array([[3, 2], [1, 6]])
    assert f1(counts) == pytest.approx(2 * 6 / (2 * 6 + 2 + 1))
    assert matthews_corrcoef(counts) == pytest.approx((6 * 3 - 2 * 1) / (8 * 7 * 5 * 4) ** 0.5)


def test_an_answer_without_a_class_lowers_f1_and_correlation():
    counts = counted([(1, 1), (1, 1), (1, 2), (0, 0), (0, 0)], num_classes=2)
    assert f1(counts) == pytest.approx(2 * 2 / (2 + 3))
    assert matthews_corrcoef(counts) == pytest.approx(
        sklearn_metrics.matthews_corrcoef([1, 1, 1, 0, 0], [1, 1, 2, 0, 0])
    )


@pytest.mark.parametrize(
    "counts", [np.zeros((0, 1)), np.zeros((2, 3)), np.array([[3.0]]), np.array([[3, 1], [0, 0]])]
)
def test_without_an_example_of_class_1_there_is_no_f1(counts):
    assert math.isnan(f1(counts))


@pytest.mark.parametrize("counts", [np.zeros((2, 3)), np.array([[3, 0], [0, 0]]), np.array([[2, 1], [0, 0]])])
def test_among_examples_of_one_class_there_is_no_correlation(counts):
    assert math.isnan(matthews_corrcoef(counts))


def test_the_correlation_of_one_answer_to_several_classes_is_zero():
    assert matthews_corrcoef(np.array([[0, 1], [0, 1]])) == 0.0


@given(st.lists(st.tuples(classes, classes), min_size=1))
def test_correlation_and_f1_agree_with_scikit_learn(pairs):
    actual, predicted = zip(*pairs, strict=True)
    if len(set(actual)) > 1:
        expected = sklearn_metrics.matthews_corrcoef(actual, predicted)
        assert matthews_corrcoef(counted(pairs)) == pytest.approx(expected, abs=1e-9)
    if 1 in actual:
        binary = [[int(label == 1) for label in labels] for labels in (actual, predicted)]
        assert f1(counted(pairs)) == pytest.approx(sklearn_metrics.f1_score(*binary, zero_division=0.0))
