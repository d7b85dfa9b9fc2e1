"""Tab-separated files of labelled sentences: what their columns are, and rows as features."""

from __future__ import annotations

import bisect
import fnmatch
import functools
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pydantic
from pydantic import Field

from components.config import Config, unknown_name
from components.features import LABEL, LENGTH, TEXT_A, TEXT_B, Feature
from components.formats.errors import FormatError
from components.formats.tsv_rows import BadRow, cut_file, describe, read_lines, shorten, split_row
from components.task import Split

Record = dict[str, bytes | int]

_LENGTH_BOUNDS: Final = (32, 64, 128, 256, 512)
_LENGTHS: Final = ("1-32", "33-64", "65-128", "129-256", "257-512", "513+")

_logger = logging.getLogger(__name__)


class Column(Config):
    """A column by its position, from 0 on (-1: the last one), and the names that a header may give it."""

    index: int = Field(ge=-1)
    names: tuple[str, ...] = Field(min_length=1)


class TsvFile(Config):
    """A file and those of its columns that are read; there may be more."""

    name: str = Field(pattern=r"^\w[\w.-]*$")
    header: bool
    text_a: Column
    text_b: Column | None = None
    label: Column
    # The slice that rows belong to: the value in a column, or one for all of them.
    slice: Column | str | None = None
    # Rows of other slices are left out; empty: none is.
    only: tuple[str, ...] = ()

    @property
    def columns(self) -> list[Column]:
        """All columns that are read."""
        candidates = (self.text_a, self.text_b, self.label, self.slice)
        return [column for column in candidates if isinstance(column, Column)]

    @property
    def texts(self) -> list[Column]:
        """The columns of the one or two texts."""
        return [self.text_a, self.text_b] if self.text_b else [self.text_a]

    @property
    def min_columns(self) -> int:
        """The fewest columns that a row can have; one counted from the end lies behind the others."""
        indices = [column.index for column in self.columns]
        return max(indices) + 1 + (min(indices) < 0)


class TsvPart(NamedTuple):
    """The rows of a file that start at a byte from `start` to `stop`; `start` is the start of a row."""

    path: Path
    file: TsvFile
    source: TsvSource
    start: int
    stop: int
    first_line: int

    def records(self) -> Iterator[Record]:
        """Yields the features of each good row; raises FormatError for more bad ones than are allowed."""
        return self.read(_BadRows(self.path, self.source.max_bad_rows))

    def read(self, bad_rows: _BadRows) -> Iterator[Record]:
        """Yields the features of each good row, and counts the others."""
        parser = _RowParser(self.source, self.file)
        for number, line in _without_header(self.path, self._lines(), self.file):
            try:
                record = parser.parse(split_row(line))
            except BadRow as bad:
                bad_rows.add(number, line, bad)
            else:
                if record is not None:
                    yield record

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        return read_lines(self.path, self.start, self.stop, self.first_line)


