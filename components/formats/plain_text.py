"""Plain text in documents: a sentence or a paragraph a line, and at least one empty line between documents.

UTF-8 with or without a byte order mark, as it is or in gzip, whatever the file's name says. A line ends at
"\\n" or "\\r\\n" and nowhere else. Any other white space, such as a tab, a lone "\\r", U+0085 or U+2028, only
parts words, and becomes one space; a line of nothing else is empty.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import re
import shutil
import sys
import tempfile
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from components.formats.errors import FormatError, unreadable
from components.formats.stand_ins import HEAD_SIZE, told_by_its_head
from components.formats.tsv import count_lines, describe

_BOM: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_CHUNK_BYTES: Final = 1 << 20
MAX_LINE_BYTES: Final = 1 << 16

# Whatever closes a quotation or a bracket belongs to the sentence that it ends.
_CLOSING: Final = "\"'”’»)\\]」』）】》"
_END: Final = re.compile(rf"[.!?…]+[{_CLOSING}]*(?=\s)|[。！？｡]+[{_CLOSING}]*")
_LAST_WORD: Final = re.compile(r"[^\W\d_]+(?:\.[^\W\d_]+)*$")
# Those after which a name or a number comes, in lower case; what may end a sentence, too, is not among them.
_ABBREVIATIONS: Final = frozenset(
    (
        *(
            "dr",
            "mr",
            "mrs",
            "ms",
            "prof",
            "st",
            "sr",
            "jr",
            "rev",
            "hon",
            "messrs",
            "mme",
            "mlle",
            "hr",
            "fr",
        ),
        *("gen", "col", "capt", "lt", "sgt", "gov", "sen", "rep"),
        *("nos", "nr", "fig", "figs", "vol", "ch", "sec", "eq", "pp", "cf", "vs", "ca", "approx", "bzw"),
        *("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
    )
)


class _Line(NamedTuple):
    """A line without its end, and the byte where it starts."""

    start: int
    text: str


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yields a file that holds the text as it is: this one, or what is unpacked of a gzip file for a while.

    Raises FormatError for what cannot be read, and for a file that is something else by its first bytes.
    """
    if not is_packed(path):
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="millrace-", suffix=".txt") as plain:
        try:
            with gzip.open(path) as stream:
                shutil.copyfileobj(stream, plain, _CHUNK_BYTES)
        except (EOFError, zlib.error, OSError) as error:
            raise FormatError(f"{path}: expected a whole gzip file, got: {error}") from error
        plain.flush()
        _check_head(_head(Path(plain.name)), path)
        yield Path(plain.name)


def is_packed(path: Path) -> bool:
    """Whether a file is gzip, by its content; raises FormatError as `unpacked` does."""
    head = _head(path)
    if not head.startswith(_GZIP):
        _check_head(head, path)
    return head.startswith(_GZIP)


def read_documents(
    path: Path,
    start: int = 0,
    stop: int = sys.maxsize,
    *,
    name: Path | None = None,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Iterator[Iterator[str]]:
    """Yields the lines of each document, which are gone once the next document is taken; a line is in memory.

    Documents are those whose last empty line before them begins from `start`, where a line starts, to `stop`,
    and that at the start of the file: ranges side by side have each document once, whole. `path` is a file
    that is not packed, `name` what to call it.

    Raises:
      FormatError: a longer line, bytes that are no UTF-8, a NUL: "a.txt:7: expected …, got …".
    """
    lines = _lines(path, start, name or path, max_line_bytes)
    may_begin = start == 0
    for is_empty, group in itertools.groupby(lines, lambda line: not line.text):
        if is_empty:
            (last,) = deque(group, 1)
            if last.start >= stop:
                return
            may_begin = True
        elif may_begin:
            yield (line.text for line in group)
        elif any(line.start >= stop for line in group):
            # A document that began before ends after.
            return


def next_line(path: Path, position: int) -> int:
    """Returns the byte where the first line starts that does so at a position or after; or the file's end."""
    if position == 0:
        return 0
    with _open(path) as stream:
        stream.seek(position - 1)
        while (rest := stream.readline(_CHUNK_BYTES)) and not rest.endswith(b"\n"):
            pass
        return stream.tell()


def split_sentences(paragraph: str) -> Iterator[str]:
    """Yields the sentences of a paragraph: "Dr. No paid 3.50. Why?" -> "Dr. No paid 3.50.", "Why?".

    A sentence ends at full stops, exclamation or question marks, and what closes a quotation or bracket after
    them, where white space follows and then no lower-case letter. It does not end after single letters, as in
    names, "e.g." and "U.S.", nor after an abbreviation that something follows, such as "Dr." or "Fig.". The
    full stops of Chinese and Japanese end one wherever they are. Wrong at times: "He met J. Then he left."
    """
    start = 0
    for end in _END.finditer(paragraph):
        rest = paragraph[end.end() : end.end() + 2].lstrip()
        if not rest[:1].islower() and not _is_abbreviated(paragraph[start : end.start()], end[0]):
            yield paragraph[start : end.end()].strip()
            start = end.end()
    if last := paragraph[start:].strip():
        yield last


def _is_abbreviated(before: str, mark: str) -> bool:
    word = _LAST_WORD.search(before)
    if mark != "." or not word:
        return False
    are_initials = word[0] != "I" and all(len(part) == 1 for part in word[0].split("."))
    return are_initials or word[0].lower() in _ABBREVIATIONS


def _lines(path: Path, start: int, name: Path, max_bytes: int) -> Iterator[_Line]:
    with _open(path) as stream:
        stream.seek(start)
        while line := stream.readline(max_bytes + 1):
            content = line.removeprefix(_BOM) if start == 0 else line
            try:
                yield _Line(start, _text(content, max_bytes))
            except ValueError as error:
                number = count_lines(path, start) + 1
                raise FormatError(describe(name, number, content, error)) from None
            start += len(line)


def _text(line: bytes, max_bytes: int) -> str:
    """Returns a line's text without superfluous white space; raises ValueError: "expected …, got …"."""
    if len(line) > max_bytes:
        raise ValueError(f"expected a line of at most {max_bytes} bytes, got more")
    if b"\0" in line:
        raise ValueError("expected text, got a NUL byte")
    try:
        return " ".join(line.decode().split())
    except UnicodeDecodeError as error:
        raise ValueError(f"expected UTF-8, got byte 0x{line[error.start]:02x}") from error


def _head(path: Path) -> bytes:
    with _open(path) as stream:
        return stream.read(HEAD_SIZE)


def _check_head(head: bytes, path: Path) -> None:
    if told := told_by_its_head(head, "plain text"):
        raise FormatError(f"{path}: {told}")


@contextlib.contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise unreadable(path, error) from error
