"""Standard streams as one finds them: closed, left by their reader, full, or with few characters."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Any, Final, TextIO

# How the codec calls `_spelled`.
_ERRORS: Final = "millrace.spelled"
_SPELLINGS: Final = {"×": "x", "–": "-", "—": "-", "…": "...", "±": "+-", "“": '"', "”": '"', "’": "'"}


def prepare() -> None:
    """Makes standard streams that take every text; what a user closed is /dev/null from then on."""
    for descriptor in range(3):
        # Or the next file that is opened would get what is printed.
        if not _is_open(descriptor):
            os.open(os.devnull, os.O_RDWR)
    # Terminals that say nothing of themselves, or nothing true.
    if not os.environ.get("TERM"):
        os.environ["TERM"] = "dumb"
    if not os.environ.get("COLUMNS", "80").strip("0"):
        del os.environ["COLUMNS"]
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if writes_to(sys.stdout, 1):
        sys.stdout = stream(1, _encoding(sys.stdout), "standard output")
    if writes_to(sys.stderr, 2):
        sys.stderr = stream(2, _encoding(sys.stderr))


def stream(descriptor: int, encoding: str, name: str | None = None) -> TextIO:
    """Returns a stream that knows a spelling for what its encoding lacks, and whose reader may go.

    With a name, an OSError that says it where something cannot be written; without one, that is lost.
    """
    codecs.register_error(_ERRORS, _spelled)
    raw = _Output(descriptor, name)
    is_live = name is None or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, _ERRORS, line_buffering=is_live)


class _Output(io.FileIO):
    """A file descriptor that is written to until that fails."""

    def __init__(self, descriptor: int, label: str | None) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._label = label
        self._is_lost = False

    def write(self, data: Any) -> int:
        if not self._is_lost:
            try:
                return super().write(data) or 0
            except OSError as error:
                self._is_lost = True
                if self._label is not None and error.errno != errno.EPIPE:
                    raise OSError(error.errno, error.strerror, self._label) from error
        return memoryview(data).nbytes


def _spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    """Returns what stands for a character: × as "x", "\\xe9", or the byte that no UTF-8 was made of."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    after = error.start + 1
    if "\udc80" <= character <= "\udcff":
        return character.encode("utf-8", "surrogateescape"), after
    return _SPELLINGS.get(character) or character.encode("ascii", "backslashreplace"), after


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def writes_to(stream: Any, descriptor: int) -> bool:
    """Whether a stream is the process' own, and no other that stands in its place."""
    try:
        return stream is None or bool(stream.fileno() == descriptor)
    except (OSError, ValueError):
        return False


def _encoding(stream: Any) -> str:
    return stream.encoding if stream is not None else "utf-8"
