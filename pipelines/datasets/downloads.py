"""Files as they were published: downloaded, checked, and archives unpacked."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import httpx
from rich.progress import Progress

from components.errors import Failure

_TIMEOUT_S: Final = 30.0
# Where packets go nowhere, nobody wants to wait for every mirror.
_CONNECT_TIMEOUT_S: Final = 5.0
_CHUNK_BYTES: Final = 1 << 16
# No file of any data set is as large.
_MAX_MEMBER_BYTES: Final = 1 << 30


class DownloadError(Failure):
    """A file that no mirror gave as published."""


class RemoteFile(NamedTuple):
    """A file as it was published, and for a zip archive those of its members that are wanted."""

    # Path below a mirror; here the file gets its last part, as do members.
    path: str
    size_bytes: int
    sha256: str
    members: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the data directory."""
        return PurePosixPath(self.path).name


class Download(NamedTuple):
    """Files, and the places that have all of them, tried in turn."""

    mirrors: tuple[str, ...]
    files: tuple[RemoteFile, ...]


def fetch_files(download: Download, out_dir: Path, progress: Progress) -> None:
    """Downloads and unpacks into an existing directory; what is already right stays.

    Archives stay, too: what they hold is checked against them the next time. Raises DownloadError.
    """
    for file in download.files:
        if not _is_right(out_dir / file.name, file):
            _fetch_from_any(download.mirrors, file, out_dir, progress)
        if file.members:
            unpack(out_dir / file.name, file.members)


def unpack(archive: Path, members: tuple[str, ...]) -> None:
    """Writes members of a zip archive beside it, each under the last part of its path.

    Each appears only complete, with the checksum that the archive has for it. Raises DownloadError.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in members:
                _unpack_member(opened, member, archive.parent)
    # Encrypted members are a RuntimeError, unknown compression is a NotImplementedError, which is one, too.
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError) as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise DownloadError(f"{archive}: cannot be unpacked: {reason}") from error


def _unpack_member(archive: zipfile.ZipFile, member: str, out_dir: Path) -> None:
    info = archive.getinfo(member)
    if info.file_size > _MAX_MEMBER_BYTES:
        raise zipfile.BadZipFile(
            f"expected {member} of at most {_MAX_MEMBER_BYTES} bytes, got {info.file_size}"
        )
    path = out_dir / PurePosixPath(member).name
    if path.is_file() and path.stat().st_size == info.file_size and _crc32(path) == info.CRC:
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Reads no more than `file_size`, and checks the CRC at the end.
        with archive.open(info) as content, aside.open("wb") as output:
            shutil.copyfileobj(content, output, _CHUNK_BYTES)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _crc32(path: Path) -> int:
    crc = 0
    for chunk in _chunks(path):
        crc = zlib.crc32(chunk, crc)
    return crc


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _fetch_from_any(mirrors: tuple[str, ...], file: RemoteFile, out_dir: Path, progress: Progress) -> None:
    reasons = []
    for mirror in mirrors:
        try:
            _fetch_file(mirror + file.path, file, out_dir, progress)
            return
        except DownloadError as error:
            reasons.append(str(error))
    raise DownloadError("; ".join(reasons))


def _fetch_file(url: str, file: RemoteFile, out_dir: Path, progress: Progress) -> None:
    """Writes the file aside and renames it once it is whole and right."""
    aside = out_dir / f".{file.name}.{os.getpid()}"
    bar = progress.add_task(file.name, total=file.size_bytes)
    try:
        digest = hashlib.sha256()
        with aside.open("wb") as output:
            for chunk in _read_url(url, file.size_bytes):
                output.write(chunk)
                digest.update(chunk)
                progress.advance(bar, len(chunk))
        if digest.hexdigest() != file.sha256:
            raise DownloadError(f"{url}: expected SHA-256 {file.sha256}, got {digest.hexdigest()}")
        aside.replace(out_dir / file.name)
    except DownloadError:
        progress.remove_task(bar)
        raise
    finally:
        aside.unlink(missing_ok=True)


def _read_url(url: str, size_bytes: int) -> Iterator[bytes]:
    """Yields chunks of exactly `size_bytes` in all; raises DownloadError."""
    received = 0
    try:
        with _opened(url) as response:
            response.raise_for_status()
            for chunk in response.iter_raw():
                received += len(chunk)
                if received > size_bytes:
                    raise DownloadError(f"{url}: expected {size_bytes} bytes, got more")
                yield chunk
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise DownloadError(f"{url}: expected the file, got HTTP status {status}") from error
    # The last two: proxies in the environment that httpx does not take.
    except (httpx.HTTPError, ValueError, ImportError) as error:
        raise DownloadError(f"{url}: cannot be read: {str(error) or type(error).__name__}") from error
    if received != size_bytes:
        raise DownloadError(f"{url}: expected {size_bytes} bytes, got {received}")


def _opened(url: str) -> AbstractContextManager[httpx.Response]:
    """Returns an answer in the very bytes that the server has, whose certificate the system trusts."""
    return httpx.stream(
        "GET",
        url,
        headers={"Accept-Encoding": "identity"},
        timeout=httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
        follow_redirects=True,
        verify=ssl.create_default_context(),
    )


def _is_right(path: Path, file: RemoteFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest() == file.sha256
