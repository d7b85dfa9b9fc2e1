"""Tables for whoever reads them: as wide as the terminal, or lines of tab-separated cells for a program."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

import rich.box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from pipelines import console

# What is folded gets so many characters a line, or goes.
_NARROWEST_TEXT: Final = 30
_GAP: Final = 3
# What would move the cursor, or end a cell.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")


class Column(NamedTuple):
    """A column of a table."""

    name: str
    # Where the terminal is narrow, the column with the highest rank goes first, and one with 0 never.
    rank: int
    is_number: bool = False
    # Its words may go on in the next line.
    folds: bool = False


Row = Sequence["str | Text"]


def show(columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Prints a table; no word is cut into two, no id and no path folded."""
    if sys.stdout.isatty():
        _show_table(columns, [[_cell(cell) for cell in row] for row in rows])
        return
    for row in ([column.name for column in columns], *rows):
        print("\t".join(_cell(cell).plain for cell in row))


def _cell(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(_CONTROL.sub(" ", cell))


def _show_table(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> None:
    out = console.results()
    least = [_least(column, cells) for column, *cells in zip(columns, *rows, strict=True)]
    kept = _kept(columns, least, out.width)
    table = Table(box=rich.box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place in kept:
        justify = "right" if columns[place].is_number else "left"
        table.add_column(columns[place].name, justify=justify, min_width=least[place])  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(row[place] for place in kept))
    # What does not fit is left to the terminal, which breaks lines without losing anything.
    out.width = max(out.width, _width([least[place] for place in kept]))
    out.print(table)


def _kept(columns: Sequence[Column], least: Sequence[int], width: int) -> list[int]:
    """Returns the places of the columns that fit, in their order, and of those that must be there."""
    kept = list(range(len(columns)))
    for place in sorted(kept, key=lambda place: -columns[place].rank):
        if columns[place].rank == 0 or _width([least[other] for other in kept]) <= width:
            break
        kept.remove(place)
    return kept


def _least(column: Column, cells: Sequence[Text]) -> int:
    """Returns how narrow a column may be: each cell in one line, or of a text each word."""
    texts = [column.name, *(cell.plain for cell in cells)]
    longest = max(map(cell_len, texts))
    if not column.folds:
        return longest
    return max(min(longest, _NARROWEST_TEXT), *(cell_len(word) for text in texts for word in text.split()))


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)
