"""Correlations and squared errors of scores, against SciPy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from components.features import LABEL, LENGTH, TEXT_A, Feature
from components.metrics.regression import Regression
from components.models.bert.regressor import BertRegressor
from components.protocols import Evaluation

EVALUATION = Regression(score_range=(0, 5), texts=(TEXT_A,))


def sums(pairs: list[tuple[float, float]]) -> np.ndarray:
    """The sums over (score, answer)."""
    rows = [EVALUATION.sums({LABEL: score}, {"score": np.array([said])}) for score, said in pairs]
    return np.sum(rows, axis=0)


def test_it_fits_its_protocol_and_takes_the_range_of_the_model() -> None:
    features = {
        TEXT_A: Feature(dtype="bytes"),
        LABEL: Feature(dtype="float32", served=False),
        LENGTH: Feature(dtype="bytes", served=False),
    }
    fitted = Regression().fitted_to(features, BertRegressor(score_range=(1, 3)))
    assert isinstance(fitted, Evaluation)
    assert (fitted.score_range, fitted.texts, fitted.numbers) == ((1, 3), (TEXT_A,), ("pearson", "spearman"))


def test_three_scores_by_hand() -> None:
    # Errors 1, 1 and 2: (1 + 1 + 4) / 3. Ranks 1, 2, 3 and 2, 1, 3: 1 - 6·2 / (3·8).
    results = EVALUATION.results(sums([(0, 1), (1, 0), (2, 4)]))
    assert results["mean_squared_error"] == pytest.approx(2.0)
    assert results["spearman"] == pytest.approx(0.5)
    # Means 1 and 5/3; Σ(x - 1)(y - 5/3) = 3, over √(2 · 26/3).
    assert results["pearson"] == pytest.approx(3 / math.sqrt(2 * 26 / 3))


def test_many_scores_are_those_of_scipy() -> None:
    generator = np.random.default_rng(0)
    scores = generator.uniform(0, 5, 2000)
    said = np.clip(scores + generator.normal(0, 1.5, 2000), 0, 5)
    results = EVALUATION.results(sums([*zip(scores, said, strict=True)]))
    assert results["pearson"] == pytest.approx(stats.pearsonr(scores, said)[0], abs=1e-9)
    # In 64 steps, of which each is a tie.
    assert results["spearman"] == pytest.approx(stats.spearmanr(scores, said)[0], abs=2e-3)
    steps = [np.minimum((values / 5 * 64).astype(int), 63) for values in (scores, said)]
    assert results["spearman"] == pytest.approx(stats.spearmanr(*steps)[0], abs=1e-9)


@pytest.mark.parametrize("pairs", [[], [(1.0, 2.0)], [(1.0, 2.0), (1.0, 3.0)], [(1.0, 2.0), (4.0, 2.0)]])
def test_what_does_not_vary_has_no_correlation(pairs: list[tuple[float, float]]) -> None:
    results = EVALUATION.results(sums(pairs) if pairs else np.zeros_like(sums([(0, 0)])))
    assert math.isnan(results["pearson"])
    assert math.isnan(results["spearman"])


def test_a_report_shows_the_text_both_scores_and_the_mean_answers() -> None:
    raw, answer = {LABEL: 4.25, TEXT_A: b"1 < 2"}, {"score": np.array([1.0])}
    assert EVALUATION.show(raw, answer) == "<p>1 &lt; 2</p>is 4.25, said 1.00"
    assert EVALUATION.badness(raw, answer) == 3.25
    (section,) = EVALUATION.sections(sums([(4.5, 1.0), (4.6, 2.0)]))
    # The centres of the steps of 5/64 that hold 1 and 2: 12.5 and 25.5 of them.
    assert f"<td>4.375 to 5</td><td>2</td><td>{19 * 5 / 64:.4f}</td>" in section.html


def test_an_answer_that_is_not_finite_is_as_bad_as_the_lowest() -> None:
    results = EVALUATION.results(sums([(5.0, math.nan)]))
    assert results["mean_squared_error"] == pytest.approx(25.0)
