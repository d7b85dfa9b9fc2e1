"""The metrics that tasks may name, and how each is measured.

A new one is one entry in METRICS. NumPy only: tasks are checked without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.config import ConfigError, unknown_name
from components.html import number, table
from components.metrics.confusion import accuracy, f1, matthews_corrcoef

# What TFMA calls the predicted class of an example that has none; here, of a prediction that is not finite.
NO_CLASS: Final = -1


class Confusion(NamedTuple):
    """Counts of examples by class.

    counts: int64[actual, predicted].
    invalid: int64[actual], the examples whose prediction holds NaN or infinity; they count as wrong.
    """

    counts: NDArray[np.int64]
    invalid: NDArray[np.int64]

    @property
    def actual(self) -> NDArray[np.int64]:
        """Number of examples of each class."""
        return self.counts.sum(axis=1) + self.invalid

    @property
    def answered(self) -> NDArray[np.int64]:
        """The counts with one class more, which no example has: what the invalid ones are answered with."""
        return np.pad(np.column_stack([self.counts, self.invalid]), ((0, 1), (0, 0)))


def confusion(cells: Iterable[tuple[int, int, float]], num_classes: int = 0) -> Confusion:
    """Returns the matrix of (actual, predicted, count) cells, at least `num_classes` wide.

    confusion([(0, 0, 2), (0, 1, 1), (1, NO_CLASS, 1)]) -> counts [[2, 1], [0, 0]], invalid [0, 1]
    """
    cells = list(cells)
    size = max([num_classes, *(1 + max(actual, predicted) for actual, predicted, _ in cells)])
    matrix = Confusion(np.zeros((size, size), np.int64), np.zeros(size, np.int64))
    for actual, predicted, count in cells:
        if predicted == NO_CLASS:
            matrix.invalid[actual] += int(count)
        else:
            matrix.counts[actual, predicted] += int(count)
    return matrix


def precision_by_class(matrix: Confusion) -> list[float]:
    """Returns, by class, the fraction of right answers among its answers; NaN where it is never answered."""
    return _ratio(np.diag(matrix.counts), matrix.counts.sum(axis=0)).tolist()


def recall_by_class(matrix: Confusion) -> list[float]:
    """Returns, by class, the fraction of its examples that are found; NaN where it has none."""
    return _ratio(np.diag(matrix.counts), matrix.actual).tolist()


def invalid_predictions(matrix: Confusion) -> float:
    """Returns the number of examples whose prediction holds NaN or infinity."""
    return float(matrix.invalid.sum())


class Statistic(NamedTuple):
    """One number from a confusion matrix, measured for every slice; it can bless a model."""

    of: Callable[[Confusion], float]


class Detail(NamedTuple):
    """Many numbers from the confusion matrix of all examples."""

    of: Callable[[Confusion], list[Any]]


class TfmaMetric(NamedTuple):
    """One number that a metric of TFMA or tf_keras measures, by its class's name, for every slice."""

    class_name: str


METRICS: Mapping[str, Statistic | Detail | TfmaMetric] = {
    "accuracy": Statistic(lambda matrix: accuracy(matrix.answered)),
    "f1": Statistic(lambda matrix: f1(matrix.answered)),
    "matthews_corrcoef": Statistic(lambda matrix: matthews_corrcoef(matrix.answered)),
    "cross_entropy": TfmaMetric("SparseCategoricalCrossentropy"),
    "precision_by_class": Detail(precision_by_class),
    "recall_by_class": Detail(recall_by_class),
    "confusion_matrix": Detail(lambda matrix: matrix.counts.tolist()),
}
# Measured for every task: a model that answers NaN is never blessed.
INVALID_PREDICTIONS: Final = "invalid_predictions"
STATISTICS: Mapping[str, Statistic] = {
    INVALID_PREDICTIONS: Statistic(invalid_predictions),
    **{name: metric for name, metric in METRICS.items() if isinstance(metric, Statistic)},
}


def check_metrics(metrics: Iterable[str], blessing_metric: str) -> None:
    """Raises ConfigError for an unknown metric, or for one that cannot bless because it is no statistic."""
    for name in metrics:
        if name not in METRICS:
            raise ConfigError(unknown_name("metric", name, METRICS))
    if not isinstance(METRICS[blessing_metric], Statistic):
        known = [name for name, metric in METRICS.items() if isinstance(metric, Statistic)]
        raise ConfigError(
            f"blessing.metric: expected a number where higher is better ({', '.join(known)}), "
            f"got {blessing_metric!r}"
        )


def _ratio(part: Any, whole: Any) -> NDArray[np.float64]:
    """Returns part / whole, NaN where both are 0."""
    with np.errstate(invalid="ignore"):
        return np.true_divide(part, whole)


def _classes(result: Mapping[str, Any]) -> str:
    by_class = {name: value for name, value in result["metrics"].items() if isinstance(value, list)}
    if not by_class:
        return ""
    header = ["Class", "Examples", *(name.removesuffix("_by_class").capitalize() for name in by_class)]
    rows = [
        [
            _class_name(index, result["class_names"]),
            f"{count:,}",
            *(number(values[index]) for values in by_class.values()),
        ]
        for index, count in enumerate(result["examples_by_class"])
    ]
    return table(header, rows)


def _class_name(index: int, names: Sequence[str]) -> str:
    return names[index] if names else str(index)


def _heat_map(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Returns the matrix with each cell as strong as its share of the row; mistakes are red."""
    if not matrix:
        return ""
    titles = [escape(_class_name(index, names)) for index in range(len(matrix))]
    header = "".join(f'<th scope="col">{title}</th>' for title in titles)
    rows = [
        f'<tr><th scope="row">{titles[actual]}</th>'
        + "".join(_heat_cell(count, sum(row), right=actual == index) for index, count in enumerate(row))
        + "</tr>"
        for actual, row in enumerate(matrix)
    ]
    return (
        '<p class="note">Rows: the label. Columns: what the model said.</p>'
        f'<div class="wide"><table class="matrix"><tr><td></td>{header}</tr>{"".join(rows)}</table></div>'
    )


def _heat_cell(count: int, total: int, right: bool) -> str:
    if not count:
        return '<td class="note">·</td>'
    colour = "46 157 79" if right else "208 68 55"
    # The root lets a single mistake among hundreds be seen.
    strength = 0.7 * (count / total) ** 0.5
    return f'<td style="background: rgb({colour} / {strength:.2f})">{count:,}</td>'


def _said(mistake: Mapping[str, Any], names: Sequence[str]) -> str:
    """Returns "is 4, said 9 (99.1%)"."""
    actual, predicted = (_class_name(mistake[key], names) for key in ("actual", "predicted"))
    return f"is {actual}, said {predicted} ({mistake['probability']:.1%})"
