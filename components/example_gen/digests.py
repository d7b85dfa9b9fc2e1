"""Which raw files examples are made of, and what is in them."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from components.formats.errors import FormatError
from components.protocols import Split

_CHUNK_BYTES: Final = 1 << 22


def data_digests(splits: Iterable[Split], directory: str) -> dict[str, str]:
    """Returns SHA-256 sums in hexadecimal by file name, relative to `directory`, a path or a URI.

    Raises FormatError where there are no files, or one cannot be read.
    """
    patterns = [split.pattern for split in splits]
    files = sorted({file for pattern in patterns for file in _files(directory, pattern)})
    if not files:
        raise FormatError(f"{directory}: expected a folder with {' and '.join(patterns)}, got none")
    # Threads: hashlib lets others work while it computes.
    with ThreadPoolExecutor() as pool:
        digests = pool.map(sha256, files)
        return {os.path.relpath(file, directory): digest for file, digest in zip(files, digests, strict=True)}


def sha256(location: str) -> str:
    """Returns the SHA-256 sum of a file in hexadecimal; a path or a URI. Raises FormatError."""
    digest = hashlib.sha256()
    with _opened(location) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _files(directory: str, pattern: str) -> list[str]:
    if not _is_uri(directory):
        found = glob.glob(os.path.join(glob.escape(directory), pattern))
        return [path for path in found if os.path.isfile(path)]
    import tensorflow as tf

    try:
        return [path for path in tf.io.gfile.glob(f"{directory}/{pattern}") if not tf.io.gfile.isdir(path)]
    except tf.errors.OpError as error:
        raise FormatError(f"{directory}: cannot be read: {error.message}") from error


@contextlib.contextmanager
def _opened(location: str) -> Iterator[Any]:
    if not _is_uri(location):
        try:
            with open(location, "rb") as file:
                yield file
        except OSError as error:
            raise FormatError(f"{location}: cannot be read: {error.strerror or error}") from error
        return
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(location, "rb") as file:
            yield file
    except tf.errors.OpError as error:
        raise FormatError(f"{location}: cannot be read: {error.message}") from error


def _is_uri(location: str) -> bool:
    return "://" in location
