"""Questions about paragraphs, in SQuAD's JSON or in JSON Lines, as a source of examples."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import logging
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from components.config import Config
from components.features import (
    ANSWER_STARTS,
    ANSWERS,
    CONTEXT,
    ID,
    IS_IMPOSSIBLE,
    LENGTH,
    PARAGRAPH,
    QUESTION,
    QUESTION_WORD,
    TITLE,
    Feature,
)
from components.formats.errors import FormatError
from components.formats.squad import V1, V2, Answer, Located, Question, locate, read_squad
from components.formats.tsv import shorten
from components.protocols import BadRecord, Found, Note, Record, Split
from components.sources import finding
from components.sources.sentences import made_sentence
from components.sources.tsv_parser import length_range

_logger = logging.getLogger(__name__)

# The kinds of notes on answers, which are used as the context has them.
MOVED: Final = "moved to where their text is"
RESPELLED: Final = "found but for letter case and white space"
# A note on one of several answers, and a bad record.
ONE_NOT_FOUND: Final = "answers, beside others, that are not in the context"
NOT_FOUND: Final = "questions whose answer is not in the context"
UNANSWERED: Final = "questions without an answer"
EMPTY: Final = "empty questions or contexts"

_LENGTH_BOUNDS: Final = (256, 512, 1024, 2048)
_WORDS: Final = {"whom": "who", "whose": "who"}
_WORD: Final = re.compile(r"\b(who|whom|whose|what|when|where|why|how|which)\b", re.IGNORECASE)
# No pattern, since it is one.
_NAME: Final = r"^\w[\w.-]*$"
_ANY_VERSION: Final = "[12].[01]"
# Below the data directory, as they are often called.
_FOLDERS: Final = ("SQuAD", "squad")
# How long made contexts are.
_SENTENCES: Final = (1, 4, 16)


class SquadPart(NamedTuple):
    """All questions of a file: JSON can be read from its start alone."""

    path: Path
    # Whether a question that has no answer, as version 2.0 has them, is a good one.
    may_be_impossible: bool

    @property
    def file(self) -> str:
        """The file's name."""
        return self.path.name

    def records(self) -> Iterator[Record | BadRecord | Note]:
        """Yields the features of each question, notes on its answers before it, or what is wrong with it.

        Raises FormatError for a file that is not of the format.
        """
        for question in read_squad(self.path):
            answers, notes = _located(question)
            bad = self._bad(question, answers)
            yield from () if bad else notes
            yield bad or _record(question, answers)

    def _bad(self, question: Question, answers: list[Answer]) -> BadRecord | None:
        where = question.where
        if not question.question.strip() or not question.context.strip():
            return BadRecord(f"{where}: expected a question and a context, got an empty one", EMPTY)
        if question.is_impossible:
            reason = f"{where}: expected an answer, as in version {V1}, got none"
            return None if self.may_be_impossible else BadRecord(reason, UNANSWERED)
        if not question.answers:
            return BadRecord(f"{where}: expected an answer, got none", UNANSWERED)
        return None if answers else BadRecord(_not_found(question, 0), NOT_FOUND)


def _as_typed(version: Any) -> Any:
    """Returns the text of a number, as which a command line is read: 2.0 -> "2.0"."""
    return str(version) if isinstance(version, float) else version


