"""Where a source's files lie: in the data directory, or below it as archives and other tools leave them."""

from __future__ import annotations

import contextlib
import difflib
import errno
import filecmp
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from components import files
from components.formats.errors import FormatError, unreadable

# Of what lies in a folder where something else was expected.
_MAX_SHOWN: Final = 5
_MAX_LOOKED_AT: Final = 1000
# How alike two names are that one may have been meant by the other, in [0, 1].
_NEAR: Final = 0.6


def find(directory: str, matches: Callable[[str], Any], folders: Iterable[str] = ()) -> list[str]:
    """Returns the locations of the files in a directory, then in folders below, whose names match.

    A folder with such a name stands for such files in it: some unpackers make one of each archive.
    Raises FormatError for what cannot be read.
    """
    places = [directory, *(os.path.join(directory, folder) for folder in folders)]
    return [
        location
        for place in places
        for name in names(place)
        if matches(name)
        for location in unfolded(os.path.join(place, name), matches)
    ]


def names(folder: str) -> list[str]:
    """Returns the sorted names in a folder, none where there is no such; raises FormatError."""
    with _format_errors(folder):
        return files.list_folder(folder)


def unfolded(location: str, matches: Callable[[str], Any]) -> list[str]:
    """Returns a file's location; those of the files in a folder that match. Raises FormatError."""
    inside = [os.path.join(location, name) for name in names(location) if matches(name)]
    return inside or [location]


def one(directory: str, expected: Sequence[str], found: Sequence[str], hint: str = "") -> str:
    """Returns the file that was found; raises FormatError for none, a link to nothing, and two that differ.

    `expected` are the names that it may have, `hint` says how else to tell which is meant.
    """
    if not found:
        raise missing(directory, expected)
    first, *others = [file for file in found if not files.is_broken_link(file)] or [""]
    if not first:
        raise FormatError(f"{found[0]}: a link to nothing")
    for other in others:
        if not _same(first, other):
            both = " and ".join(os.path.relpath(path, directory) for path in (first, other))
            raise FormatError(f"{directory}: expected one file{hint}, got {both}")
    return first


def check_folder(directory: str, what: str) -> None:
    """Raises FormatError for a data directory that is none, or cannot be read; `what` is to be in it."""
    try:
        there = files.exists(directory) if files.is_uri(directory) else os.listdir(directory) is not None
        reason = "" if there else os.strerror(errno.ENOENT)
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise FormatError(f"{directory}: expected a folder with {what}, got: {reason}")


def missing(directory: str, expected: Sequence[str]) -> FormatError:
    """Returns what to raise where none of the expected names is there: "DIR: expected …, got only …"."""
    there = _there(directory, expected)
    more = ", …" if there[_MAX_SHOWN:] else ""
    got = f"only {', '.join(there[:_MAX_SHOWN])}{more}" if there else "an empty folder"
    return FormatError(f"{directory}: expected {' or '.join(expected)}, got {got}")


def _there(directory: str, expected: Sequence[str]) -> list[str]:
    """Returns what lies there: first what has a similar name, also below, then the rest in order."""
    likeness = {name: _likeness(name, expected) for name in _below(directory)}
    near = [name for name, value in likeness.items() if value >= _NEAR]
    near.sort(key=lambda name: -likeness[name])
    return list(dict.fromkeys([*near, *names(directory)]))


def _below(directory: str) -> Iterator[str]:
    # What cannot be read is not near.
    with contextlib.suppress(OSError):
        yield from itertools.islice(files.walk(directory), _MAX_LOOKED_AT)


def _likeness(path: str, expected: Sequence[str]) -> float:
    """Returns how alike a file's name and the nearest of those expected are, in [0, 1]."""
    name = _plain(os.path.basename(path))
    return max(difflib.SequenceMatcher(None, name, _plain(other)).ratio() for other in expected)


def _plain(name: str) -> str:
    return name.casefold().removesuffix(".gz")


def _same(first: str, second: str) -> bool:
    """Whether two local files have the same content; behind a URI that is not looked at."""
    with _format_errors(first):
        return not files.is_uri(first) and filecmp.cmp(first, second, shallow=False)


@contextlib.contextmanager
def _format_errors(location: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or location
        raise unreadable(where, error) from error
