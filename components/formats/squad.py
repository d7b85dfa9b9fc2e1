"""Questions about texts, whose answers are parts of the text: SQuAD's JSON, and JSON Lines.

SQuAD (rajpurkar.github.io/SQuAD-explorer), versions 1.1 and 2.0, and with the same keys XQuAD and MLQA:
{"data": [{"title": …, "paragraphs": [{"context": …, "qas": [{"id": …, "question": …, "is_impossible": …,
"answers": [{"text": …, "answer_start": …}]}]}]}]}. JSON Lines have one object a line, with `question`,
`context` and `answers`, and perhaps `id`, `title` and `is_impossible`. What else there is, such as
`plausible_answers`, is left aside. Offsets are characters (code points) of the context.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
from array import array
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import ijson
import numpy as np
import orjson

from components.formats.errors import FormatError, unreadable
from components.formats.stand_ins import HEAD_SIZE, told_by_its_head
from components.formats.tsv import MAX_ROW_BYTES, read_lines, shorten

V1: Final = "1.1"
V2: Final = "2.0"

_BOM: Final = b"\xef\xbb\xbf"
# Far more than any of these files has; deeper ones would only fill the memory.
_MAX_DEPTH: Final = 32
_WORDS: Final = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}

_Events = Iterator[tuple[str, Any]]


class Answer(NamedTuple):
    """A text, and the character of the context where it is said to start."""

    text: str
    start: int


class Question(NamedTuple):
    """A question, as a file has it: nothing is checked against the context."""

    # "dev.json: data[3].paragraphs[0].qas[2]", or "dev.jsonl: line 7".
    where: str
    id: str
    # Empty where there is none.
    title: str
    context: str
    question: str
    # None of one that is impossible.
    answers: tuple[Answer, ...]
    is_impossible: bool


class Located(NamedTuple):
    """An answer that the context has: context[start : start + len(text)] == text."""

    answer: Answer
    # Whether the file had another offset, and whether the text differed in letter case or white space.
    moved: bool = False
    respelled: bool = False


def read_squad(path: Path, with_answers: bool = True) -> Iterator[Question]:
    """Yields all questions, in the order of the file; an article at a time is in memory.

    An id may be a whole number; a line without one has its number. A question is impossible where the file
    says so, or says nothing and has no answers. Without answers, those of the file are left aside, if any.

    Raises:
      FormatError: no JSON, another structure, no questions, or, once all are read, the same id twice. It
        names the element: "dev.json: data[3].paragraphs[0].qas[2].answers: expected a list, got text".
    """
    digests = array("Q")
    for question in _questions(path, with_answers):
        digests.append(_digest(question.id))
        yield question
    if not digests:
        raise FormatError(f"{path}: expected at least one question, got none")
    if repeated := _repeated(digests):
        _check_ids(path, repeated, with_answers)


def locate(context: str, answer: Answer) -> Located | None:
    """Returns where a context has an answer: there, or as near as it occurs; None where it does not.

    Near what does not occur as it is, one is taken that differs in letter case or white space alone
    (U+202F is such, too); the answer is then as the context has it.
    """
    text, start = answer
    if not text.strip():
        return None
    if start >= 0 and context.startswith(text, start):
        return Located(answer)
    if exact := _nearest(re.escape(text), context, start):
        return Located(exact, moved=True)
    respelled = r"\s+".join(re.escape(word) for word in text.split())
    near = _nearest(f"(?i:{respelled})", context, start)
    return Located(near, moved=near.start != start, respelled=True) if near else None


def write_squad(path: Path, questions: Iterable[Question], version: str = V1) -> None:
    """Writes SQuAD's JSON, aside, then renamed; what follows each other of a title or a context is joined.

    `is_impossible` is written of version 2.0 alone.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(f'{{"version": {json.dumps(version)}, "data": [')
            for number, (title, group) in enumerate(itertools.groupby(questions, lambda q: q.title)):
                file.write(", " if number else "")
                json.dump(_article(title, group, version), file, ensure_ascii=False)
            file.write("]}\n")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _nearest(pattern: str, context: str, start: int) -> Answer | None:
    # Ahead of the place, so that occurrences may overlap.
    matches = re.finditer(f"(?=({pattern}))", context)
    found = min(matches, key=lambda match: abs(match.start() - start), default=None)
    return Answer(found[1], found.start()) if found else None


