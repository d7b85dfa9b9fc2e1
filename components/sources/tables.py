"""Labelled texts, or pairs of them, in tables whose columns have names: people's own files."""

from __future__ import annotations

import itertools
import logging
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pydantic
from pydantic import Field

from components.config import Config
from components.features import LABEL, LENGTH, TEXT_A, TEXT_B, Feature
from components.formats.errors import FormatError
from components.formats.tables import COMMA, JSON_LINES, ROW_IS_LINE, Row, first_row, read_header, read_table
from components.formats.tsv import count_lines, cut_file, shorten
from components.protocols import BadRecord, Found, Record, Split
from components.sources import finding, labelled_texts
from components.sources.hashing import hashed
from components.sources.tsv_parser import length_range

_logger = logging.getLogger(__name__)


class TablePart(NamedTuple):
    """The rows of a file that are of a split, and start at a byte from `start` to `stop`."""

    path: Path
    source: TableSource
    split: Split
    # The start of a row.
    start: int = 0
    stop: int = sys.maxsize

    @property
    def file(self) -> str:
        """The file's name."""
        return self.path.name

    def records(self) -> Iterator[Record | BadRecord]:
        """Yields the features of each row, or what is wrong with it, which is told with the training rows.

        Raises FormatError for a file that cannot be read, or lacks a column.
        """
        source, lines_before = self.source, None
        header = source.check_columns(self.path)
        told = self.split.name == "train" or source.evaluation is not None
        columns = header if self.start else None
        for row in read_table(self.path, source.delimiter, columns, self.start, self.stop):
            record = source.record(row)
            if not isinstance(record, str):
                if source.belongs(record, self.split):
                    yield record
            elif told:
                # Only now: it reads all that lies before.
                lines_before = count_lines(self.path, self.start) if lines_before is None else lines_before
                yield BadRecord(f"{self.path}:{lines_before + row.number}: {record}")