class TsvSource(Config):
    """Labelled sentences, or pairs of sentences, in TSV files of a declared layout."""

    # The classes, in the order of their numbers.
    labels: tuple[str, ...] = Field(min_length=2)
    # Other spellings of labels in the files: {"contradictory": "contradiction"}.
    synonyms: Mapping[str, str] = Field(default_factory=dict)
    train: TsvFile
    evaluation: tuple[TsvFile, ...] = Field(min_length=1)
    # A glob that matches the files of `evaluation` and no others, where there are several.
    evaluation_pattern: str | None = None
    # Key of the raw feature that holds each row's slice.
    slice_key: str | None = None
    # Part of the training rows that becomes the split "eval"; the files of `evaluation` are then "test".
    validation_fraction: float = Field(0.0, ge=0, lt=1)
    # Rows of a file that may be unusable: they are left out, counted and reported.
    max_bad_rows: int = Field(0, ge=0)
    # Bytes in one unit of work, which gives one shard; a part ends with a whole row.
    part_size_bytes: int = Field(1 << 22, ge=1)

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> TsvSource:
        for label in self.synonyms.values():
            if label not in self.labels:
                raise ValueError(unknown_name("label", label, self.labels))
        for file in self.evaluation_files:
            if not fnmatch.fnmatchcase(file.name, self._evaluation_pattern):
                raise ValueError(f"evaluation_pattern {self.evaluation_pattern!r} does not match {file.name}")
        for file in (self.train_file, *self.evaluation_files):
            if bool(file.text_b) != bool(self.train.text_b):
                raise ValueError(f"{file.name}: expected as many texts as in {self.train.name}")
            if bool(file.slice) != bool(self.slice_key):
                raise ValueError(f"{file.name}: expected a slice if, and only if, there is a slice_key")
        return self

    @property
    def executor(self) -> str:
        return "components.example_gen.tsv.Executor"

    @property
    def features(self) -> Mapping[str, Feature]:
        """text_a, text_b of pairs, label, and for slices alone: length and `slice_key`.

        `length` is the range of the number of characters of all texts, which means the same in every
        language: "1-32", "33-64", "65-128", "129-256", "257-512" or "513+".
        """
        texts = (TEXT_A, TEXT_B) if self.train.text_b else (TEXT_A,)
        slices = (LENGTH, self.slice_key) if self.slice_key else (LENGTH,)
        return {
            **{key: Feature(dtype="bytes") for key in texts},
            LABEL: Feature(dtype="int64", minimum=0, maximum=len(self.labels) - 1, categorical=True),
            **{key: Feature(dtype="bytes", served=False) for key in slices},
        }

    @property
    def label(self) -> str:
        return LABEL

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes, by number."""
        return self.labels

    @property
    def classes(self) -> dict[str, int]:
        """The number of the class by what the files may call it."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        return numbers | {synonym: numbers[label] for synonym, label in self.synonyms.items()}

    @property
    def input_splits(self) -> tuple[Split, ...]:
        return (
            Split("train", self.train_file.name, self.validation_fraction),
            Split(self.evaluation_split, self._evaluation_pattern),
        )

    @property
    def evaluation_split(self) -> str:
        return "test" if self.validation_fraction else "eval"

    @property
    def train_file(self) -> TsvFile:
        """The file of the split "train", after all settings."""
        return self.train

    @property
    def evaluation_files(self) -> tuple[TsvFile, ...]:
        """The files of the evaluation split, after all settings."""
        return self.evaluation

    @property
    def _evaluation_pattern(self) -> str:
        return self.evaluation_pattern or self.evaluation_files[0].name

    def check(self, directory: Path) -> None:
        """Reads everything once; raises FormatError, and logs how many bad rows are left out."""
        for split in self.input_splits:
            for file in self.files(split):
                self._check_file(_find(directory, file.name), file)

    def ranges(self, directory: Path, split: Split) -> list[TsvPart]:
        """Returns the rows of a split in parts of about `part_size_bytes`, for workers."""
        return [
            TsvPart(path, file, self, *part)
            for file in self.files(split)
            for path in [_find(directory, file.name)]
            for part in cut_file(path, self.part_size_bytes)
        ]

    def files(self, split: Split) -> tuple[TsvFile, ...]:
        """Returns the files that a split is read from, in order."""
        return (self.train_file,) if split.name == "train" else self.evaluation_files

    def read_unlabelled(self, path: Path) -> Iterator[tuple[str, str | None]]:
        """Yields the text, or both texts of a pair, of each row of a file that is to be predicted.

        The first row decides what the file is. If it names the task's text columns, it is a header, and
        the texts are found by name: test files, and all files of MRPC, MNLI and XNLI. If not, each row
        holds the texts and nothing else; or it is laid out as the task's own files where these have no
        header (CoLA).

        Raises:
          FormatError: a file that cannot be read, has no rows, or any row that does not fit.
        """
        columns: list[int] = []
        for number, line in read_lines(path):
            try:
                cells = split_row(line)
                if number == 1:
                    columns, is_header = _text_columns(cells, self)
                    if is_header:
                        continue
                texts = _texts(cells, columns)
            except BadRow as bad:
                raise FormatError(describe(path, number, line, bad)) from None
            yield texts
        if not columns:
            raise FormatError(f"{path}: expected at least one row, got none")

    def _check_file(self, path: Path, file: TsvFile) -> None:
        bad_rows = _BadRows(path, self.max_bad_rows)
        whole = TsvPart(path, file, self, start=0, stop=sys.maxsize, first_line=1)
        num_rows, missing = 0, {value.encode() for value in file.only}
        for record in whole.read(bad_rows):
            num_rows += 1
            if missing and self.slice_key:
                missing -= {record[self.slice_key]}
        if missing:
            raise FormatError(f"{path}: expected rows of {self.slice_key} {min(missing).decode()}, got none")
        if num_rows == 0:
            raise FormatError(f"{path}: expected at least one row, got none")
        bad_rows.report(num_rows)


def length_range(num_characters: int) -> str:
    """Returns the range that a number falls in: 33 -> "33-64"."""
    return _LENGTHS[bisect.bisect_left(_LENGTH_BOUNDS, num_characters)]


