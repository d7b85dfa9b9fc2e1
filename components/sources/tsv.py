"""Tab-separated files of labelled sentences as a source of examples."""

from __future__ import annotations

import fnmatch
import glob
import itertools
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pydantic
from pydantic import Field

from components.config import unknown_name
from components.features import TEXT_A, TEXT_B, Feature
from components.formats.errors import FormatError
from components.formats.tsv import (
    BadRow,
    check_is_text,
    count_lines,
    cut_file,
    describe,
    read_lines,
    split_row,
)
from components.protocols import BadRecord, Found, Record, Split
from components.sources import finding, labelled_texts
from components.sources.tsv_layout import TsvFile, TsvLayout
from components.sources.tsv_parser import RowParser, TextRows, columns_of

_logger = logging.getLogger(__name__)


class TsvPart(NamedTuple):
    """The rows of a file that start at a byte from `start` to `stop`; `start` is the start of a row."""

    path: Path
    declared: TsvFile
    layout: TsvLayout
    start: int = 0
    stop: int = sys.maxsize

    @property
    def file(self) -> str:
        """The file's name."""
        return self.declared.name

    def records(self) -> Iterator[Record | BadRecord]:
        """Yields the features of each row that is wanted, or what is wrong with it.

        Raises FormatError for a file that cannot be read, or whose header is another.
        """
        parser = RowParser(self.layout, self.declared, columns_of(self.path, self.declared))
        lines_before: int | None = None
        for number, line in self._lines():
            try:
                record = parser.parse(split_row(line))
            except BadRow as bad:
                # Only now: it reads all that lies before.
                lines_before = count_lines(self.path, self.start) if lines_before is None else lines_before
                yield BadRecord(describe(self.path, lines_before + number, line, bad))
            else:
                if record is not None:
                    yield record

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        lines = read_lines(self.path, self.start, self.stop)
        return itertools.islice(lines, 1, None) if self.declared.header and not self.start else lines


