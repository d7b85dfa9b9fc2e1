"""Masked words: right ones counted at masked positions alone, by kind of token, and shown in place."""

import math
from typing import Any

import numpy as np
import pydantic
import pytest

from components.metrics.masked_lm import FIRST, LATER, PUNCTUATION, MaskedLmEvaluation, kind_of
from components.protocols import Evaluation

EVALUATION = MaskedLmEvaluation()
TOKENS = ["[CLS]", "the", "[MASK]", "sat", "[MASK]", "[SEP]", "un", "[MASK]", "[SEP]", "[PAD]"]


def strings(*values: str) -> Any:
    return np.array([value.encode() for value in values], object)


def answer(**changes: Any) -> dict[str, Any]:
    """Three masked tokens, of which the first and the last are right; said to be neighbours, which is so."""
    return {
        "tokens": strings(*TOKENS),
        "masked_positions": np.array([2, 4, 7, -1]),
        "masked_tokens": strings("cat", ".", "##kind", ""),
        "said_tokens": strings("cat", "down", "##kind", "[PAD]"),
        "said_probabilities": np.array([0.5, 0.75, 0.25, 0.9], np.float32),
        "right_probabilities": np.array([0.5, 0.125, 0.25, 0.9], np.float32),
        "is_next": np.array([1]),
        "next_probabilities": np.array([0.8], np.float32),
        **changes,
    }


def test_it_is_an_evaluation_that_may_bless_by_accuracies() -> None:
    assert isinstance(EVALUATION, Evaluation)
    assert EVALUATION.fitted_to({}, None) is EVALUATION  # type: ignore[arg-type]
    assert EVALUATION.numbers[0] == "masked_lm_accuracy"
    assert not {"perplexity", "masked_lm_loss"} & set(EVALUATION.numbers)


def test_an_unknown_metric_is_refused_with_the_nearest() -> None:
    with pytest.raises(pydantic.ValidationError, match="did you mean 'perplexity'"):
        MaskedLmEvaluation(metrics=("perplexities",))
    assert set(MaskedLmEvaluation(metrics=("perplexity",)).results(np.zeros(11))) == {"perplexity"}


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("cat", FIRST),
        ("7", FIRST),
        ("##kind", LATER),
        (".", PUNCTUATION),
        ("“", PUNCTUATION),
        ("$", PUNCTUATION),
        ("##!", PUNCTUATION),
        ("#", PUNCTUATION),
        ("don't", FIRST),
        ("", FIRST),
    ],
)
def test_a_token_is_a_first_piece_a_later_one_or_punctuation(token: str, kind: int) -> None:
    assert kind_of(token) == kind


def test_what_is_said_counts_at_masked_positions_by_kind_of_token() -> None:
    results = EVALUATION.results(EVALUATION.sums({}, answer()))
    # -log of 1/2, 1/8 and 1/4: 6 times log 2 over 3.
    assert results == pytest.approx(
        {
            "masked_lm_accuracy": 2 / 3,
            "next_sentence_accuracy": 1.0,
            "first_piece_accuracy": 1.0,
            "later_piece_accuracy": 1.0,
            "punctuation_accuracy": 0.0,
            "masked_lm_loss": 2 * math.log(2),
            "perplexity": 4.0,
        }
    )
    assert EVALUATION.details(EVALUATION.sums({}, answer())) == {"num_masked": 3, "num_pairs": 1}


def test_sums_of_examples_add_up_and_several_sequences_are_as_several_examples() -> None:
    other = answer(said_tokens=strings("dog", ".", "##kind", ""), is_next=np.array([0]))
    sums = EVALUATION.sums({}, answer()) + EVALUATION.sums({}, other)
    results = EVALUATION.results(sums)
    assert results["masked_lm_accuracy"] == pytest.approx(4 / 6)
    assert results["first_piece_accuracy"] == results["next_sentence_accuracy"] == 0.5
    both = {key: np.stack([answer()[key], other[key]]) for key in other}
    assert EVALUATION.sums({}, both) == pytest.approx(sums)


def test_what_does_not_exist_is_not_a_number() -> None:
    nothing = answer(masked_positions=np.full(4, -1), is_next=np.array([-1]))
    results = EVALUATION.results(EVALUATION.sums({}, nothing))
    assert all(math.isnan(float(value)) for value in results.values())
    assert EVALUATION.badness({}, nothing) == 0
    no_masks = {key: np.empty(0, values.dtype) for key, values in answer().items() if values.shape == (4,)}
    assert EVALUATION.sums({}, answer(**no_masks)).tolist() == [0] * 9 + [1, 1]


def test_a_probability_that_is_not_finite_or_zero_costs_a_bounded_loss() -> None:
    for worst in (math.nan, 0.0):
        broken = answer(right_probabilities=np.array([worst] * 4, np.float32))
        # As for a billionth.
        assert EVALUATION.results(EVALUATION.sums({}, broken))["perplexity"] == pytest.approx(1e9)


def test_pairs_are_told_from_a_half_on() -> None:
    for probability, is_next, right in ((0.5, 1, 1), (0.49, 1, 0), (0.5, 0, 0), (0.1, 0, 1)):
        pair = answer(is_next=np.array([is_next]), next_probabilities=np.array([probability]))
        assert EVALUATION.sums({}, pair)[-2:].tolist() == [1, right]


def test_the_worst_are_those_that_said_wrong_tokens_and_were_sure() -> None:
    # Of three masked tokens one is wrong, with 75%.
    assert EVALUATION.badness({}, answer()) == pytest.approx(0.25)
    assert EVALUATION.badness({}, answer(said_tokens=strings("cat", ".", "##kind", ""))) == 0


def test_a_sentence_is_shown_with_its_masked_words_what_was_said_and_how_sure() -> None:
    assert EVALUATION.show({}, answer(masked_tokens=strings("cat", "<", "##kind", ""))) == (
        "<p>[CLS] the <ins>cat</ins> sat <del>down</del> <ins>&lt;</ins></p><p>un <ins>##kind</ins></p>"
        "<ul><li>Said “cat” (50.0%), which is right.</li>"
        "<li>Said “down” (75.0%); right is “&lt;” (12.5%).</li>"
        "<li>Said “##kind” (25.0%), which is right.</li></ul>"
        "<p>The second text follows the first; said with 80.0% that it does.</p>"
    )
    alone = answer(tokens=strings("un", "##kind", "##ly", "[MASK]"), is_next=np.array([-1]))
    assert EVALUATION.show({}, alone).startswith("<p>unkind <ins>cat</ins> [MASK]</p>")
    assert "second text" not in EVALUATION.show({}, alone)


def test_a_report_has_a_table_by_kind_of_token_and_one_of_pairs() -> None:
    sections = list(EVALUATION.sections(EVALUATION.sums({}, answer())))
    assert [section.title for section in sections] == ["Masked tokens", "Next sentences"]
    assert "<td>Punctuation</td><td>1</td><td>0.0000</td><td>8.0000</td>" in sections[0].html
    assert "<td>All</td><td>3</td><td>0.6667</td><td>4.0000</td>" in sections[0].html
    assert "<td>1</td><td>1.0000</td>" in sections[1].html
    empty = list(EVALUATION.sections(np.zeros(11)))
    assert [section.title for section in empty] == ["Masked tokens"]
    assert "<td>All</td><td>0</td><td>–</td><td>–</td>" in empty[0].html