def _article(title: str, questions: Iterable[Question], version: str) -> dict[str, Any]:
    paragraphs = [
        {"context": context, "qas": [_qa(question, version) for question in group]}
        for context, group in itertools.groupby(questions, lambda question: question.context)
    ]
    return {"title": title, "paragraphs": paragraphs}


def _qa(question: Question, version: str) -> dict[str, Any]:
    answers = [{"text": text, "answer_start": start} for text, start in question.answers]
    content = {"id": question.id, "question": question.question, "answers": answers}
    return content | ({"is_impossible": question.is_impossible} if version == V2 else {})


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _repeated(digests: array[int]) -> set[int]:
    """Returns those that are there twice; sorts all of them."""
    # The array's own memory.
    values = np.frombuffer(digests, np.uint64)
    values.sort()
    return set(values[1:][values[1:] == values[:-1]].tolist())


def _check_ids(path: Path, suspects: Collection[int], with_answers: bool) -> None:
    """Raises FormatError for the first id that is there twice; other ids may have the same digest."""
    places: dict[str, str] = {}
    for question in _questions(path, with_answers):
        if _digest(question.id) in suspects:
            if question.id in places:
                got = f"{shorten(question.id)} as in {places[question.id].removeprefix(f'{path}: ')}"
                raise FormatError(f"{question.where}.id: expected each id once, got {got}")
            places[question.id] = question.where


def _questions(path: Path, with_answers: bool) -> Iterator[Question]:
    if _is_lines(path):
        for line in _lines(path):
            yield _question(line, line.text("context"), line.text("title", ""), with_answers, line.number)
        return
    for article in _articles(path):
        title = article.text("title", "")
        for paragraph in article.members("paragraphs"):
            context = paragraph.text("context")
            for qa in paragraph.members("qas"):
                yield _question(qa, context, title, with_answers)


class _Element(NamedTuple):
    """An object of a file, and where it is: "dev.json: data[3]"."""

    where: str
    value: dict[str, Any]
    # Of its line.
    number: str | None = None

    def get(self, key: str, kinds: tuple[type, ...], default: Any = None) -> Any:
        """Returns a value of these types (or the default, if there is one, of no value)."""
        found = self.value.get(key)
        if found is None and default is not None:
            return default
        # A bool is an int to Python.
        if type(found) not in kinds:
            got = _shown(found) if key in self.value else "nothing"
            expected = " or ".join(_WORDS[kind] for kind in kinds)
            raise FormatError(f"{self.where}.{key}: expected {expected}, got {got}")
        return found

    def text(self, key: str, default: str | None = None) -> str:
        """Returns a text."""
        found: str = self.get(key, (str,), default)
        return found

    def members(self, key: str, default: list[Any] | None = None) -> Iterator[_Element]:
        """Yields the objects of a list."""
        for index, value in enumerate(self.get(key, (list,), default)):
            yield _element(f"{self.where}.{key}[{index}]", value)


def _element(where: str, value: Any, number: str | None = None) -> _Element:
    if not isinstance(value, dict):
        raise FormatError(f"{where}: expected an object, got {_shown(value)}")
    return _Element(where, value, number)


