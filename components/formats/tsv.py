"""Tab-separated files, as bytes, lines and rows of cells.

UTF-8 with or without a byte order mark. No quoting: a `"` is text, also one that is never closed, and a tab
within quotes ends a cell. A row ends at "\\n" or "\\r\\n" and nowhere else: a lone "\\r", U+2028 or U+0085
within a cell is text; a NUL is not. A blank last line is no row, a blank one before it is.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from components.formats.errors import FormatError, unreadable
from components.formats.stand_ins import HEAD_SIZE, told_by_its_head

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = (b"", b"\n", b"\r\n")
_CHUNK_BYTES: Final = 1 << 20
# A row of more is refused before it is in memory: what has so few line ends is no such file.
MAX_ROW_BYTES: Final = 1 << 20
_SHOWN_CHARACTERS: Final = 80


class BadRow(Exception):
    """What is wrong with one row: "expected …, got …"."""


def read_rows(path: Path) -> Iterator[list[str]]:
    """Yields the cells of every row, a header's too; raises FormatError."""
    check_is_text(path)
    for number, line in read_lines(path):
        try:
            cells = split_row(line)
        except BadRow as bad:
            raise FormatError(describe(path, number, line, bad)) from None
        yield cells


def write_tsv(path: Path, rows: Iterable[Sequence[str]], byte_order_mark: bool = False) -> None:
    """Writes rows of cells as UTF-8 with "\\n" at their ends: aside, then renamed.

    Raises FormatError for a cell that the format cannot hold.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            file.write(_BOM if byte_order_mark else b"")
            file.writelines(_encode(path, cells) for cells in rows)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def check_is_text(path: Path) -> None:
    """Raises FormatError for a file that cannot be read, or whose first bytes are those of another thing."""
    with _open(path, HEAD_SIZE) as stream:
        if told := told_by_its_head(stream.read(HEAD_SIZE), "TSV file"):
            raise FormatError(f"{path}: {told}")


def read_lines(path: Path, start: int = 0, stop: int = sys.maxsize) -> Iterator[tuple[int, bytes]]:
    """Yields number and bytes, with the line end, of the lines that begin before `stop`; long ones are cut.

    The number is 1 for the line at `start`. A blank line at the end of the file is left out.
    """
    with _open(path) as stream:
        stream.seek(start)
        for number in itertools.count(1):
            if start >= stop or not (line := stream.readline(MAX_ROW_BYTES + 1)):
                return
            content = line.removeprefix(_BOM) if start == 0 else line
            if content in _BLANK and start + len(line) == os.fstat(stream.fileno()).st_size:
                return
            yield number, content
            start += len(line)
            if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
                start += _skip_line(stream)


def _skip_line(stream: BinaryIO) -> int:
    """Goes on to the start of the next line; returns how many bytes that was."""
    num_bytes = 0
    while rest := stream.readline(_CHUNK_BYTES):
        num_bytes += len(rest)
        if rest.endswith(b"\n"):
            break
    return num_bytes


def cut_file(path: Path, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yields start and stop of parts of whole lines, of at least that size but for the last.

    Reads the line at the end of each part, and no other.
    """
    with _open(path, io.DEFAULT_BUFFER_SIZE) as stream:
        end = os.fstat(stream.fileno()).st_size
        start = 0
        while start < end:
            stream.seek(start + size_bytes - 1)
            _skip_line(stream)
            stop = min(stream.tell(), end)
            yield start, stop
            start = stop


def count_lines(path: Path, stop: int) -> int:
    """Returns the number of line ends among the first `stop` bytes."""
    count = 0
    with _open(path) as stream:
        while chunk := stream.read(min(stop, _CHUNK_BYTES)):
            count += chunk.count(b"\n")
            stop -= len(chunk)
    return count


def split_row(line: bytes) -> list[str]:
    """Returns the cells of a line: b"a\\tb\\r\\n" -> ["a", "b"]; raises BadRow."""
    if len(line) > MAX_ROW_BYTES:
        raise BadRow(f"expected a row of at most {MAX_ROW_BYTES} bytes, got more")
    if b"\0" in line:
        raise BadRow("expected text, got a NUL byte")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise BadRow(f"expected UTF-8, got byte 0x{line[error.start]:02x}") from error
    row = text[:-1].removesuffix("\r") if text.endswith("\n") else text
    return row.split("\t")


def _encode(path: Path, cells: Sequence[str]) -> bytes:
    row = "\t".join(cells)
    if row.count("\t") != len(cells) - 1 or "\n" in row or row.endswith("\r") or "\0" in row:
        raise FormatError(f"{path}: expected cells without tab, line end or NUL, got {shorten(row)}")
    return f"{row}\n".encode()


def describe(path: Path, number: int, line: bytes, what: object) -> str:
    """Returns "train.tsv:7: expected …, got …: 'the row'"."""
    # No character has more than 4 bytes.
    start = line[: 4 * (_SHOWN_CHARACTERS + 1)].decode(errors="replace")
    return f"{path}:{number}: {what}: {shorten(start.removesuffix(chr(10)).removesuffix(chr(13)))}"


def shorten(text: str) -> str:
    """Returns a text in quotes, cut off where it is long."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")


@contextlib.contextmanager
def _open(path: Path, buffer_bytes: int = _CHUNK_BYTES) -> Iterator[BinaryIO]:
    try:
        with path.open("rb", buffering=buffer_bytes) as stream:
            yield stream
    except OSError as error:
        raise unreadable(path, error) from error
