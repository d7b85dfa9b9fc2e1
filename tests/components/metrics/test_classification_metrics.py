import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from components.config import ConfigError
from components.metrics.classification import (
    NO_CLASS,
    STATISTICS,
    check_metrics,
    confusion,
    invalid_predictions,
    precision_by_class,
    recall_by_class,
)

# Three of class 0 (two found, one said to be 1), two of class 1 (one found, one not finite), none of class 2.
MATRIX = confusion([(0, 0, 2), (0, 1, 1), (1, 1, 1), (1, NO_CLASS, 1)], num_classes=3)

accuracy, f1, matthews_corrcoef = (STATISTICS[name].of for name in ("accuracy", "f1", "matthews_corrcoef"))
classes = st.integers(0, 4)


def test_confusion_counts_by_actual_and_predicted_class():
    assert MATRIX.counts.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert MATRIX.invalid.tolist() == [0, 1, 0]
    assert MATRIX.actual.tolist() == [3, 2, 0]
    assert MATRIX.answered.tolist() == [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_an_unknown_number_of_classes_is_as_many_as_were_seen():
    assert confusion([(0, 2, 1)]).counts.shape == (3, 3)


def test_statistics_worked_by_hand():
    assert accuracy(MATRIX) == 3 / 5
    assert invalid_predictions(MATRIX) == 1
    assert precision_by_class(MATRIX) == pytest.approx([1, 1 / 2, np.nan], nan_ok=True)
    assert recall_by_class(MATRIX) == pytest.approx([2 / 3, 1 / 2, np.nan], nan_ok=True)


@given(st.lists(st.tuples(classes, classes), min_size=1))
def test_statistics_agree_with_scikit_learn(pairs):
    actual, predicted = zip(*pairs, strict=True)
    matrix = confusion([(*pair, 1) for pair in pairs], num_classes=5)
    known = {"labels": list(range(5)), "average": None, "zero_division": np.nan}
    assert accuracy(matrix) == pytest.approx(sklearn_metrics.accuracy_score(actual, predicted))
    np.testing.assert_allclose(
        precision_by_class(matrix), sklearn_metrics.precision_score(actual, predicted, **known)
    )
    np.testing.assert_allclose(
        recall_by_class(matrix), sklearn_metrics.recall_score(actual, predicted, **known)
    )


def test_f1_and_correlation_worked_by_hand():
    # 6 true positives, 1 false negative, 2 false positives, 3 true negatives.
    matrix = confusion([(1, 1, 6), (1, 0, 1), (0, 1, 2), (0, 0, 3)])
    assert f1(matrix) == pytest.approx(2 * 6 / (2 * 6 + 2 + 1))
    assert matthews_corrcoef(matrix) == pytest.approx((6 * 3 - 2 * 1) / (8 * 7 * 5 * 4) ** 0.5)


def test_an_answer_that_is_not_finite_lowers_f1_and_correlation():
    matrix = confusion([(1, 1, 2), (1, NO_CLASS, 1), (0, 0, 2)])
    assert f1(matrix) == pytest.approx(2 * 2 / (2 + 3))
    assert matthews_corrcoef(matrix) == pytest.approx(
        sklearn_metrics.matthews_corrcoef([1, 1, 1, 0, 0], [1, 1, 2, 0, 0])
    )


def test_without_a_class_1_f1_is_zero():
    assert f1(confusion([])) == f1(confusion([(0, 0, 3)])) == f1(confusion([(0, NO_CLASS, 3)])) == 0.0


@pytest.mark.parametrize("cells", [[], [(0, 0, 3)], [(0, 1, 1), (1, 1, 1)]])
def test_correlation_with_a_single_class_is_zero(cells):
    assert matthews_corrcoef(confusion(cells)) == 0.0


@given(st.lists(st.tuples(classes, classes), min_size=1))
def test_correlation_agrees_with_scikit_learn(pairs):
    actual, predicted = zip(*pairs, strict=True)
    matrix = confusion([(*pair, 1) for pair in pairs], num_classes=5)
    expected = sklearn_metrics.matthews_corrcoef(actual, predicted)
    assert matthews_corrcoef(matrix) == pytest.approx(expected, abs=1e-9)
    binary = [[int(label == 1) for label in labels] for labels in (actual, predicted)]
    assert f1(matrix) == pytest.approx(sklearn_metrics.f1_score(*binary, zero_division=0.0))


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(ConfigError, match="unknown metric 'acuracy'; did you mean 'accuracy'"):
        check_metrics(["acuracy"], "acuracy")


def test_a_metric_of_many_numbers_cannot_bless():
    with pytest.raises(ConfigError, match=r"blessing.metric: expected a number .* got 'confusion_matrix'"):
        check_metrics(["accuracy", "confusion_matrix"], "confusion_matrix")