class _RowParser:
    """Rows of a file to records; what does not depend on the row is worked out once."""

    def __init__(self, source: TsvSource, file: TsvFile) -> None:
        self.min_columns = file.min_columns
        self.texts = [(key, column.index) for key, column in zip((TEXT_A, TEXT_B), file.texts, strict=False)]
        self.label = file.label.index
        self.labels = source.labels
        self.classes = source.classes
        self.slice_key = source.slice_key
        self.slice = file.slice.index if isinstance(file.slice, Column) else file.slice
        self.only = frozenset(file.only)

    def parse(self, cells: Sequence[str]) -> Record | None:
        """Returns the features, or None if the row's slice is not wanted; raises BadRow."""
        if len(cells) < self.min_columns:
            raise BadRow(f"expected at least {self.min_columns} columns, got {len(cells)}")
        row_slice = cells[self.slice] if isinstance(self.slice, int) else self.slice
        if self.only and row_slice not in self.only:
            return None
        record: Record = {}
        num_characters = 0
        for key, index in self.texts:
            record[key] = _not_empty(cells[index]).encode()
            num_characters += len(cells[index])
        record[LABEL] = self._class_of(cells[self.label])
        record[LENGTH] = length_range(num_characters).encode()
        if self.slice_key:
            record[self.slice_key] = _not_empty(row_slice or "", self.slice_key).encode()
        return record

    def _class_of(self, label: str) -> int:
        if label not in self.classes:
            raise BadRow(f"expected label {_or(self.labels)}, got {shorten(label)}")
        return self.classes[label]


class _BadRows:
    """Counts the bad rows of a file; one more than allowed is a FormatError."""

    def __init__(self, path: Path, allowed: int) -> None:
        self.path = path
        self.allowed = allowed
        self.count = 0
        self.first = ""

    def add(self, number: int, line: bytes, bad: BadRow) -> None:
        self.count += 1
        self.first = self.first or describe(self.path, number, line, bad)
        if self.count > self.allowed:
            more = f" (the first of more than {self.allowed} bad rows)" if self.allowed else ""
            raise FormatError(self.first + more)

    def report(self, num_rows: int) -> None:
        if self.count:
            left_out = f"left out {self.count} bad rows beside {num_rows} good ones"
            _warn_once(f"{self.path.name}: {left_out}; the first: {self.first}")


@functools.lru_cache
def _warn_once(message: str) -> None:
    """Logs a warning. Files are checked before a run begins and as it reads them, often in one process."""
    _logger.warning("%s", message)


def _without_header(
    path: Path, lines: Iterator[tuple[int, bytes]], file: TsvFile
) -> Iterator[tuple[int, bytes]]:
    """Yields the lines but for the header; raises FormatError for a wrong one, and for one too many."""
    for number, line in lines:
        if number == 1:
            if wrong := _what_is_wrong_with_start(line, file):
                raise FormatError(describe(path, number, line, wrong))
            if file.header:
                continue
        yield number, line


def _what_is_wrong_with_start(line: bytes, file: TsvFile) -> str:
    try:
        cells = split_row(line)
    except BadRow as bad:
        return str(bad) if file.header else ""
    if not file.header:
        is_header = any(name in cells for column in file.texts for name in column.names)
        return "expected a row, got a header" if is_header else ""
    for column in file.columns:
        got = cells[column.index] if column.index < len(cells) else None
        if got not in column.names:
            where = "last column" if column.index < 0 else f"column {column.index + 1}"
            found = "no such column" if got is None else shorten(got)
            return f"expected a header with {column.names[0]!r} as {where}, got {found}"
    return ""


def _text_columns(cells: list[str], source: TsvSource) -> tuple[list[int], bool]:
    """Returns where the texts are, by a file's first row, and whether that is a header."""
    files = (source.train_file, *source.evaluation_files)
    for file in files:
        found = [cells.index(name) for column in file.texts for name in column.names if name in cells]
        if len(found) == len(file.texts):
            return found, True
    texts = source.train_file.texts
    if len(cells) == len(texts):
        return list(range(len(texts))), False
    if not source.train_file.header and len(cells) >= source.train_file.min_columns:
        return [column.index for column in texts], False
    names = " and ".join(repr(column.names[0]) for column in files[-1].texts)
    raise BadRow(f"expected a header with {names}, or {len(texts)} columns, got {len(cells)}")


def _texts(cells: list[str], columns: list[int]) -> tuple[str, str | None]:
    if len(cells) <= max(columns):
        raise BadRow(f"expected at least {max(columns) + 1} columns, got {len(cells)}")
    text_a, *text_b = (_not_empty(cells[index]) for index in columns)
    return text_a, text_b[0] if text_b else None


def _not_empty(cell: str, what: str = "sentence") -> str:
    if not cell.strip():
        raise BadRow(f"expected a {what}, got none")
    return cell


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _find(directory: Path, name: str) -> Path:
    try:
        present = sorted(os.listdir(directory))
    except OSError as error:
        raise FormatError(f"{directory}: expected a folder with {name}, got: {error.strerror}") from error
    if name not in present:
        got = f"only {', '.join(present[:5])}" if present else "an empty folder"
        raise FormatError(f"{directory}: expected {name}, got {got}{', …' if present[5:] else ''}")
    return directory / name
