"""A full disk, whichever layer tells of it: Python, TensorFlow, a worker of Beam, or SQLite."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from components.errors import causes

_REASONS: Final = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT))
_ANY: Final = "|".join(map(re.escape, _REASONS))
_SQLITE: Final = "database or disk is full"
# "[Errno 28] No space left on device: '/a/b'" of Python, and "/a/b; No space left on device" of TensorFlow.
_PLACED: Final = (
    re.compile(rf"(?P<reason>{_ANY}): '(?P<place>[^'\n]+)'"),
    re.compile(rf"(?:^|\s)(?P<place>(?:/|\w+://)[^\n]*?)[;:] (?P<reason>{_ANY})", re.MULTILINE),
)


def told_by(chain: Sequence[BaseException]) -> str | None:
    """Returns "/a/b: No space left on device" of an error and its causes; None where it is something else.

    The innermost one that names a place counts; without any, there is none in the line.
    """
    told = list(filter(None, map(_told, reversed(chain))))
    return max(told, key=lambda line: line not in _REASONS, default=None)


@contextmanager
def named_by(database: str) -> Iterator[None]:
    """Turns SQLite's error of a full disk, which names nothing, into an OSError that names the database."""
    try:
        yield
    except Exception as error:
        if not any(_SQLITE in str(cause) for cause in causes(error)):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), database) from error


@contextmanager
def writing(location: str) -> Iterator[None]:
    """Has an OSError name a location that names nothing, as that of a write does."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, location) from error


def _told(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.strerror in _REASONS and error.filename:
        return f"{error.filename}: {error.strerror}"
    text = str(error)
    for pattern in _PLACED:
        if found := pattern.search(text):
            return f"{found['place']}: {found['reason']}"
    if _SQLITE in text:
        return _REASONS[0]
    return next((reason for reason in _REASONS if reason in text), None)
