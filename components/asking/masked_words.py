"""Questions about texts in which words are masked: which words fit there best?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, cast

from components.asking.occlusion import of_texts
from components.asking.typed import typed
from components.errors import UserError
from components.features import SENTENCES
from components.formats.vocabulary import JOINER, MASK
from components.protocols import Entry, Given, Occlusion, Preprocessing, Question, Record, Reply, Source

if TYPE_CHECKING:
    from components.protocols import Arrays

_TEXT: Final = "text"
_TOKENS: Final = "tokens"
_PROBABILITIES: Final = "probabilities"
# In a cell, what is told of one [MASK] and of the next.
_BETWEEN: Final = " | "
# Of a text that is refused.
_SHOWN_CHARACTERS: Final = 80
_WORD: Final = re.compile(r"\w+")


class NoMask(UserError):
    """A text in which nothing is masked, or outputs that fill in nothing."""


class Filling(NamedTuple):
    """A token that may stand in place of a [MASK]."""

    token: str
    probability: float


@dataclass(frozen=True)
class FillMask:
    """Asks for the words that are masked in texts."""

    takes = f"a text with {MASK} in place of words"
    entry = Entry("text", (_TEXT,))
    fields: ClassVar[tuple[str, ...]] = ()
    sample = Given([f"She has two black {MASK} near the river."])

    def fitted_to(self, source: Source, preprocessing: Preprocessing) -> FillMask:
        return self

    def questions(self, given: Given) -> Iterator[Question]:
        """Yields one question about all texts; raises NoMask. An input that is a file is a warning."""
        import numpy as np

        if given.rows is not None:
            raise NoMask(f"--pairs {given.rows}: expected {self.takes}, got a file")
        texts = typed(given.inputs, given.texts)
        for text in texts:
            if MASK not in text:
                shown = repr(text[:_SHOWN_CHARACTERS])
                raise NoMask(f"expected {MASK} in the text, in place of a word, got {shown}")
        encoded = np.array([text.encode("utf-8", "ignore") for text in texts], object)
        yield Question("fill_mask", {_TEXT: encoded}, texts)

    def replies(self, question: Question, outputs: Arrays) -> Iterator[Reply]:
        """Yields the text with the most probable words in brackets, and those for each [MASK]."""
        if missing := {_TOKENS, _PROBABILITIES} - outputs.keys():
            raise NoMask(f"expected outputs {', '.join(sorted(missing))}, got {', '.join(sorted(outputs))}")
        rows = zip(question.names, outputs[_TOKENS], outputs[_PROBABILITIES], strict=True)
        for text, *answer in rows:
            # All rows of an answer have as many as the one with the most.
            answered = [_fillings(*mask) for mask in zip(*answer, strict=True)]
            yield _reply(text, [*answered, *[[]] * text.count(MASK)][: text.count(MASK)])

    def occluded(self, question: Question, reply: Reply) -> Occlusion:
        """Returns the text without some of its words, but none that is masked."""
        text = question.inputs[_TEXT][0].decode()
        kept = {_TEXT: [found.span() for found in re.finditer(re.escape(MASK), text)]}
        best = [mask[0]["token"] if mask else "" for mask in reply.values["masks"]]
        return of_texts(question, (_TEXT,), lambda other: _probability(other, best), kept)

    def written(self, record: Record, stem: Path) -> Given:
        """Returns the first sentence to ask about, its middle word masked: "It [MASK] still."."""
        sentence = cast(Sequence[bytes], record[SENTENCES])[0].decode()
        words = list(_WORD.finditer(sentence))
        if not words:
            return self.sample
        word = words[len(words) // 2]
        return Given([sentence[: word.start()] + MASK + sentence[word.end() :]])


def _fillings(tokens: Sequence[Any], probabilities: Sequence[float]) -> list[Filling]:
    # A server's JSON has texts, all else bytes; "" fills up.
    texts = [token.decode() if isinstance(token, bytes) else str(token) for token in tokens]
    return [Filling(text, float(share)) for text, share in zip(texts, probabilities, strict=True) if text]


def _reply(text: str, masks: Sequence[Sequence[Filling]]) -> Reply:
    best = [fillings[0] if fillings else Filling(MASK, 0.0) for fillings in masks]
    words = [each.token for each in best]
    values = {
        "filled": filled(text, words),
        "masks": [[each._asdict() for each in fillings] for fillings in masks],
    }
    cells = {
        "filled in": _BETWEEN.join(words),
        "probability>": _BETWEEN.join(f"{each.probability:.1%}" for each in best),
        "others": _BETWEEN.join(_told(fillings[1:]) for fillings in masks),
    }
    return Reply(text, values, _sentence(text, words, masks), cells)


def _sentence(text: str, words: Sequence[str], masks: Sequence[Sequence[Filling]]) -> str:
    """Returns 'In [spring] it rains.', and below it a line for each [MASK]: "spring 75.0%, may 5.0%"."""
    told = [_told(fillings) for fillings in masks]
    lines = told if len(told) == 1 else [f"{number}. {line}" for number, line in enumerate(told, start=1)]
    return "\n".join([filled(text, words, "[{}]"), *lines])


def _probability(reply: Reply, tokens: Sequence[str]) -> float:
    """Returns the mean probability of a token for each [MASK]; 0 of one that is not among the best."""
    shares = [
        sum(each["probability"] for each in mask if each["token"] == token)
        for mask, token in zip(reply.values["masks"], tokens, strict=True)
    ]
    return sum(shares) / len(shares)


def _told(fillings: Sequence[Filling]) -> str:
    return ", ".join(f"{each.token} {each.probability:.1%}" for each in fillings)


def filled(text: str, words: Sequence[str], form: str = "{}") -> str:
    """Returns a text with words in place of its [MASK]s; a later piece goes with the word before it.

    filled("He walk [MASK] up [MASK].", ["##ed", "hills"]) -> "He walked up hills."
    """
    shown, *rests = text.split(MASK)
    for word, rest in zip(words, rests, strict=True):
        before = shown.rstrip() if word.startswith(JOINER) else shown
        shown = before + form.format(word.removeprefix(JOINER)) + rest
    return shown
