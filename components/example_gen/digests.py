"""Which raw files examples are made of, and what is in them."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from components import files
from components.formats.errors import FormatError, unreadable
from components.protocols import FindsFiles, Source, Split

_CHUNK_BYTES: Final = 1 << 22


def data_digests(source: Source, directory: str) -> dict[str, str]:
    """Returns SHA-256 sums in hexadecimal by file name, relative to `directory`, a path or a URI.

    Raises FormatError where there are no files, or one cannot be read.
    """
    found = raw_files(source, directory)
    # Threads: hashlib lets others work while it computes.
    with ThreadPoolExecutor() as pool:
        return dict(pool.map(lambda file: named_digest(file, directory), found))


def raw_files(source: Source, directory: str) -> list[str]:
    """Returns the locations of the files that a source reads, sorted; raises FormatError for none."""
    try:
        found = sorted(
            {file for split in source.input_splits for file in _files_of(source, split, directory)}
        )
        if not found:
            # An OSError for a store that is not known, in which nothing is found.
            files.exists(directory)
    except OSError as error:
        raise unreadable(directory, error) from error
    if not found:
        patterns = [split.pattern for split in source.input_splits]
        raise FormatError(f"{directory}: expected a folder with {' and '.join(patterns)}, got none")
    return found


def fingerprint(source: Source, directory: str) -> str:
    """Returns a line for each split that changes with its files, which are not read: as TFX words it.

    Raises FormatError for a split without files, whose fingerprint would never change.
    """
    return "\n".join(_fingerprint(source, split, directory) for split in source.input_splits)


def _fingerprint(source: Source, split: Split, directory: str) -> str:
    try:
        found = _files_of(source, split, directory)
        stamps = [(os.path.relpath(file, directory), files.stamp(file)) for file in found]
    except OSError as error:
        raise unreadable(directory, error) from error
    if not stamps:
        raise FormatError(f"{directory}: expected {split.pattern}, got none")
    checksum = hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]
    total_bytes = sum(stamp[0] for _, stamp in stamps)
    return f"split:{split.name},num_files:{len(stamps)},total_bytes:{total_bytes},checksum:{checksum}"


def _files_of(source: Source, split: Split, directory: str) -> list[str]:
    """Returns the locations of the files that a split is read from, sorted."""
    if isinstance(source, FindsFiles):
        return sorted(source.raw_files(directory, split))
    if files.is_broken_link(location := os.path.join(directory, split.pattern)):
        raise FormatError(f"{location}: a link to nothing")
    return files.find(directory, split.pattern)


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
        raise unreadable(location, error) from error
    return digest.hexdigest()
