"""How good scores are: correlations and squared errors, from sums over examples.

Spearman's correlation needs ranks, which no sums have: it is that of scores and answers in 64 equal steps of
the range, those within one being ties.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
from pydantic import Field
from typing_extensions import Self

from components.config import Config, known_names
from components.features import LABEL, Feature
from components.html import number, table
from components.protocols import Model, Raw, Section

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.protocols import Arrays

SCORE: Final = "score"
_NUMBERS: Final = ("pearson", "spearman")
# Lower is better, so that it cannot bless.
_SQUARED_ERROR: Final = "mean_squared_error"
_KNOWN: Final = (*_NUMBERS, _SQUARED_ERROR)
_STEPS: Final = 64
# Rows of the report's table.
_SHOWN: Final = 8


class Regression(Config):
    """Compares `score` with the label; an answer that is not finite counts as the range's lower end.

    Its sums are moments of (1, actual, answered) with the squared error, then counts[actual, answered] of
    steps, row by row. Scores are in units of the range, from 0 to 1.
    """

    metrics: Annotated[tuple[str, ...], known_names("metric", _KNOWN)] = Field(
        _KNOWN, description="What is measured."
    )
    score_range: tuple[float, float] = Field((0.0, 1.0), description="Taken from the task.")
    texts: tuple[str, ...] = Field((), description="Taken from the task.")

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(name for name in self.metrics if name in _NUMBERS)

    def fitted_to(self, features: Mapping[str, Feature], model: Model) -> Self:
        texts = tuple(key for key, feature in features.items() if feature.served)
        score_range = getattr(model, "score_range", self.score_range)
        return self.model_copy(update={"texts": texts, "score_range": score_range})

    def sums(self, raw: Raw, answer: Arrays) -> NDArray[Any]:
        actual, said = self._in_range(raw[LABEL]), self._in_range(self._said(answer))
        counts = np.zeros((_STEPS, _STEPS))
        counts[_step(actual), _step(said)] = 1
        moments = [1, actual, said, actual**2, said**2, actual * said, (actual - said) ** 2]
        return np.concatenate([moments, counts.ravel()])

    def results(self, sums: NDArray[Any]) -> dict[str, float | list[float]]:
        low, high = self.score_range
        total = sums[0]
        known = {
            "pearson": pearson(sums[:6]),
            "spearman": spearman(_counts(sums)),
            _SQUARED_ERROR: float(sums[6] / total * (high - low) ** 2) if total else math.nan,
        }
        return {name: known[name] for name in self.metrics}

    def details(self, sums: NDArray[Any]) -> dict[str, Any]:
        """Returns nothing: the metrics say all that the sums hold."""
        return {}

    def badness(self, raw: Raw, answer: Arrays) -> float:
        """Returns how far an answer is from the score."""
        return abs(float(raw[LABEL]) - self._said(answer))

    def show(self, raw: Raw, answer: Arrays) -> str:
        """Returns the example and "is 4.20, said 3.10"."""
        texts = "".join(f"<p>{escape(raw[key].decode('utf-8', 'replace'))}</p>" for key in self.texts)
        return f"{texts}is {float(raw[LABEL]):.2f}, said {self._said(answer):.2f}"

    def sections(self, sums: NDArray[Any]) -> Iterator[Section]:
        """Yields the mean answer by the score, in steps of an eighth of the range."""
        low, high = self.score_range
        counts = _counts(sums).reshape(_SHOWN, _STEPS // _SHOWN, _STEPS).sum(axis=1)
        centres = low + (np.arange(_STEPS) + 0.5) / _STEPS * (high - low)
        edges = np.linspace(low, high, _SHOWN + 1)
        rows = [
            [f"{start:g} to {stop:g}", f"{row.sum():,.0f}", number(_mean(row, centres))]
            for start, stop, row in zip(edges, edges[1:], counts, strict=False)
        ]
        yield Section("Answers by score", table(["Score", "Examples", "Mean answer"], rows))

    def _in_range(self, value: float) -> float:
        low, high = self.score_range
        return (float(value) - low) / (high - low)

    def _said(self, answer: Arrays) -> float:
        said = float(np.asarray(answer[SCORE]).ravel()[0])
        return said if math.isfinite(said) else self.score_range[0]


def pearson(sums: NDArray[Any]) -> float:
    """Returns the correlation of x and y from sums of 1, x, y, x², y² and xy; NaN where one does not vary."""
    total, x, y, xx, yy, xy = (float(value) for value in sums)
    if not total:
        return math.nan
    variances = (xx - x * x / total, yy - y * y / total)
    # What is left of equal numbers is rounding.
    if min(variances) <= 1e-12 * total:
        return math.nan
    return (xy - x * y / total) / math.sqrt(variances[0] * variances[1])


def spearman(counts: NDArray[Any]) -> float:
    """Returns the correlation of ranks from counts[x, y], ties having their mean rank; NaN as above."""
    x, y = (_ranks(counts.sum(axis=axis)) for axis in (1, 0))
    by_x, by_y = counts.sum(axis=1), counts.sum(axis=0)
    sums = [counts.sum(), by_x @ x, by_y @ y, by_x @ x**2, by_y @ y**2, x @ counts @ y]
    return pearson(np.array(sums))


def _ranks(counts: NDArray[Any]) -> NDArray[Any]:
    """Returns the mean rank of each value, as a share of all, from how many have it."""
    total = max(float(counts.sum()), 1.0)
    ranks: NDArray[Any] = (np.cumsum(counts) - counts / 2) / total
    return ranks


def _counts(sums: NDArray[Any]) -> NDArray[Any]:
    return sums[7:].reshape(_STEPS, _STEPS)


def _step(value: float) -> int:
    return min(max(int(value * _STEPS), 0), _STEPS - 1)


def _mean(counts: NDArray[Any], values: NDArray[Any]) -> float:
    return float(counts @ values / counts.sum()) if counts.any() else math.nan
