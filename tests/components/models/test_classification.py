"""Metrics of classifiers, worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest

from components.features import EXAMPLE_WEIGHT, LABEL
from components.models.classification import SparseClassification


class Classifier(SparseClassification):
    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes


def measure(name: str, num_classes: int, batches: list[tuple[list[int], list[int], list[float]]]) -> float:
    """Returns a metric over batches of labels, answers and weights."""
    metric = Classifier(num_classes).metrics()[name]
    total: Any = 0.0
    for labels, answers, weights in batches:
        features = {LABEL: np.array(labels), EXAMPLE_WEIGHT: np.array(weights, np.float32)}
        total = total + np.asarray(
            metric.update(features, np.eye(num_classes, dtype=np.float32)[answers])
        ).astype(float)
    return metric.result(total)


# Labels 1 1 1 0 0, answers 1 1 0 0 1; the last example of the second batch only fills it up.
TWO = [([1, 1, 1], [1, 1, 0], [1.0, 1.0, 1.0]), ([0, 0, 0], [0, 1, 1], [1.0, 1.0, 0.0])]


def test_matthews_correlation_of_two_classes_is_the_one_of_the_counts() -> None:
    # TP 2, FN 1, TN 1, FP 1: (2·1 − 1·1) / √(3·3·2·2) = 1/6
    assert measure("matthews_corrcoef", 2, TWO) == pytest.approx(1 / 6)


def test_f1_is_the_harmonic_mean_of_precision_and_recall_of_class_1() -> None:
    # 2·2 / (2·2 + 1 + 1)
    assert measure("f1", 2, TWO) == pytest.approx(2 / 3)


def test_accuracy_adds_up_over_batches() -> None:
    assert measure("accuracy", 2, TWO) == pytest.approx(3 / 5)


def test_matthews_correlation_of_three_classes() -> None:
    # Labels 0 1 2 2, answers 0 2 2 2: c=3, s=4, t=(1,1,2), p=(1,0,3);
    # (3·4 − (1+0+6)) / √((16 − 10)·(16 − 6)) = 5/√60
    assert measure("matthews_corrcoef", 3, [([0, 1, 2, 2], [0, 2, 2, 2], [1.0] * 4)]) == pytest.approx(
        5 / 60**0.5
    )


def test_matthews_correlation_is_0_where_all_answers_are_one_class_and_all_examples_are_not() -> None:
    assert measure("matthews_corrcoef", 2, [([0, 1], [0, 0], [1.0, 1.0])]) == 0.0
    assert math.isnan(measure("matthews_corrcoef", 2, [([0, 0], [0, 0], [1.0, 1.0])]))


def test_f1_is_0_where_class_1_is_never_right_and_absent_for_more_classes() -> None:
    assert measure("f1", 2, [([0, 1], [0, 0], [1.0, 1.0])]) == 0.0
    assert math.isnan(measure("f1", 2, [([0, 0], [0, 0], [1.0, 1.0])]))
    assert "f1" not in Classifier(3).metrics()
