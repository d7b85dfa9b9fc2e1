"""Rows of TSV files as features, and what is wrong with them."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from components.features import LABEL, LENGTH, TEXT_A, TEXT_B
from components.formats.errors import FormatError
from components.formats.tsv import BadRow, describe, read_lines, shorten, split_row
from components.protocols import Record
from components.sources.tsv_layout import Column, TsvFile, TsvLayout

_LENGTH_BOUNDS: Final = (32, 64, 128, 256, 512)


def length_range(num_characters: int, bounds: Sequence[int] = _LENGTH_BOUNDS) -> str:
    """Returns the range, up to one of the bounds, that a number falls in: 33 -> "33-64", 600 -> "513+"."""
    index = bisect.bisect_left(bounds, num_characters)
    first = bounds[index - 1] + 1 if index else 1
    return f"{first}-{bounds[index]}" if index < len(bounds) else f"{first}+"


class RowParser:
    """Rows of a file to records; what does not depend on the row is worked out once."""

    def __init__(self, layout: TsvLayout, file: TsvFile, num_columns: int) -> None:
        self.num_columns = num_columns
        self.texts = [(key, column.index) for key, column in zip((TEXT_A, TEXT_B), file.texts, strict=False)]
        self.label = file.label.index
        self.labels = layout.labels
        self.classes = layout.classes
        self.slice_key = layout.slice_key
        self.slice = file.slice.index if isinstance(file.slice, Column) else file.slice
        self.only = frozenset(file.only)

    def parse(self, cells: Sequence[str]) -> Record | None:
        """Returns the features, or None if the row's slice is not wanted; raises BadRow."""
        _check_number(cells, self.num_columns)
        row_slice = cells[self.slice] if isinstance(self.slice, int) else self.slice
        if self.only and row_slice not in self.only:
            return None
        record: dict[str, bytes | int] = {}
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


def _check_number(cells: Sequence[str], num_columns: int) -> None:
    """Raises BadRow for a row of more or fewer cells: a tab within a text shifts all that follow."""
    if len(cells) != num_columns:
        raise BadRow(f"expected {num_columns} columns, got {len(cells)}")


def columns_of(path: Path, file: TsvFile) -> int:
    """Returns how many columns each row has: as many as the header, or, without one, as declared.

    Raises FormatError for a wrong header, and for one too many.
    """
    for number, line in read_lines(path):
        if wrong := _what_is_wrong_with_start(line, file):
            raise FormatError(describe(path, number, line, wrong))
        if file.header:
            return len(split_row(line))
        break
    return file.declared_columns


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


class TextRows(NamedTuple):
    """Where the texts are in the rows of a file that has no labels, as its first row tells."""

    columns: Sequence[int]
    num_columns: int
    has_header: bool

    @classmethod
    def of(cls, line: bytes, layout: TsvLayout) -> TextRows:
        """Returns what the first row, a header or not, tells about all; raises BadRow."""
        if b"\r" in line and not line.endswith(b"\n"):
            # Sentences that end so would all be one text.
            raise BadRow("expected rows that end in a line feed, got carriage returns alone")
        cells = split_row(line)
        for file in (layout.train_file, *layout.evaluation_files):
            found = [index for column in file.texts for index in _named(cells, column)]
            if len(found) == len(file.texts):
                return cls(found, len(cells), True)
        return cls(_unnamed(cells, layout), len(cells), False)

    def texts_of(self, cells: Sequence[str]) -> tuple[str, str | None]:
        """Returns the text, or both of a pair, of a row; raises BadRow."""
        _check_number(cells, self.num_columns)
        text_a, *text_b = (_not_empty(cells[index]) for index in self.columns)
        return text_a, text_b[0] if text_b else None


def _named(cells: Sequence[str], column: Column) -> list[int]:
    """Returns the place of a column in a header, or none; raises BadRow where it is there twice."""
    found = [index for index, cell in enumerate(cells) if cell in column.names]
    if found[1:]:
        raise BadRow(f"expected one column {_or(column.names)}, got {len(found)}")
    return found


def _unnamed(cells: Sequence[str], layout: TsvLayout) -> list[int]:
    """Returns where the texts are in a file without a header; raises BadRow where that cannot be told."""
    declared = layout.train_file
    if len(cells) == len(declared.texts):
        return list(range(len(declared.texts)))
    if not declared.header and len(cells) == declared.declared_columns:
        return [column.index for column in declared.texts]
    names = " and ".join(repr(column.names[0]) for column in layout.evaluation_files[-1].texts)
    raise BadRow(f"expected a header with {names}, or {len(declared.texts)} columns, got {len(cells)}")


def _not_empty(cell: str, what: str = "sentence") -> str:
    if not cell.strip():
        raise BadRow(f"expected a {what}, got none")
    return cell


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if names[1:] else names[0]
