"""Buckets of object stores that write on a condition, so that any number of publishers share one.

Of several that create the same object, the store lets one. `gcs` and `s3` are such stores.
"""

from __future__ import annotations

import posixpath
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Final, NamedTuple, Protocol

from components.registry.storage import RECORD, SAVED_MODEL, NumberTaken, in_order

# Whoever has written nothing into its version for so long is taken for dead.
_UNFINISHED_S: Final = 24 * 3600


class Content(NamedTuple):
    """What an object held, and what tells this state of it from any other one."""

    data: bytes
    state: str


class Bucket(Protocol):
    """The objects of a bucket by their names; every method raises OSError with the URI that it is about."""

    def listing(self, prefix: str) -> dict[str, float]:
        """Returns when each object whose name begins so was written, in seconds since 1970."""

    def read(self, name: str) -> Content | None:
        """Returns an object's content, None where there is no such object."""

    def download(self, name: str, file: IO[bytes]) -> None:
        """Writes an object's content to the end of a file."""

    def upload(self, name: str, file: IO[bytes]) -> None:
        """Makes an object, or replaces one, from what is left to read of a file."""

    def write_if(self, name: str, data: bytes, state: str | None) -> bool:
        """Writes an object if it still is in a state, None: if there is none; returns whether it was."""

    def delete(self, name: str) -> None:
        """Deletes an object, if it is there."""


class BucketStorage:
    """Folders of a bucket, as storage.Storage has them.

    A folder counts as a version from the moment that saved_model.pb, written last, is in it. Its number is
    claimed by its record, which is created first. What a killed publisher left is swept after a day.
    """

    def __init__(self, bucket: Bucket, root: str) -> None:
        """`root` is the bucket's URI, "gs://bucket/", with which all paths begin."""
        self._bucket, self._root = bucket, root

    def children(self, folder: str) -> list[str]:
        return sorted({name.partition("/")[0] for name in self._written(folder)})

    def files(self, folder: str) -> list[str]:
        return sorted(self._written(folder))

    def exists(self, path: str) -> bool:
        name = self._name(path)
        return name in self._bucket.listing(name)

    def content(self, path: str) -> bytes | None:
        found = self._bucket.read(self._name(path))
        return found.data if found else None

    @contextmanager
    def reading(self, path: str) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryFile() as file:
            self._bucket.download(self._name(path), file)
            file.seek(0)
            yield file

    @contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryFile() as file:
            yield file
            # Not where something went wrong: a piece of a file is none.
            file.seek(0)
            self._bucket.upload(self._name(path), file)

    @contextmanager
    def exclusive(self, folder: str) -> Iterator[None]:
        yield
        # Not before: the number of an unfinished version is not given away again.
        for number in self._given_up(folder):
            self.remove(posixpath.join(folder, number))

    @contextmanager
    def new_folder(self, folder: str, record: bytes) -> Iterator[str]:
        if not self._bucket.write_if(self._name(posixpath.join(folder, RECORD)), record, None):
            raise NumberTaken(folder)
        try:
            yield folder
        except BaseException:
            with suppress(OSError):
                self.remove(folder)
            raise

    def update(self, path: str, change: Callable[[bytes | None], bytes]) -> None:
        name, written = self._name(path), False
        while not written:
            found = self._bucket.read(name)
            data = change(found.data if found else None)
            written = self._bucket.write_if(name, data, found.state if found else None)

    def remove(self, folder: str) -> None:
        for name in reversed(in_order(self.files(folder))):
            self._bucket.delete(self._name(posixpath.join(folder, name)))

    def _given_up(self, folder: str) -> Iterator[str]:
        """Yields the folders with a record of ours and no SavedModel in which nobody has written for long."""
        versions: dict[str, dict[str, float]] = {}
        for path, written_s in self._written(folder).items():
            number, _, name = path.partition("/")
            versions.setdefault(number, {})[name] = written_s
        for number, names in versions.items():
            unfinished = RECORD in names and SAVED_MODEL not in names
            if unfinished and _is_old(names.values()):
                yield number

    def _written(self, folder: str) -> dict[str, float]:
        """Returns when each file below a folder was written, by its path from there."""
        prefix = self._name(folder) + "/"
        return {name.removeprefix(prefix): at for name, at in self._bucket.listing(prefix).items()}

    def _name(self, path: str) -> str:
        return path.removeprefix(self._root)


def _is_old(written_s: Iterable[float]) -> bool:
    return max(written_s) < time.time() - _UNFINISHED_S
