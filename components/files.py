"""Files and folders by local path or by URI, in the same way for both.

Every function raises OSError, with the location that it is about as `filename`, and nothing else. Local files
need no TensorFlow; those behind a URI are reached by tf.io.gfile.
"""

from __future__ import annotations

import errno
import fnmatch
import glob as local_glob
import os
import posixpath
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any


def is_uri(location: str) -> bool:
    """Whether a location is not a local path."""
    return "://" in location


def exists(location: str) -> bool:
    """Whether there is a file or folder."""
    if not is_uri(location):
        return os.path.exists(location)
    with os_errors(location):
        return bool(gfile().exists(location))


def list_folder(folder: str) -> list[str]:
    """Returns the sorted names in a folder; none where there is no such folder."""
    if not is_uri(folder):
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    with os_errors(folder):
        names = gfile().listdir(folder) if gfile().isdir(folder) else []
        return sorted(name.rstrip("/") for name in names)


def find(folder: str, pattern: str) -> list[str]:
    """Returns the sorted locations of the files in a folder whose names match a pattern.

    The folder's own name is no pattern, whatever characters are in it.
    """
    if not is_uri(folder):
        found = local_glob.glob(os.path.join(local_glob.escape(folder), pattern))
        return sorted(path for path in found if os.path.isfile(path))
    names = fnmatch.filter(list_folder(folder), pattern)
    with os_errors(folder):
        return [path for name in names if not gfile().isdir(path := posixpath.join(folder, name))]


def walk(folder: str) -> Iterator[str]:
    """Yields the location of every file below a folder, relative to it, in order."""
    if not is_uri(folder):
        for parent, folders, names in os.walk(folder, onerror=_raise):
            folders.sort()
            yield from (os.path.relpath(os.path.join(parent, name), folder) for name in sorted(names))
        return
    with os_errors(folder):
        for parent, _, names in gfile().walk(folder, onerror=_raise):
            inner = parent.removeprefix(folder).strip("/")
            yield from (posixpath.join(inner, name) for name in sorted(names))


@contextmanager
def reading(location: str) -> Iterator[IO[bytes]]:
    """Opens a file for reading its bytes."""
    if not is_uri(location):
        with open(location, "rb") as file:
            yield file
        return
    with os_errors(location), gfile().GFile(location, "rb") as file:
        yield file


def read_bytes(location: str) -> bytes:
    """Returns the content of a file."""
    with reading(location) as file:
        return bytes(file.read())


def read_text(location: str) -> str:
    """Returns the text of a UTF-8 file; a ValueError that names the byte where it is none."""
    try:
        return read_bytes(location).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{location}: expected UTF-8, got byte 0x{error.object[error.start]:02x}") from error


def write_bytes(location: str, content: bytes) -> None:
    """Writes aside, then renames: a reader sees the whole file or none. Folders on the way are made."""
    folder, name = os.path.split(location)
    make_folder(folder)
    aside = os.path.join(folder, f".{name}.{os.getpid()}.part")
    if not is_uri(location):
        try:
            with open(aside, "wb") as file:
                file.write(content)
            os.replace(aside, location)
        except OSError as error:
            # A failed write does not say where, unlike a failed open.
            raise error if error.filename else OSError(error.errno, error.strerror, location) from error
        finally:
            if os.path.exists(aside):
                os.remove(aside)
        return
    with os_errors(location):
        with gfile().GFile(aside, "wb") as file:
            file.write(content)
        gfile().rename(aside, location, overwrite=True)


def write_text(location: str, text: str) -> None:
    """Writes UTF-8, as `write_bytes` does."""
    write_bytes(location, text.encode())


def modified_s(location: str) -> float:
    """Returns when a file was written last, in seconds since 1970."""
    if not is_uri(location):
        return os.stat(location).st_mtime
    with os_errors(location):
        return float(gfile().stat(location).mtime_nsec / 1e9)


def make_folder(folder: str) -> None:
    """Makes a folder, and those on the way, unless it is there."""
    if not is_uri(folder):
        os.makedirs(folder or ".", exist_ok=True)
        return
    with os_errors(folder):
        gfile().makedirs(folder)


def copy_file(source: str, target: str) -> None:
    """Copies one file; folders on the way are made."""
    make_folder(os.path.dirname(target))
    if not is_uri(source) and not is_uri(target):
        shutil.copyfile(source, target)
        return
    with os_errors(source):
        gfile().copy(source, target, overwrite=True)


def copy_tree(source: str, target: str) -> None:
    """Copies a folder and everything below; empty folders below are left out."""
    make_folder(target)
    for name in walk(source):
        copy_file(os.path.join(source, name), os.path.join(target, name))


def move_folder(source: str, target: str) -> None:
    """Moves a local folder: all at once, or file by file where the target is a URI."""
    if is_uri(target):
        copy_tree(source, target)
        remove_tree(source)
    else:
        os.rename(source, target)


def remove_tree(folder: str) -> None:
    """Removes a folder and everything below, if it is there."""
    if not is_uri(folder):
        if os.path.isdir(folder):
            shutil.rmtree(folder)
        return
    with os_errors(folder):
        if gfile().exists(folder):
            gfile().rmtree(folder)


def gfile() -> Any:
    """Returns TensorFlow's module for files behind URIs."""
    import tensorflow as tf

    return tf.io.gfile


@contextmanager
def os_errors(location: str) -> Iterator[None]:
    """Turns TensorFlow's errors into the OSErrors that local files raise."""
    import tensorflow as tf

    errors = tf.errors
    codes = {
        errors.NotFoundError: errno.ENOENT,
        errors.PermissionDeniedError: errno.EACCES,
        errors.UnauthenticatedError: errno.EACCES,
        errors.UnimplementedError: errno.EPROTONOSUPPORT,
        errors.ResourceExhaustedError: errno.ENOSPC,
    }
    try:
        yield
    except errors.OpError as error:
        code = codes.get(type(error), errno.EIO)
        raise OSError(code, " ".join(error.message.split()) or os.strerror(code), location) from error


def _raise(error: Exception) -> None:
    raise error
