"""Metrics of classifiers from a confusion matrix: counts[actual, answered], square. NumPy alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def accuracy(counts: NDArray[Any]) -> float:
    """Returns the fraction of examples whose answer is their class; NaN where there are no examples."""
    return float(counts.trace() / counts.sum()) if counts.any() else math.nan


def f1(counts: NDArray[Any]) -> float:
    """Returns the harmonic mean of precision and recall of class 1; 0 where that is never right."""
    if len(counts) < 2:
        return 0.0
    return float(2 * counts[1, 1] / max(1, counts[1].sum() + counts[:, 1].sum()))


def matthews_corrcoef(counts: NDArray[Any]) -> float:
    """Returns the correlation of classes and answers, in [-1, 1], for any number of classes.

    It is 0 where all examples are, or are answered with, one class. Source: J. Gorodkin, Comparing two
    K-category assignments by a K-category correlation coefficient (2004), R_K.
    """
    # In float64: squares of large counts do not fit into an int64.
    actual, answered = (counts.sum(axis=axis).astype(float) for axis in (1, 0))
    total = actual.sum()
    covariance = counts.trace() * total - actual @ answered
    spread = math.sqrt((total**2 - actual @ actual) * (total**2 - answered @ answered))
    return float(covariance / spread) if spread else 0.0
