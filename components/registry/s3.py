"""Buckets of S3, whose writes may be bound to there being no object (If-None-Match) or one (If-Match)."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from components.registry.buckets import Content

_ERRNOS: Final = {404: errno.ENOENT, 401: errno.EACCES, 403: errno.EACCES}
# Another writer was first, or is about to be.
_CONFLICTS: Final = (409, 412)


class S3Bucket:
    """A bucket, reached with the credentials and at the endpoint that boto3 finds."""

    def __init__(self, name: str) -> None:
        self._uri, self._bucket = f"s3://{name}", name
        with self._os_errors(""):
            self._client = boto3.client("s3")

    def listing(self, prefix: str) -> dict[str, float]:
        with self._os_errors(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            found = [entry for page in pages for entry in page.get("Contents", ())]
            return {entry["Key"]: entry["LastModified"].timestamp() for entry in found}

    def read(self, name: str) -> Content | None:
        with self._os_errors(name):
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=name)
            except self._client.exceptions.NoSuchKey:
                return None
            return Content(found["Body"].read(), found["ETag"])

    def download(self, name: str, file: IO[bytes]) -> None:
        with self._os_errors(name):
            self._client.download_fileobj(self._bucket, name, file)

    def upload(self, name: str, file: IO[bytes]) -> None:
        with self._os_errors(name):
            self._client.upload_fileobj(file, self._bucket, name)

    def write_if(self, name: str, data: bytes, state: str | None) -> bool:
        condition = {"IfNoneMatch": "*"} if state is None else {"IfMatch": state}
        with self._os_errors(name):
            try:
                self._client.put_object(Bucket=self._bucket, Key=name, Body=data, **condition)
            except ClientError as error:
                if _status(error) in _CONFLICTS:
                    return False
                raise
            return True

    def delete(self, name: str) -> None:
        with self._os_errors(name):
            self._client.delete_object(Bucket=self._bucket, Key=name)

    @contextmanager
    def _os_errors(self, name: str) -> Iterator[None]:
        location = f"{self._uri}/{name}"
        try:
            yield
        except ClientError as error:
            raise OSError(_ERRNOS.get(_status(error), errno.EIO), str(error), location) from error
        except NoCredentialsError as error:
            raise OSError(errno.EACCES, str(error), location) from error
        except BotoCoreError as error:
            raise OSError(errno.EIO, " ".join(str(error).split()), location) from error


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
