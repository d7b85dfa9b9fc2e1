"""Plain text without labels as a source of examples, for a model that learns words from their neighbours.

An example is a run: some sentences of one document that follow each other, a few thousand bytes, whatever the
document's size. Pairs of neighbouring sentences, and masks, are drawn from it anew each epoch. For pairs that
are no neighbours it has a run of another document, too, which a hash of its own place chooses: the corpus is
read from a random byte on until there is one. So examples depend on nothing but the files and the settings.
"""

from __future__ import annotations

import fnmatch
import glob
import itertools
import os
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import Field

from components import files
from components.config import Config
from components.features import DOCUMENT, FILE, OTHER_SENTENCES, SENTENCES, Feature
from components.formats.errors import FormatError, unreadable
from components.formats.plain_text import (
    MAX_LINE_BYTES,
    is_packed,
    next_line,
    read_documents,
    split_sentences,
    unpacked,
)
from components.formats.tsv import cut_file
from components.protocols import Found, Record, Split
from components.sources import finding
from components.sources.hashing import hashed
from components.sources.sentences import made_sentence

Run = list[str]

# Of the other document, one of the first so many runs: a document's start should not give it away.
_MAX_RUNS: Final = 8
# Documents that a pair of sentences which are no neighbours takes.
_ENOUGH: Final = 2
_PAIR: Final = 2
# What would help where there are too few, in all and in a split.
_EMPTY_LINES: Final = "empty lines between documents and nowhere else"
_PARAGRAPHS: Final = "source.split_sentences=true where lines are paragraphs"
_FRACTION: Final = "more documents, another source.validation_fraction"
_MADE_SENTENCES: Final = (2, 4, 8)


class CorpusPart(NamedTuple):
    """The documents that begin in a range of a file's bytes, of one split."""

    path: Path
    directory: Path
    source: CorpusSource
    split: Split
    start: int = 0
    stop: int = sys.maxsize

    @property
    def file(self) -> str:
        """The file's name, relative to the data directory."""
        return os.path.relpath(self.path, self.directory)

    def records(self) -> Iterator[Record]:
        """Yields the runs of each document; raises FormatError for what is no text, and no other document."""
        with unpacked(self.path) as plain:
            others = self._others(plain)
            for runs in self.source.runs(plain, self.path, self.start, self.stop):
                first = next(runs)
                document = name_of(first)
                if not self.source.belongs(document, self.split):
                    continue
                for number, run in enumerate(itertools.chain([first], runs)):
                    other = others.run(document, number) if self.source.next_sentence else []
                    yield {
                        SENTENCES: [sentence.encode() for sentence in run],
                        OTHER_SENTENCES: [sentence.encode() for sentence in other],
                        DOCUMENT: document.encode(),
                        FILE: self.file.encode(),
                    }

    def _others(self, plain: Path) -> _Others:
        """Returns other documents: of a gzip file, which cannot be read from its middle, those of itself."""
        found = [Path(file) for file in self.source.raw_files(str(self.directory), self.split)]
        drawn = [self.path] if plain != self.path else [file for file in found if not is_packed(file)]
        return _Others(self, found, drawn, {self.path: plain})


class _Others:
    """Draws runs of other documents of a split."""

    def __init__(
        self, part: CorpusPart, found: Sequence[Path], drawn: Sequence[Path], plain: Mapping[Path, Path]
    ) -> None:
        self._part = part
        self._files = found
        self._plain = plain
        self._drawn = drawn
        self._sizes = [plain.get(path, path).stat().st_size for path in drawn]

    def run(self, document: str, number: int) -> Run:
        """Returns a run of a document but this one, for this document's run of that number."""
        source, split = self._part.source, self._part.split
        generator = random.Random(hashed(source.seed, document, number))
        for runs in self._from(*self._place(generator.randrange(sum(self._sizes)))):
            first = next(runs)
            other = name_of(first)
            if other != document and source.belongs(other, split):
                return generator.choice([first, *itertools.islice(runs, _MAX_RUNS - 1)])
        raise FormatError(
            f"{self._part.path}: expected a second document in split {split.name!r}, for sentences that are "
            "no neighbours, got none; more documents, a larger source.validation_fraction, or "
            "source.next_sentence=false would help"
        )

    def _place(self, position: int) -> tuple[Path, int]:
        """Returns a byte of all files as one of a file."""
        for path, size in zip(self._drawn, self._sizes, strict=True):
            if position < size:
                return path, position
            position -= size
        raise ValueError(f"expected a byte of {sum(self._sizes)}, got {position} more")

    def _from(self, path: Path, position: int) -> Iterator[Iterator[Run]]:
        """Yields the documents of a file from a place on, all of the file, and those of the next files."""
        index = self._files.index(path)
        yield from self._runs(path, position)
        for other in (*self._files[index:], *self._files[:index]):
            yield from self._runs(other)

    def _runs(self, path: Path, position: int = 0) -> Iterator[Iterator[Run]]:
        source = self._part.source
        if path in self._plain:
            plain = self._plain[path]
            yield from source.runs(plain, path, next_line(plain, position))
            return
        with unpacked(path) as plain:
            yield from source.runs(plain, path, next_line(plain, position))


