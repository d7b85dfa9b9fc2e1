"""Tables whose columns have names, told by a file's suffix: CSV, TSV and JSON Lines, in UTF-8.

CSV (RFC 4180, by Python's csv module): a cell in quotes may hold delimiters, line ends and doubled quotes.
TSV (tsv.py): no quotes. JSON Lines (jsonlines.org): an object a line, of which texts, numbers and true or
false count, as they are written in JSON.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from components.formats.errors import FormatError, unreadable
from components.formats.tsv import BadRow, check_is_text, read_lines, shorten, split_row

JSON_LINES: Final = (".jsonl", ".ndjson")
# Where no row goes on in the next line, so that a file can be cut at the end of any.
ROW_IS_LINE: Final = (".tsv", *JSON_LINES)
SUFFIXES: Final = (".csv", *ROW_IS_LINE)
COMMA: Final = ","


class Row(NamedTuple):
    """A row of a table: its cells by column; or what is wrong with it."""

    # Of the line at which it ends, from 1.
    number: int
    cells: Mapping[str, str]
    wrong: str = ""


_Cells = tuple[int, "Sequence[str] | BadRow"]


def read_table(
    path: Path,
    delimiter: str = COMMA,
    columns: Sequence[str] | None = None,
    start: int = 0,
    stop: int = sys.maxsize,
) -> Iterator[Row]:
    """Yields the rows of a table; `columns` are those of a file that has no header, or of rows behind it.

    Where a row is a line, only those that begin from the byte `start`, where one does, and before `stop`;
    they are numbered from there. The delimiter counts in CSV alone.

    Raises FormatError for what cannot be read to its end, for another suffix, and for a header in which a
    column has no name, or that of another one.
    """
    check_suffix(path)
    check_is_text(path)
    if path.suffix.lower() in JSON_LINES:
        yield from _objects(path, start, stop)
        return
    rows = _rows(path, delimiter, start, stop)
    names = columns or _checked(path, *_first(path, rows))
    for number, cells in rows:
        if isinstance(cells, BadRow):
            yield Row(number, {}, str(cells))
        elif len(cells) != len(names):
            yield Row(number, {}, f"expected {len(names)} columns, got {len(cells)}")
        else:
            yield Row(number, dict(zip(names, cells, strict=True)))


def read_header(path: Path, delimiter: str = COMMA) -> list[str]:
    """Returns the names of the columns, or the keys of the first object; raises FormatError."""
    cells = first_row(path, delimiter)
    return cells if path.suffix.lower() in JSON_LINES else _checked(path, 1, cells)


def first_row(path: Path, delimiter: str = COMMA) -> list[str]:
    """Returns the cells of the first row, be it a header or not, or the keys of the first object.

    Raises FormatError for a file that cannot be read, or has none.
    """
    check_suffix(path)
    check_is_text(path)
    if path.suffix.lower() in JSON_LINES:
        return [*next((row.cells for row in _objects(path) if row.cells), {})]
    return _first(path, _rows(path, delimiter))[1]


def check_suffix(path: Path) -> None:
    """Raises FormatError for a file that is told to be another thing by its name."""
    if path.suffix.lower() not in SUFFIXES:
        raise FormatError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}")


def _first(path: Path, rows: Iterator[_Cells]) -> tuple[int, list[str]]:
    number, cells = next(rows, (1, BadRow("expected a header, got an empty file")))
    if isinstance(cells, BadRow):
        raise FormatError(f"{path}:{number}: {cells}")
    return number, list(cells)


def _checked(path: Path, number: int, names: list[str]) -> list[str]:
    for name in names:
        if not name.strip() or names.count(name) > 1:
            raise FormatError(f"{path}:{number}: expected a name of its own for each column, got {name!r}")
    return names


def _rows(path: Path, delimiter: str, start: int = 0, stop: int = sys.maxsize) -> Iterator[_Cells]:
    is_lines = path.suffix.lower() in ROW_IS_LINE
    return _tab_separated(path, start, stop) if is_lines else _quoted(path, delimiter)


def _tab_separated(path: Path, start: int, stop: int) -> Iterator[_Cells]:
    for number, line in read_lines(path, start, stop):
        try:
            yield number, split_row(line)
        except BadRow as bad:
            yield number, bad


def _quoted(path: Path, delimiter: str) -> Iterator[_Cells]:
    with _text(path) as stream:
        rows = csv.reader(stream, delimiter=delimiter, strict=True)
        try:
            for cells in rows:
                # A blank line, as some programs end a file.
                if cells:
                    yield rows.line_num, cells
        except csv.Error as error:
            raise FormatError(f"{path}:{rows.line_num}: expected CSV, got: {error}") from error
        except UnicodeDecodeError as error:
            got = f"got byte 0x{error.object[error.start]:02x}"
            raise FormatError(f"{path}: after line {rows.line_num}: expected UTF-8, {got}") from error


@contextlib.contextmanager
def _text(path: Path) -> Iterator[Iterator[str]]:
    try:
        # Line ends are left to the csv module, which tells those within quotes.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield stream
    except OSError as error:
        raise unreadable(path, error) from error


def _objects(path: Path, start: int = 0, stop: int = sys.maxsize) -> Iterator[Row]:
    for number, line in read_lines(path, start, stop):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Row(number, {}, f"expected JSON, got: {error}")
            continue
        if isinstance(content, dict):
            yield Row(number, {key: _as_text(value) for key, value in content.items() if _is_scalar(value)})
        else:
            yield Row(number, {}, f"expected a JSON object, got {shorten(str(content))}")


def _is_scalar(value: object) -> bool:
    return isinstance(value, (str, int, float))


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
