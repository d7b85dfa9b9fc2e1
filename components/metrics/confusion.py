"""Metrics of classifiers from counts[actual, answered]; further columns are for no class. NumPy alone.

NaN: the metric does not exist for these examples.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def accuracy(counts: NDArray[Any]) -> float:
    """Returns the fraction of examples whose answer is their class; NaN where there are no examples."""
    return float(counts.trace() / counts.sum()) if counts.any() else math.nan


def f1(counts: NDArray[Any]) -> float:
    """Returns the harmonic mean of precision and recall of class 1; NaN where no example is of class 1."""
    if len(counts) < 2 or not counts[1].any():
        return math.nan
    return float(2 * counts[1, 1] / (counts[1].sum() + counts[:, 1].sum()))


def matthews_corrcoef(counts: NDArray[Any]) -> float:
    """Returns the correlation of classes and answers, in [-1, 1], for any number of classes.

    NaN where all examples are of one class, 0 where they are of several and all are answered with one.
    Source: J. Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient
    (2004), R_K.
    """
    # In float64: squares of large counts do not fit into an int64.
    actual, answered = (counts.sum(axis=axis).astype(float) for axis in (1, 0))
    total = actual.sum()
    spread_of_classes = total**2 - actual @ actual
    if not spread_of_classes:
        return math.nan
    covariance = counts.trace() * total - actual @ answered[: len(actual)]
    spread = math.sqrt(spread_of_classes * (total**2 - answered @ answered))
    return float(covariance / spread) if spread else 0.0


def precision_by_class(counts: NDArray[Any]) -> list[float]:
    """Returns, by class, the fraction of right answers among its answers; NaN where it is never answered."""
    return _ratio(counts.diagonal(), counts[:, : len(counts)].sum(axis=0))


def recall_by_class(counts: NDArray[Any]) -> list[float]:
    """Returns, by class, the fraction of its examples that are found; NaN where it has none."""
    return _ratio(counts.diagonal(), counts.sum(axis=1))


def f1_by_class(counts: NDArray[Any]) -> list[float]:
    """Returns, by class, the harmonic mean of precision and recall; NaN where it is nowhere."""
    said = counts[:, : len(counts)].sum(axis=0)
    return _ratio(2 * counts.diagonal(), said + counts.sum(axis=1))


def _ratio(part: Any, whole: Any) -> list[float]:
    """Returns part / whole, NaN where both are 0."""
    with np.errstate(invalid="ignore"):
        return np.true_divide(part, whole).tolist()