class CorpusSource(Config):
    """Documents in text files, a sentence a line, which are split by document."""

    files: tuple[str, ...] = Field(
        ("*.txt", "*.txt.gz"),
        min_length=1,
        description="Patterns of paths below the data directory, or folders; * stands for folders, too.",
    )
    eval_files: tuple[str, ...] = Field((), description="The same for evaluation; these do not train.")
    validation_fraction: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Without eval_files: the share of documents, chosen by a hash, that evaluates.",
    )
    split_sentences: bool = Field(
        False, description="A line is a paragraph, which a rule splits, and not a sentence."
    )
    next_sentence: bool = Field(True, description="Whether examples have sentences of another document, too.")
    max_line_bytes: int = Field(
        MAX_LINE_BYTES,
        ge=1,
        le=1 << 26,
        description="A longer line is refused: it is no sentence, and has to fit into memory.",
    )
    run_bytes: int = Field(
        4096, ge=1, le=1 << 24, description="A run of two sentences or more ends when it has so many."
    )
    part_size_bytes: int = Field(
        1 << 24,
        ge=1,
        description="Bytes of one unit of work, and so of one shard; a gzip file is one unit.",
    )
    seed: int = Field(0, description="Of the sentences of other documents.")

    @property
    def features(self) -> Mapping[str, Feature]:
        """Sentences, those of another document (none without `next_sentence`), which document, which file."""
        return {
            **{key: Feature(dtype="bytes", shape=None) for key in (SENTENCES, OTHER_SENTENCES)},
            **{key: Feature(dtype="bytes", served=False) for key in (DOCUMENT, FILE)},
        }

    @property
    def input_splits(self) -> tuple[Split, ...]:
        return (
            Split("train", " or ".join(self.files)),
            Split(self.evaluation_split, " or ".join(self.eval_files or self.files)),
        )

    @property
    def evaluation_split(self) -> str:
        return "eval"

    @property
    def group_key(self) -> str:
        return DOCUMENT

    @property
    def counted_by(self) -> None:
        return None

    def belongs(self, document: str, split: Split) -> bool:
        """Whether a document of a split's files is of the split, by its name alone."""
        held_out = hashed(document) < self.validation_fraction * 2.0**64
        return bool(self.eval_files) or held_out == (split.name == self.evaluation_split)

    def raw_files(self, directory: str, split: Split) -> list[str]:
        """Returns the locations of a split's files, sorted; raises FormatError where there are none."""
        finding.check_folder(directory, split.pattern)
        evaluates = split.name == self.evaluation_split
        patterns = self.eval_files if evaluates and self.eval_files else self.files
        try:
            names = [name for name in files.walk(directory) if _matches(name, patterns)]
        except OSError as error:
            raise unreadable(error.filename or directory, error) from error
        found = [name for name in names if evaluates or not _matches(name, self.eval_files)]
        if not found:
            raise finding.missing(directory, patterns)
        return sorted(os.path.join(directory, name) for name in found)

    def with_evaluation_file(self, name: str) -> CorpusSource:
        # The field is a pattern, the name is none.
        return self.model_copy(update={"eval_files": (glob.escape(name),)})

    def check(self, directory: Path) -> None:
        """Reads until it is clear that there are documents enough; raises FormatError where there are not."""
        for split in self.input_splits:
            paths = [Path(file) for file in self.raw_files(str(directory), split)]
            for path in paths:
                is_packed(path)
            where = f"{directory} ({split.pattern})"
            if self.eval_files or split.name != self.evaluation_split:
                self._check_documents(where, self._all_runs(paths), _EMPTY_LINES)
        if not self.eval_files:
            for split in self.input_splits:
                runs = (named for named in self._all_runs(paths) if self.belongs(named.document, split))
                self._check_documents(f"{where}, split {split.name!r}", runs, _FRACTION)

    def parts(self, directory: Path, split: Split) -> list[CorpusPart]:
        """Returns the documents of a split in parts that begin within about `part_size_bytes`."""
        return [
            CorpusPart(Path(file), directory, self, split, *part)
            for file in self.raw_files(str(directory), split)
            for part in self._ranges(Path(file))
        ]

    def check_found(self, file: str, found: Found) -> None:
        """Nothing: what is no text raises, and a file may be empty."""

    def sample(self, count: int, seed: int) -> list[Record]:
        """Returns runs of made sentences, of two documents each; the same for the same seed.

        Each asks for one word, as requests do: an empty sentence stands for [MASK].
        """
        generator = random.Random(seed)
        return [
            {
                SENTENCES: _without_a_word(_made(generator), generator),
                OTHER_SENTENCES: _made(generator) if self.next_sentence else [],
            }
            for _ in range(count)
        ]

    def runs(
        self, plain: Path, name: Path, start: int = 0, stop: int = sys.maxsize
    ) -> Iterator[Iterator[Run]]:
        """Yields the runs of each document that begins in a range of a file, one at least.

        `name` is what to call the file; `start` is where a line starts.
        """
        for lines in read_documents(plain, start, stop, name=name, max_line_bytes=self.max_line_bytes):
            sentences = itertools.chain.from_iterable(map(split_sentences, lines))
            yield cut_runs(sentences if self.split_sentences else lines, self.run_bytes)

    def _ranges(self, path: Path) -> Iterable[tuple[int, int]]:
        return [(0, sys.maxsize)] if is_packed(path) else cut_file(path, self.part_size_bytes)

    def _check_documents(self, where: str, runs: Iterable[_NamedRun], hint: str) -> None:
        names: set[str] = set()
        documents = sentences = 0
        for document, run, is_first in runs:
            documents += is_first
            sentences += len(run)
            if len(names) < _ENOUGH:
                names.add(document)
            if not self.next_sentence or (len(names) == _ENOUGH and sentences > documents):
                return
        if not sentences and hint == _EMPTY_LINES:
            raise FormatError(f"{where}: expected at least one sentence, got none")
        if not self.next_sentence:
            helps = f"{hint}, or source.eval_files, would help"
            raise FormatError(f"{where}: expected at least one sentence, got none; {helps}")
        what = "documents of several sentences" if len(names) == _ENOUGH else "two documents that differ"
        got = f"{_counted(documents, 'document')} with {_counted(sentences, 'sentence')}"
        if len(names) == _ENOUGH and not self.split_sentences:
            hint = f"{_PARAGRAPHS}, {hint}"
        raise FormatError(
            f"{where}: expected {what}, got {got}; {hint}, or source.next_sentence=false, would help"
        )

    def _all_runs(self, paths: Iterable[Path]) -> Iterator[_NamedRun]:
        for path in paths:
            with unpacked(path) as plain:
                for runs in self.runs(plain, path):
                    first = next(runs)
                    document = name_of(first)
                    yield _NamedRun(document, first, True)
                    yield from (_NamedRun(document, run, False) for run in runs)


