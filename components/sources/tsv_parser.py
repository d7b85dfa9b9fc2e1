"""Rows of TSV files as features, and what is wrong with them."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from components.features import LABEL, LENGTH, TEXT_A, TEXT_B
from components.formats.errors import FormatError
from components.formats.tsv import BadRow, describe, shorten, split_row
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

    def __init__(self, layout: TsvLayout, file: TsvFile) -> None:
        self.min_columns = file.min_columns
        self.texts = [(key, column.index) for key, column in zip((TEXT_A, TEXT_B), file.texts, strict=False)]
        self.label = file.label.index
        self.labels = layout.labels
        self.classes = layout.classes
        self.slice_key = layout.slice_key
        self.slice = file.slice.index if isinstance(file.slice, Column) else file.slice
        self.only = frozenset(file.only)

    def parse(self, cells: Sequence[str]) -> Record | None:
        """Returns the features, or None if the row's slice is not wanted; raises BadRow."""
        if len(cells) < self.min_columns:
            raise BadRow(f"expected at least {self.min_columns} columns, got {len(cells)}")
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


def without_header(
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


def text_columns(cells: list[str], layout: TsvLayout) -> tuple[list[int], bool]:
    """Returns where the texts are, by a file's first row, and whether that is a header."""
    files = (layout.train_file, *layout.evaluation_files)
    for file in files:
        found = [cells.index(name) for column in file.texts for name in column.names if name in cells]
        if len(found) == len(file.texts):
            return found, True
    texts = layout.train_file.texts
    if len(cells) == len(texts):
        return list(range(len(texts))), False
    if not layout.train_file.header and len(cells) >= layout.train_file.min_columns:
        return [column.index for column in texts], False
    names = " and ".join(repr(column.names[0]) for column in files[-1].texts)
    raise BadRow(f"expected a header with {names}, or {len(texts)} columns, got {len(cells)}")


def texts_of(cells: list[str], columns: list[int]) -> tuple[str, str | None]:
    """Returns the text, or both of a pair, of a row; raises BadRow."""
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
