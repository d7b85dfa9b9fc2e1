"""Windows of SQuAD's questions in plain Python, for comparison: rules of google-research/bert, run_squad.py.

As there, a context is words between white space first; an answer is whole words, then made smaller where
pieces within them are those of the answer's text.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bert_reference import basic_words, pieces

from components.formats.squad import Answer, Question

_WHITE_SPACE = " \t\r\n\u202f"
_NUM_SPECIAL = 3


class Settings(NamedTuple):
    """What run_squad.py has as flags, with its defaults."""

    vocabulary: Mapping[str, int]
    lower_case: bool = True
    length: int = 384
    stride: int = 128
    question_length: int = 64


class Window(NamedTuple):
    """What a model learns from."""

    token_ids: list[int]
    segment_ids: list[int]
    padding_mask: list[int]
    start_position: int
    end_position: int


class Words(NamedTuple):
    """The pieces of a context, by its words."""

    pieces: list[str]
    # Of each word, its first piece.
    firsts: list[int]
    # Of each character, the word that it is of, or that is before it.
    word_of: list[int]


def windows(question: Question, settings: Settings) -> Iterator[Window]:
    """Yields the windows of a question whose answer, if any, is where it says."""
    asked = split(question.question, settings)[: settings.question_length]
    words = words_of(question.context, settings)
    right = improved(words, question.answers[0], settings) if question.answers else None
    room = settings.length - len(asked) - _NUM_SPECIAL
    for start in starts(len(words.pieces), room, settings.stride):
        yield window(asked, words.pieces[start : start + room], start, right, settings)


def split(text: str, settings: Settings) -> list[str]:
    return [
        piece
        for word in basic_words(text, settings.lower_case)
        for piece in pieces(word, settings.vocabulary)
    ]


def words_of(context: str, settings: Settings) -> Words:
    words: list[str] = []
    word_of, is_new = [], True
    for char in context:
        if char in _WHITE_SPACE:
            is_new = True
        elif is_new:
            words.append(char)
            is_new = False
        else:
            words[-1] += char
        word_of.append(len(words) - 1)
    parts = [split(word, settings) for word in words]
    firsts = [0, *itertools.accumulate(map(len, parts))]
    return Words(list(itertools.chain(*parts)), firsts, word_of)


def improved(words: Words, answer: Answer, settings: Settings) -> tuple[int, int]:
    """Returns the first and the last piece: the first span in the words of an answer that reads the same."""
    first = words.firsts[words.word_of[answer.start]]
    last = words.firsts[words.word_of[answer.start + len(answer.text) - 1] + 1] - 1
    text = " ".join(split(answer.text, settings))
    for begin in range(first, last + 1):
        for end in range(last, begin - 1, -1):
            if " ".join(words.pieces[begin : end + 1]) == text:
                return begin, end
    return first, last


def starts(count: int, room: int, stride: int) -> Iterator[int]:
    start = 0
    while start < count:
        yield start
        if start + room >= count:
            break
        start += min(room, stride)


def window(
    asked: Sequence[str],
    part: Sequence[str],
    start: int,
    right: tuple[int, int] | None,
    settings: Settings,
) -> Window:
    before = ["[CLS]", *asked, "[SEP]"]
    tokens = [*before, *part, "[SEP]"]
    rest = [0] * (settings.length - len(tokens))
    inside = right is not None and start <= right[0] and right[1] < start + len(part)
    first, last = (place - start + len(before) for place in right) if right and inside else (0, 0)
    return Window(
        [settings.vocabulary[token] for token in tokens] + rest,
        [0] * len(before) + [1] * (len(part) + 1) + rest,
        [1] * len(tokens) + rest,
        first,
        last,
    )