class _NamedRun(NamedTuple):
    """A run, of which document it is, and whether it is its first."""

    document: str
    run: Run
    is_first: bool


def name_of(first: Run) -> str:
    """Returns what a document with this first run is called, which is the same for the same text."""
    return f"{hashed(*first):016x}"


def cut_runs(sentences: Iterable[str], run_bytes: int) -> Iterator[Run]:
    """Yields sentences in runs of at least `run_bytes`, and of two or more sentences if there are so many.

    What is left over at the end is a run of its own, or, being one sentence, goes with the run before.
    """
    before: Run = []
    run: Run = []
    size = 0
    for sentence in sentences:
        run.append(sentence)
        size += len(sentence.encode())
        if len(run) < _PAIR:
            continue
        if before:
            yield before
            before = []
        if size >= run_bytes:
            before, run, size = run, [], 0
    if before or run:
        # Left over are one sentence, if any, behind a run; or a run.
        yield before + run


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(
        fnmatch.fnmatchcase(name, pattern) or name.startswith(f"{pattern.rstrip('/')}/")
        for pattern in patterns
    )


def _made(generator: random.Random) -> list[bytes]:
    return [made_sentence(generator).encode() for _ in range(generator.choice(_MADE_SENTENCES))]


def _without_a_word(sentences: Sequence[bytes], generator: random.Random) -> list[bytes]:
    """Returns the sentences, one word of the last in one of its own, empty: [b"It sat."] -> [b"It", b""]."""
    words = sentences[-1].split()
    place = generator.randrange(len(words))
    before, after = (b" ".join(part) for part in (words[:place], words[place + 1 :]))
    return [*sentences[:-1], *([before] if before else []), b"", *([after] if after else [])]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