class SquadSource(Config):
    """Questions about paragraphs, each with any number of answers that are parts of its paragraph."""

    train_file: str | None = Field(
        None, pattern=_NAME, description="Default: train-v1.1.json or train-v2.0.json, whichever is there."
    )
    eval_file: str | None = Field(
        None, pattern=_NAME, description="Default: dev-v1.1.json or dev-v2.0.json, whichever is there."
    )
    version: Annotated[Literal["auto", "1.1", "2.0"], BeforeValidator(_as_typed)] = Field(
        "auto",
        description="1.1: all questions have answers; 2.0: some have none; auto: as the names say, else 2.0.",
    )
    validation_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Part of the paragraphs to train on that becomes eval; the other file is then test.",
    )
    max_bad_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of questions that may be unusable: they are left out, counted and reported.",
    )

    @property
    def features(self) -> Mapping[str, Feature]:
        """What a request has, question and context; answers; and for slices alone, all the others.

        `length` is the range of the number of the context's characters: "1-256", "257-512", "513-1024",
        "1025-2048" or "2049+".
        """
        slices = (ID, TITLE, PARAGRAPH, LENGTH, QUESTION_WORD)
        return {
            **{key: Feature(dtype="bytes") for key in (QUESTION, CONTEXT)},
            ANSWERS: Feature(dtype="bytes", shape=None, served=False),
            ANSWER_STARTS: Feature(dtype="int64", shape=None, minimum=0, served=False),
            IS_IMPOSSIBLE: Feature(dtype="int64", minimum=0, maximum=1, categorical=True, served=False),
            **{key: Feature(dtype="bytes", served=False) for key in slices},
        }

    @property
    def input_splits(self) -> tuple[Split, ...]:
        return (
            Split("train", self.train_file or self._pattern("train"), self.validation_fraction),
            Split(self.evaluation_split, self.eval_file or self._pattern("dev")),
        )

    @property
    def evaluation_split(self) -> str:
        return "test" if self.validation_fraction else "eval"

    @property
    def group_key(self) -> str:
        return PARAGRAPH

    @property
    def counted_by(self) -> None:
        return None

    def _pattern(self, name: str) -> str:
        return f"{name}-v{_ANY_VERSION if self.version == 'auto' else self.version}.json"

    def with_evaluation_file(self, name: str) -> SquadSource:
        # The field is a pattern, the name is none.
        return self.model_copy(update={"eval_file": glob.escape(name)})

    def check(self, directory: Path) -> None:
        """Reads every file up to its first good question; raises FormatError where there is none."""
        for split in self.input_splits:
            for part in self.parts(directory, split):
                if all(isinstance(record, (BadRecord, Note)) for record in part.records()):
                    raise FormatError(f"{part.path}: expected at least one good question, got none")

    def parts(self, directory: Path, split: Split) -> list[SquadPart]:
        """Returns the one file of a split; raises FormatError for none and for several."""
        path = Path(*self.raw_files(str(directory), split))
        is_v1 = self.version == V1 or (self.version == "auto" and path.name.endswith(f"-v{V1}.json"))
        return [SquadPart(path, not is_v1)]

    def raw_files(self, directory: str, split: Split) -> list[str]:
        """Returns the location of the one file; raises FormatError for none, and for several."""
        names = list(dict.fromkeys(split.pattern.replace(_ANY_VERSION, version) for version in (V1, V2)))
        finding.check_folder(directory, " or ".join(names))
        found = finding.find(directory, lambda name: fnmatch.fnmatchcase(name, split.pattern), _FOLDERS)
        return [finding.one(directory, names, found, ", or `version` to tell which")]

    def check_found(self, file: str, found: Found) -> None:
        """Raises FormatError for too many bad questions; one line says how many answers were repaired."""
        count = found.num_bad + found.good.total()
        if found.num_bad > self.max_bad_share * count:
            share = f"max_bad_share {self.max_bad_share:g}"
            raise FormatError(f"{found.first_bad} (the first of {found.num_bad} of {count}, above {share})")
        if found.kinds:
            _logger.warning("%s: %s", file, _told(found))

    def sample(self, count: int, seed: int) -> list[Record]:
        """Returns a question and a context of made sentences each; the same for the same seed."""
        generator = random.Random(seed)
        return [_made(generator) for _ in range(count)]


def question_word(question: str) -> str:
    """Returns what is asked for, "other" where no word tells: "In what year …?" -> "what"."""
    found = _WORD.search(question)
    word = found[0].lower() if found else "other"
    return _WORDS.get(word, word)


def _located(question: Question) -> tuple[list[Answer], list[Note]]:
    """Returns the answers that the context has, as it has them, and what there is to note on all."""
    places = [locate(question.context, answer) for answer in question.answers]
    notes = [_note(question, index, place) for index, place in enumerate(places)]
    return [place.answer for place in places if place], [note for note in notes if note]


def _note(question: Question, index: int, located: Located | None) -> Note | None:
    if located is None:
        return Note(ONE_NOT_FOUND, _not_found(question, index))
    if not located.moved and not located.respelled:
        return None
    asked, (text, start) = question.answers[index], located.answer
    where = f"{question.where}.answers[{index}]"
    example = f"{where}: expected {shorten(asked.text)} at {asked.start}, got {shorten(text)} at {start}"
    return Note(RESPELLED if located.respelled else MOVED, example)


def _not_found(question: Question, index: int) -> str:
    where = f"{question.where}.answers[{index}].text"
    return f"{where}: expected a part of the context, got {shorten(question.answers[index].text)}"


def _record(question: Question, answers: list[Answer]) -> Record:
    context = question.context.encode()
    return {
        ID: question.id.encode(),
        TITLE: question.title.encode(),
        PARAGRAPH: hashlib.blake2b(context, digest_size=8).hexdigest().encode(),
        LENGTH: length_range(len(question.context), _LENGTH_BOUNDS).encode(),
        QUESTION_WORD: question_word(question.question).encode(),
        QUESTION: question.question.encode(),
        CONTEXT: context,
        ANSWERS: [answer.text.encode() for answer in answers],
        ANSWER_STARTS: [answer.start for answer in answers],
        IS_IMPOSSIBLE: int(question.is_impossible),
    }


def _told(found: Found) -> str:
    """Returns what was repaired and what was left out, in one line."""
    repaired = ", ".join(f"{found.kinds[kind]} {kind}" for kind in (MOVED, RESPELLED))
    dropped = Counter({kind: n for kind, n in found.kinds.items() if kind not in (MOVED, RESPELLED)})
    reasons = ", ".join(f"{kind} ({count})" for kind, count in sorted(dropped.items())) or "none"
    return f"repaired answers: {repaired}; left out: {reasons}; such as {found.first_bad or found.first_note}"


def _made(generator: random.Random) -> Record:
    sentences = [made_sentence(generator) for _ in range(generator.choice(_SENTENCES))]
    return {QUESTION: made_sentence(generator).encode(), CONTEXT: " ".join(sentences).encode()}