class TableSource(Config):
    """Labelled texts, or pairs of them, in .csv, .tsv or .jsonl files, by the names of their columns."""

    train: str = Field(min_length=1, description="The file to train on.")
    evaluation: str | None = Field(
        None, min_length=1, description="The file to evaluate on. Default: part of train."
    )
    text_a: str = Field(description="The column of the texts.")
    text_b: str | None = Field(None, description="Of pairs: the column of the second texts.")
    label: str = Field(description="The column of the labels or scores.")
    labels: tuple[str, ...] = Field((), description="The classes, in the order of their numbers.")
    score_range: tuple[float, float] | None = Field(
        None, description="In place of labels: the lowest and the highest score."
    )
    delimiter: Literal[",", ";", "\t", "|"] = Field(COMMA, description="Of CSV.")
    validation_fraction: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Part of the rows that is held out without evaluation; equal texts fare alike.",
    )
    max_bad_rows: int = Field(
        0, ge=0, description="Rows of a file that may be unusable: they are left out, counted and reported."
    )
    part_size_bytes: int = Field(
        1 << 22, ge=1, description="Bytes of one unit of work, and so of one shard; a CSV file is one unit."
    )

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> TableSource:
        low, high = self.score_range or (0.0, 1.0)
        if bool(self.labels) == bool(self.score_range) or len(self.labels) == 1 or not low < high:
            raise ValueError("expected two or more labels, or a score_range from a lower to a higher one")
        for what, names in (("labels", self.labels), ("columns", self.columns)):
            if len({*names}) < len(names):
                raise ValueError(f"{what}: expected each once, got {', '.join(names)}")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the texts and of the label."""
        return (*self.texts.values(), self.label)

    @property
    def texts(self) -> dict[str, str]:
        """The columns of the one or two texts, by raw feature."""
        return {TEXT_A: self.text_a} | ({TEXT_B: self.text_b} if self.text_b is not None else {})

    @property
    def features(self) -> Mapping[str, Feature]:
        return labelled_texts.features([*self.texts], self.labels)

    @property
    def input_splits(self) -> tuple[Split, ...]:
        return Split("train", self.train), Split("eval", self.evaluation or self.train)

    @property
    def evaluation_split(self) -> str:
        return "eval"

    @property
    def group_key(self) -> None:
        return None

    @property
    def counted_by(self) -> None:
        return None

    def check(self, directory: Path) -> None:
        """Reads until each split has a record; raises FormatError for more bad rows before than may be."""
        for split in self.input_splits:
            bad: list[BadRecord] = []
            parts = self.parts(directory, split)
            for record in itertools.chain.from_iterable(part.records() for part in parts):
                if not isinstance(record, BadRecord):
                    break
                bad.append(record)
                self._check_bad(len(bad), bad[0].reason)
            else:
                raise FormatError(
                    f"{parts[0].path}: split {split.name!r}: expected at least one row, got none"
                )

    def check_columns(self, path: Path) -> Sequence[str]:
        """Returns the header, none of JSON Lines; raises FormatError for one that lacks a column."""
        header = () if path.suffix.lower() in JSON_LINES else read_header(path, self.delimiter)
        for column in self.columns if header else ():
            if column not in header:
                raise FormatError(f"{path}: expected a column {column!r}, got {', '.join(header)}")
        return header

    def parts(self, directory: Path, split: Split) -> list[TablePart]:
        """Returns the rows in parts of about `part_size_bytes`, those of CSV in one.

        Where a row of CSV begins, only those before it tell: line ends may be within quotes.
        """
        (path,) = map(Path, self.raw_files(str(directory), split))
        whole = TablePart(path, self, split)
        if path.suffix.lower() not in ROW_IS_LINE:
            return [whole]
        cuts = cut_file(path, self.part_size_bytes)
        return [whole._replace(start=start, stop=stop) for start, stop in cuts] or [whole]

    def raw_files(self, directory: str, split: Split) -> list[str]:
        """Returns the location of a split's file; raises FormatError where there is none."""
        finding.check_folder(directory, split.pattern)
        found = finding.find(directory, lambda name: name == split.pattern)
        return [finding.one(directory, [split.pattern], found)]

    def with_evaluation_file(self, name: str) -> TableSource:
        """Returns itself with all rows of one file as the evaluation split."""
        return self.model_copy(update={"evaluation": name})

    def check_found(self, file: str, found: Found) -> None:
        """Raises FormatError for too many bad rows; logs how many are left out."""
        self._check_bad(found.num_bad, found.first_bad)
        if found.num_bad:
            left_out = f"left out {found.num_bad} bad rows beside {found.good.total()} good ones"
            _logger.warning("%s: %s; the first: %s", file, left_out, found.first_bad)

    def sample(self, count: int, seed: int) -> list[Record]:
        """Returns texts, or pairs of them, of made sentences; the same for the same seed."""
        return labelled_texts.sample([*self.texts], count, seed)

    def record(self, row: Row) -> Record | str:
        """Returns the features of a row, or what is wrong with it: "expected …, got …"."""
        texts = {key: row.cells.get(column, "") for key, column in self.texts.items()}
        if row.wrong:
            return row.wrong
        for key, text in texts.items():
            if not text.strip():
                return f"expected a text as {self.texts[key]}, got none"
        label = self._label(row.cells.get(self.label, ""))
        if isinstance(label, str):
            return label
        length = length_range(sum(map(len, texts.values()))).encode()
        # A number of a JSON file may stand for half of a character, which no bytes do.
        encoded = {key: text.encode("utf-8", "ignore") for key, text in texts.items()}
        return {**encoded, LABEL: label, LENGTH: length}

    def belongs(self, record: Record, split: Split) -> bool:
        """Whether a record of a split's file is of the split, by its texts alone."""
        held_out = hashed(*(record[key] for key in self.texts)) < self.validation_fraction * 2.0**64
        return self.evaluation is not None or held_out == (split.name == self.evaluation_split)

    def read_unlabelled(self, path: Path) -> Iterator[tuple[str, str | None]]:
        """Yields the text, or both texts of a pair, of each row of a file that is to be predicted.

        It has the columns of the texts; or, with as many columns, no header.
        Raises FormatError for a file that cannot be read, has no rows, or any row that does not fit.
        """
        columns = [*self.texts.values()]
        header = first_row(path, self.delimiter)
        missing = [name for name in columns if name not in header]
        if missing and len(header) != len(columns):
            raise FormatError(f"{path}: expected a column {missing[0]!r}, got {', '.join(header)}")
        is_empty = True
        for row in read_table(path, self.delimiter, columns if missing else None):
            texts = [row.cells.get(name, "") for name in columns]
            if row.wrong or not all(text.strip() for text in texts):
                raise FormatError(f"{path}:{row.number}: {row.wrong or 'expected a text, got none'}")
            yield texts[0], texts[1] if texts[1:] else None
            is_empty = False
        if is_empty:
            raise FormatError(f"{path}: expected at least one row, got none")

    def _label(self, cell: str) -> int | float | str:
        """Returns a class or a score, or what is wrong with the cell."""
        if self.score_range is None:
            wanted, known = _or(self.labels), cell in self.labels
            return self.labels.index(cell) if known else self._unlike(wanted, cell)
        low, high = self.score_range
        score = _number(cell)
        if score is None or not low <= score <= high:
            return self._unlike(f"from {low:g} to {high:g}", cell)
        return score

    def _unlike(self, expected: str, cell: str) -> str:
        return f"expected {self.label} {expected}, got {shorten(cell)}"

    def _check_bad(self, num_bad: int, first: str) -> None:
        if num_bad > self.max_bad_rows:
            more = f" (the first of more than {self.max_bad_rows} bad rows)" if self.max_bad_rows else ""
            raise FormatError(first + more)


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _number(cell: str) -> float | None:
    """Returns a number; None for what is none, or not finite."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