def _shown(value: Any) -> str:
    """Returns a value in words, itself where it is short by nature."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return f"{_WORDS[type(value)]} {shorten(value) if isinstance(value, str) else value}"
    return _WORDS[type(value)]


def _question(
    element: _Element, context: str, title: str, with_answers: bool, number: str | None = None
) -> Question:
    is_impossible = element.value.get("is_impossible")
    if is_impossible is not None:
        element.get("is_impossible", (bool,))
    answers = tuple(_answers(element)) if with_answers and not is_impossible else ()
    return Question(
        where=element.where,
        id=str(element.get("id", (str, int), number)),
        title=title,
        context=context,
        question=element.text("question"),
        answers=answers,
        is_impossible=not answers if is_impossible is None else is_impossible,
    )


def _answers(element: _Element) -> Iterator[Answer]:
    if isinstance(element.value.get("answers"), dict):
        # As Hugging Face's datasets have them: a list of the texts and one of the offsets.
        columns = _Element(f"{element.where}.answers", element.value["answers"])
        element = element._replace(value={"answers": list(_rows(columns))})
    for answer in element.members("answers"):
        yield Answer(answer.text("text"), answer.get("answer_start", (int,)))


def _rows(columns: _Element) -> Iterator[dict[str, Any]]:
    texts, starts = columns.get("text", (list,)), columns.get("answer_start", (list,))
    if len(texts) != len(starts):
        raise FormatError(
            f"{columns.where}.answer_start: expected as many as texts, {len(texts)}, got {len(starts)}"
        )
    for text, start in zip(texts, starts, strict=True):
        yield {"text": text, "answer_start": start}


def _lines(path: Path) -> Iterator[_Element]:
    for number, line in read_lines(path):
        where = f"{path}: line {number}"
        if len(line) > MAX_ROW_BYTES:
            raise FormatError(f"{where}: expected at most {MAX_ROW_BYTES} bytes, got more")
        if line.strip():
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise FormatError(f"{where}: expected JSON, got: {error}") from error
            yield _element(where, value, str(number))


def _is_lines(path: Path) -> bool:
    """Whether a file has an object a line; raises FormatError for one that is of neither form."""
    with _open(path) as stream, _json_errors(str(path)):
        for key, events in _top_keys(path, _parse(stream, many=True)):
            if key in ("question", "context"):
                return True
            if key == "data":
                return False
            _build(events, *next(events))
    raise FormatError(f"{path}: expected an object with data, or with question and context, got one without")


def _articles(path: Path) -> Iterator[_Element]:
    with _open(path) as stream:
        events = _parse(stream)
        # What comes last is what is broken.
        where = f"{path}: data"
        with _json_errors(where):
            for key, values in _top_keys(path, events):
                event, value = next(values)
                if key != "data":
                    _build(values, event, value)
                    continue
                if event != "start_array":
                    raise FormatError(f"{where}: expected a list, got {_shown(_build(values, event, value))}")
                yield from _items(where, values)


def _items(where: str, events: _Events) -> Iterator[_Element]:
    for index in itertools.count():
        place = f"{where}[{index}]"
        with _json_errors(place):
            event, value = next(events)
            if event == "end_array":
                return
            article = _build(events, event, value)
        yield _element(place, article)


def _top_keys(path: Path, events: _Events) -> Iterator[tuple[str, _Events]]:
    """Yields each key of an object, and the events, of which the caller takes those of its value."""
    event, value = next(events)
    if event != "start_map":
        raise FormatError(f"{path}: expected an object, got {_shown(_build(events, event, value))}")
    seen: set[str] = set()
    for event, key in events:
        if event == "end_map":
            break
        _check_new(key, seen)
        seen.add(key)
        yield key, events
    # To the end of the file, which finds what follows the object.
    next(events, None)


def _build(events: _Events, event: str, value: Any, depth: int = 0) -> Any:
    """Returns the value that starts with an event; takes the others that belong to it."""
    if depth > _MAX_DEPTH:
        raise ijson.JSONError(f"more than {_MAX_DEPTH} values within each other")
    if event == "start_map":
        members: dict[str, Any] = {}
        for event, key in events:
            if event == "end_map":
                break
            _check_new(key, members)
            members[key] = _build(events, *next(events), depth + 1)
        return members
    if event == "start_array":
        items = []
        for event, inner in events:
            if event == "end_array":
                break
            items.append(_build(events, event, inner, depth + 1))
        return items
    return value


def _check_new(key: str, keys: Collection[str]) -> None:
    """Raises JSONError for a key that is there twice, of which a parser would drop one."""
    if key in keys:
        raise ijson.JSONError(f"the key {key!r} twice")


def _parse(stream: BinaryIO, many: bool = False) -> _Events:
    if stream.read(len(_BOM)) != _BOM:
        stream.seek(0)
    # With `use_float`, a number of thousands of digits is an error; without, it ends the process.
    events: _Events = iter(ijson.basic_parse(stream, use_float=True, multiple_values=many))
    return events


@contextlib.contextmanager
def _json_errors(where: str) -> Iterator[None]:
    try:
        yield
    # A lone half of a pair of surrogates is a UnicodeDecodeError.
    except (ijson.JSONError, UnicodeDecodeError) as error:
        # Below it the parser draws where that is.
        (reason, *_) = str(error).removeprefix("b'").split("\\n")[0].splitlines() or [type(error).__name__]
        raise FormatError(f"{where}: expected JSON, got: {reason}") from error


@contextlib.contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as stream:
            if told := told_by_its_head(stream.peek(HEAD_SIZE)[:HEAD_SIZE], "JSON"):
                raise FormatError(f"{path}: {told}")
            yield stream
    except OSError as error:
        raise unreadable(path, error) from error
