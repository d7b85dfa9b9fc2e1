"""Which raw files examples are made of, and what is in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from components import files
from components.formats.errors import FormatError
from components.protocols import Split

_CHUNK_BYTES: Final = 1 << 22


def data_digests(splits: Iterable[Split], directory: str) -> dict[str, str]:
    """Returns SHA-256 sums in hexadecimal by file name, relative to `directory`, a path or a URI.

    Raises FormatError where there are no files, or one cannot be read.
    """
    found = raw_files(splits, directory)
    # Threads: hashlib lets others work while it computes.
    with ThreadPoolExecutor() as pool:
        return dict(pool.map(lambda file: named_digest(file, directory), found))


def raw_files(splits: Iterable[Split], directory: str) -> list[str]:
    """Returns the locations of the files that splits are read from, sorted; raises FormatError for none."""
    patterns = [split.pattern for split in splits]
    try:
        found = sorted({file for pattern in patterns for file in files.find(directory, pattern)})
        if not found:
            # An OSError for a store that is not known, in which nothing is found.
            files.exists(directory)
    except OSError as error:
        raise FormatError(f"{directory}: cannot be read: {error.strerror or error}") from error
    if not found:
        raise FormatError(f"{directory}: expected a folder with {' and '.join(patterns)}, got none")
    return found


def named_digest(location: str, directory: str) -> tuple[str, str]:
    """Returns a file's name, relative to `directory`, and its SHA-256 sum; raises FormatError."""
    return os.path.relpath(location, directory), sha256(location)


def sha256(location: str) -> str:
    """Returns the SHA-256 sum of a file in hexadecimal; a path or a URI. Raises FormatError."""
    digest = hashlib.sha256()
    try:
        with files.reading(location) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise FormatError(f"{location}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()