class TsvSource(TsvLayout):
    """Labelled sentences, or pairs of sentences, in TSV files of a declared layout."""

    evaluation_pattern: str | None = Field(
        None,
        description="A glob that matches the files of `evaluation` and no others, where there are several.",
    )
    validation_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Part of the training rows that becomes eval; those of evaluation are then test.",
    )
    max_bad_rows: int = Field(
        0, ge=0, description="Rows of a file that may be unusable: they are left out, counted and reported."
    )
    part_size_bytes: int = Field(
        1 << 22,
        ge=1,
        description="Bytes in one unit of work, which gives one shard; a part ends with a whole row.",
    )

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> TsvSource:
        if len({*self.labels}) < len(self.labels):
            raise ValueError(f"labels: expected each once, got {', '.join(self.labels)}")
        for label in self.synonyms.values():
            if label not in self.labels:
                raise ValueError(unknown_name("label", label, self.labels))
        for file in self.evaluation_files:
            if not fnmatch.fnmatchcase(file.name, self._evaluation_pattern):
                raise ValueError(f"evaluation_pattern {self.evaluation_pattern!r} does not match {file.name}")
        for file in self._all_files:
            if bool(file.text_b) != bool(self.train.text_b):
                raise ValueError(f"{file.name}: expected as many texts as in {self.train.name}")
            if bool(file.slice) != bool(self.slice_key):
                raise ValueError(f"{file.name}: expected a slice if, and only if, there is a slice_key")
        return self

    @property
    def features(self) -> Mapping[str, Feature]:
        """text_a, text_b of pairs, label, and for slices alone: length and `slice_key`."""
        return labelled_texts.features(self._texts, self.labels, (self.slice_key,) if self.slice_key else ())

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
    def group_key(self) -> None:
        return None

    @property
    def counted_by(self) -> str | None:
        """The slice where rows of some slices are demanded."""
        return self.slice_key if any(file.only for file in self._all_files) else None

    @property
    def _all_files(self) -> tuple[TsvFile, ...]:
        return (self.train_file, *self.evaluation_files)

    @property
    def _texts(self) -> tuple[str, ...]:
        return (TEXT_A, TEXT_B) if self.train.text_b else (TEXT_A,)

    @property
    def _evaluation_pattern(self) -> str:
        return self.evaluation_pattern or self.evaluation_files[0].name

    def as_found(self, directory: str) -> TsvSource:
        """Returns itself with the files that are there, of those that it may be read from."""
        return self

    def any_file(self, directory: str) -> bool:
        """Whether one of the files is in the data directory."""
        return any(_found(directory, file) for file in self._all_files)

    def raw_files(self, directory: str, split: Split) -> list[str]:
        """Returns the locations of a split's files; raises FormatError where there is none, or two."""
        return [_find(directory, file) for file in self.as_found(directory).files(split)]

    def with_evaluation_file(self, name: str) -> TsvSource:
        """Returns itself with one file laid out as that of `evaluation` with its name, or as the first."""
        declared = next((f for f in self.evaluation_files if f.name == name), self.evaluation_files[0])
        file = declared.model_copy(update={"name": name, "folders": ()})
        return self.model_copy(update={"evaluation": (file,), "evaluation_pattern": glob.escape(name)})

    def check(self, directory: Path) -> None:
        """Reads every file up to its first good row; raises FormatError for a wrong header or none such."""
        for file in self.as_found(str(directory))._all_files:
            self._check_start(TsvPart(Path(_find(str(directory), file)), file, self))

    def parts(self, directory: Path, split: Split) -> list[TsvPart]:
        """Returns the rows of a split in parts of about `part_size_bytes`."""
        return [
            TsvPart(path, file, self, *part)
            for file in self.as_found(str(directory)).files(split)
            for path in [Path(_find(str(directory), file))]
            for part in cut_file(path, self.part_size_bytes)
        ]

    def check_found(self, file: str, found: Found) -> None:
        """Raises FormatError for too many bad rows or too few good ones; logs how many are left out."""
        only = [slice_ for declared in self._all_files if declared.name == file for slice_ in declared.only]
        self._check_bad(found.num_bad, found.first_bad)
        self._check_good(file, only, found.good)
        if found.num_bad:
            left_out = f"left out {found.num_bad} bad rows beside {found.good.total()} good ones"
            _logger.warning("%s: %s; the first: %s", file, left_out, found.first_bad)

    def sample(self, count: int, seed: int) -> list[Record]:
        """Returns texts, or pairs of them, of made sentences; the same for the same seed."""
        return labelled_texts.sample(self._texts, count, seed)

    def files(self, split: Split) -> tuple[TsvFile, ...]:
        """Returns the files that a split is read from, in order."""
        return (self.train_file,) if split.name == "train" else self.evaluation_files

    def read_unlabelled(self, path: Path) -> Iterator[tuple[str, str | None]]:
        """Yields the text, or both texts of a pair, of each row of a file that is to be predicted.

        The first row decides what the file is. If it names the task's text columns, it is a header, and
        the texts are found by name: test files, and all files of MRPC, MNLI and XNLI. If not, each row
        holds the texts and nothing else; or it is laid out as the task's own files where these have no
        header (CoLA). All rows have as many columns as the first.

        Raises:
          FormatError: a file that cannot be read, has no rows, or any row that does not fit.
        """
        check_is_text(path)
        rows: TextRows | None = None
        is_empty = True
        for number, line in read_lines(path):
            try:
                rows = rows or TextRows.of(line, self)
                if number == 1 and rows.has_header:
                    continue
                texts = rows.texts_of(split_row(line))
            except BadRow as bad:
                raise FormatError(describe(path, number, line, bad)) from None
            yield texts
            is_empty = False
        if is_empty:
            raise FormatError(f"{path}: expected at least one row, got none")

    def _check_start(self, part: TsvPart) -> None:
        check_is_text(part.path)
        bad: list[str] = []
        for record in part.records():
            if not isinstance(record, BadRecord):
                return
            bad.append(record.reason)
            self._check_bad(len(bad), bad[0])
        self._check_good(str(part.path), part.declared.only, Counter())

    def _check_bad(self, num_bad: int, first: str) -> None:
        if num_bad > self.max_bad_rows:
            more = f" (the first of more than {self.max_bad_rows} bad rows)" if self.max_bad_rows else ""
            raise FormatError(first + more)

    def _check_good(self, where: str, only: Sequence[str], good: Counter[bytes]) -> None:
        missing = [value for value in sorted(only) if not good[value.encode()]]
        if missing:
            raise FormatError(f"{where}: expected rows of {self.slice_key} {missing[0]}, got none")
        if not good:
            raise FormatError(f"{where}: expected at least one row, got none")


def _find(directory: str, file: TsvFile) -> str:
    finding.check_folder(directory, file.name)
    return finding.one(directory, [file.name], _found(directory, file))


def _found(directory: str, file: TsvFile) -> list[str]:
    return finding.find(directory, lambda name: name == file.name, file.folders)
