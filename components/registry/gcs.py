"""Buckets of Google Cloud Storage, whose generations are what a write may be bound to."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Final

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from components.registry.buckets import Content

_NO_OBJECT: Final = 0
_ERRNOS: Final[dict[type[exceptions.GoogleAPIError], int]] = {
    exceptions.NotFound: errno.ENOENT,
    exceptions.Forbidden: errno.EACCES,
    exceptions.Unauthorized: errno.EACCES,
}


class GcsBucket:
    """A bucket, reached with the credentials that Google's libraries find."""

    def __init__(self, name: str) -> None:
        """Raises OSError where there are no credentials."""
        self._uri = f"gs://{name}"
        with self._os_errors(""):
            # Objects belong to no project; without one, none has to be found.
            self._client = storage.Client(project=None)
        self._bucket = self._client.bucket(name)

    def listing(self, prefix: str) -> dict[str, float]:
        with self._os_errors(prefix):
            blobs = self._client.list_blobs(self._bucket, prefix=prefix)
            return {blob.name: blob.updated.timestamp() for blob in blobs}

    def read(self, name: str) -> Content | None:
        blob = self._bucket.blob(name)
        with self._os_errors(name):
            try:
                data = blob.download_as_bytes()
            except exceptions.NotFound:
                return None
            return Content(data, str(blob.generation))

    def download(self, name: str, file: IO[bytes]) -> None:
        with self._os_errors(name):
            self._bucket.blob(name).download_to_file(file)

    def upload(self, name: str, file: IO[bytes]) -> None:
        with self._os_errors(name):
            # To upload the same again does no harm.
            self._bucket.blob(name).upload_from_file(file, retry=DEFAULT_RETRY)

    def write_if(self, name: str, data: bytes, state: str | None) -> bool:
        expected = _NO_OBJECT if state is None else int(state)
        with self._os_errors(name):
            try:
                self._bucket.blob(name).upload_from_string(data, if_generation_match=expected)
            except exceptions.PreconditionFailed:
                return False
            return True

    def delete(self, name: str) -> None:
        with self._os_errors(name), suppress(exceptions.NotFound):
            self._bucket.blob(name).delete(retry=DEFAULT_RETRY)

    @contextmanager
    def _os_errors(self, name: str) -> Iterator[None]:
        location = f"{self._uri}/{name}"
        try:
            yield
        except GoogleAuthError as error:
            raise OSError(errno.EACCES, " ".join(str(error).split()), location) from error
        except exceptions.GoogleAPIError as error:
            code = _ERRNOS.get(type(error), errno.EIO)
            raise OSError(code, " ".join(str(error).split()), location) from error
