"""How well a model fills in masked words, and tells whether one text follows another.

J. Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding
(arxiv.org/abs/1810.04805).
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import numpy as np
from pydantic import Field
from typing_extensions import Self

from components.config import Config, known_names
from components.features import IS_NEXT, MASKED_POSITIONS, Feature
from components.html import number, table
from components.protocols import Model, Raw, Section

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.protocols import Arrays

# What a model answers; `MaskedLmEvaluation` says what they hold.
TOKENS: Final = "tokens"
MASKED_TOKENS: Final = "masked_tokens"
SAID_TOKENS: Final = "said_tokens"
SAID_PROBABILITIES: Final = "said_probabilities"
RIGHT_PROBABILITIES: Final = "right_probabilities"
NEXT_PROBABILITIES: Final = "next_probabilities"
# Of a request, the best tokens at each of its masks: "" of probability 0 where it has fewer than another.
FILL_TOKENS: Final = "fill_tokens"
FILL_PROBABILITIES: Final = "fill_probabilities"

# The kinds of tokens: the first piece of a word, its other pieces, and punctuation.
FIRST, LATER, PUNCTUATION = range(3)
_KINDS: Final = ("First pieces", "Later pieces", "Punctuation")
_LATER: Final = "##"
_NUMBERS: Final = (
    "masked_lm_accuracy",
    "next_sentence_accuracy",
    "first_piece_accuracy",
    "later_piece_accuracy",
    "punctuation_accuracy",
)
# Lower is better, so that they cannot bless.
_LOSS: Final = "masked_lm_loss"
_PERPLEXITY: Final = "perplexity"
_KNOWN: Final = (*_NUMBERS, _LOSS, _PERPLEXITY)
# The least probability that a logarithm is taken of, so that one token does not decide the mean.
_EPSILON: Final = 1e-9
_SEPARATOR: Final = "[SEP]"
_PADDING: Final = "[PAD]"


class _Masked(NamedTuple):
    """One masked token, and what was said."""

    position: int
    token: str
    said: str
    said_probability: float
    right_probability: float

    @property
    def is_right(self) -> bool:
        """Whether the token itself was said."""
        return self.said == self.token


class MaskedLmEvaluation(Config):
    """Compares what a model says at masked positions with what is right there, and nowhere else.

    An example is any number of sequences of tokens, of two texts each; its answer says what they are, so that
    no raw feature is needed. All arrays of strings hold UTF-8; n sequences have t tokens and m masks at most.

      tokens: object[n, t], as the model saw them, with [MASK]; [PAD] fills up.
      masked_positions: int[n, m], places among the tokens; -1 fills up. A position may be masked by another
        token, or by itself: it counts as any other.
      masked_tokens, said_tokens: object[n, m], the right ones, and the most probable ones.
      said_probabilities, right_probabilities: float[n, m], of those, in [0, 1]; what is not finite is 0.
      is_next: int[n], whether the second text follows the first; -1 where nobody asks.
      next_probabilities: float[n], that it does, in [0, 1]; yes from 0.5 on.

    An axis n that is left out counts as one sequence. Its sums are, for each kind of token, how many are
    masked, how many of them right, and the sum of -log(right probability); then how many pairs, and how many
    right.
    """

    metrics: Annotated[tuple[str, ...], known_names("metric", _KNOWN)] = Field(
        _KNOWN, description="What is measured."
    )

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(name for name in self.metrics if name in _NUMBERS)

    def fitted_to(self, features: Mapping[str, Feature], model: Model) -> Self:
        """Returns itself: nothing depends on the task."""
        return self

    def sums(self, raw: Raw, answer: Arrays) -> NDArray[Any]:
        by_kind = np.zeros((len(_KINDS), 3))
        for masked in _all_masked(answer):
            loss = -math.log(max(masked.right_probability, _EPSILON))
            by_kind[kind_of(masked.token)] += 1, masked.is_right, loss
        return np.concatenate([by_kind.ravel(), _pairs(answer)])

    def results(self, sums: NDArray[Any]) -> dict[str, float | list[float]]:
        by_kind = _by_kind(sums)
        total = by_kind.sum(axis=0)
        loss = _mean(total, 2)
        known = {
            "masked_lm_accuracy": _mean(total, 1),
            "next_sentence_accuracy": _mean(sums[-2:], 1),
            "first_piece_accuracy": _mean(by_kind[FIRST], 1),
            "later_piece_accuracy": _mean(by_kind[LATER], 1),
            "punctuation_accuracy": _mean(by_kind[PUNCTUATION], 1),
            _LOSS: loss,
            _PERPLEXITY: math.exp(loss),
        }
        return {name: known[name] for name in self.metrics}

    def details(self, sums: NDArray[Any]) -> dict[str, Any]:
        """Returns the number of masked tokens and that of pairs of texts."""
        return {"num_masked": int(_by_kind(sums)[:, 0].sum()), "num_pairs": int(sums[-2])}

    def badness(self, raw: Raw, answer: Arrays) -> float:
        """Returns the mean, over masked tokens, of the probability of the wrong token that was said."""
        masked = _all_masked(answer)
        wrong = sum(each.said_probability for each in masked if not each.is_right)
        return wrong / len(masked) if masked else 0.0

    def show(self, raw: Raw, answer: Arrays) -> str:
        """Returns each text with the masked words in place, <ins>right</ins> or <del>said</del> <ins>…</ins>.

        Below it is what was said of each, and how sure: "Said “sat” (91.0%); right is “lay” (2.0%)."
        """
        return "".join(_shown(sequence) for sequence in _sequences(answer))

    def sections(self, sums: NDArray[Any]) -> Iterator[Section]:
        """Yields how good answers are by kind of token, and at telling which text follows."""
        yield Section("Masked tokens", _by_kind_table(_by_kind(sums)))
        if sums[-2]:
            rows = [[f"{sums[-2]:,.0f}", number(_mean(sums[-2:], 1))]]
            yield Section("Next sentences", table(["Pairs", "Accuracy"], rows))


def kind_of(token: str) -> int:
    """Returns the kind of a token: FIRST ("un"), LATER ("##kind") or PUNCTUATION (",", "$", "##!")."""
    text = token.removeprefix(_LATER)
    if text and all(unicodedata.category(character)[0] in "PS" for character in text):
        return PUNCTUATION
    return LATER if text != token else FIRST


class _Sequence(NamedTuple):
    """Tokens without filling, those of them that are masked, and of the pair whether it is one."""

    tokens: Sequence[str]
    masked: Sequence[_Masked]
    is_next: int
    next_probability: float


def _sequences(answer: Arrays) -> list[_Sequence]:
    """Returns the sequences of an answer."""
    masked = [
        np.atleast_2d(answer[name])
        for name in (MASKED_POSITIONS, MASKED_TOKENS, SAID_TOKENS, SAID_PROBABILITIES, RIGHT_PROBABILITIES)
    ]
    is_next, next_probabilities = (np.asarray(answer[name]).ravel() for name in (IS_NEXT, NEXT_PROBABILITIES))
    return [
        _Sequence(
            [text for token in row if (text := _text(token)) != _PADDING],
            _masked(*(values[index] for values in masked)),
            int(is_next[index]),
            _finite(next_probabilities[index]),
        )
        for index, row in enumerate(np.atleast_2d(answer[TOKENS]))
    ]


def _masked(
    positions: NDArray[Any],
    tokens: NDArray[Any],
    said: NDArray[Any],
    said_probabilities: NDArray[Any],
    right_probabilities: NDArray[Any],
) -> list[_Masked]:
    rows = zip(positions, tokens, said, said_probabilities, right_probabilities, strict=True)
    return [
        _Masked(int(position), _text(token), _text(answered), _finite(sure), _finite(right))
        for position, token, answered, sure, right in rows
        if position >= 0
    ]


def _all_masked(answer: Arrays) -> list[_Masked]:
    return [masked for sequence in _sequences(answer) for masked in sequence.masked]


def _pairs(answer: Arrays) -> list[int]:
    """Returns how many pairs of texts there are, and of how many it was told rightly what they are."""
    asked = [sequence for sequence in _sequences(answer) if sequence.is_next >= 0]
    return [len(asked), sum((each.next_probability >= 0.5) == bool(each.is_next) for each in asked)]


def _by_kind(sums: NDArray[Any]) -> NDArray[Any]:
    """Returns how many are masked, how many right, and the sum of losses: float64[kinds, 3]."""
    return sums[:-2].reshape(len(_KINDS), 3)


def _mean(group: NDArray[Any], measure: int) -> float:
    return float(group[measure] / (group[0] or math.nan))


def _finite(value: Any) -> float:
    return float(value) if np.isfinite(value) else 0.0


def _text(token: Any) -> str:
    return token.decode("utf-8", "replace") if isinstance(token, bytes) else str(token)


def _shown(sequence: _Sequence) -> str:
    """Returns a sequence as HTML, and below it what was said."""
    masked = {each.position: each for each in sequence.masked}
    words = [
        _marked(masked[place]) if place in masked else f" {escape(token)}"
        for place, token in enumerate(sequence.tokens)
    ]
    # Pieces of a word stand together.
    text = "".join(words).replace(f" {_LATER}", "").strip()
    texts = "".join(f"<p>{each.strip()}</p>" for each in text.split(_SEPARATOR) if each.strip())
    said = "".join(f"<li>{escape(_said(each))}</li>" for each in sequence.masked)
    return f"{texts}<ul>{said}</ul>{_shown_pair(sequence)}"


def _marked(masked: _Masked) -> str:
    right = f"<ins>{escape(masked.token)}</ins>"
    return f" {right}" if masked.is_right else f" <del>{escape(masked.said)}</del> {right}"


def _said(masked: _Masked) -> str:
    said = f"Said “{masked.said}” ({masked.said_probability:.1%})"
    if masked.is_right:
        return f"{said}, which is right."
    return f"{said}; right is “{masked.token}” ({masked.right_probability:.1%})."


def _shown_pair(sequence: _Sequence) -> str:
    if sequence.is_next < 0:
        return ""
    follows = "follows" if sequence.is_next else "does not follow"
    sure = f"{sequence.next_probability:.1%}"
    return f"<p>The second text {follows} the first; said with {sure} that it does.</p>"


def _by_kind_table(by_kind: NDArray[Any]) -> str:
    rows = [
        [name, f"{group[0]:,.0f}", number(_mean(group, 1)), number(math.exp(_mean(group, 2)))]
        for name, group in zip((*_KINDS, "All"), (*by_kind, by_kind.sum(axis=0)), strict=True)
    ]
    return table(["Tokens", "Masked", "Accuracy", "Perplexity"], rows)
