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
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any


def is_uri(location: str) -> bool:
    """Whether a location is not a local path."""
    return "://" in location


def resolved(location: str) -> str:
    """Returns a location as the others take it: "file:///data" -> "/data", "~/data" -> "/root/data"."""
    return os.path.expanduser(location.removeprefix("file://"))


def exists(location: str) -> bool:
    """Whether there is a file or folder."""
    if not is_uri(location):
        return os.path.exists(location)
    with os_errors(location):
        return bool(gfile().exists(location))


def is_broken_link(location: str) -> bool:
    """Whether a local path is a link to what is not there; no URI is."""
    return not is_uri(location) and os.path.islink(location) and not os.path.exists(location)


def list_folder(folder: str) -> list[str]:
    """Returns the sorted names in a folder; none where there is no such folder."""
    if not is_uri(folder):
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    with suppress(FileNotFoundError), os_errors(folder):
        # Not `isdir`, which is False where nobody could ask.
        if gfile().stat(folder).is_directory:
            return sorted(name.rstrip("/") for name in gfile().listdir(folder))
    return []


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
        for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
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
    with os_errors(location), _open(location, "rb") as file:
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
    # No other writer's, wherever that runs.
    aside = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.part")
    try:
        with os_errors(aside), _open(aside, "wb") as file:
            file.write(content)
        _rename(aside, location)
    except OSError as error:
        raise OSError(error.errno, error.strerror, location) from error
    finally:
        with suppress(OSError):
            remove_file(aside)


def write_text(location: str, text: str) -> None:
    """Writes UTF-8, as `write_bytes` does."""
    write_bytes(location, text.encode())


def modified_s(location: str) -> float:
    """Returns when a file was written last, in seconds since 1970."""
    if not is_uri(location):
        return os.stat(location).st_mtime
    with os_errors(location):
        return float(gfile().stat(location).mtime_nsec / 1e9)


def stamp(location: str) -> tuple[int, ...]:
    """Returns what changes when a file is written: its size in bytes and its times in nanoseconds.

    Of a local file also the time of its inode, which nobody can set back as `cp -p` does the other one.
    """
    if not is_uri(location):
        status = os.stat(location)
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns
    with os_errors(location):
        found = gfile().stat(location)
        return int(found.length), int(found.mtime_nsec)


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
    if is_uri(source) or is_uri(target):
        with os_errors(source):
            gfile().copy(source, target, overwrite=True)
        return
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        # The target is named second, where it is full, or not at all.
        raise OSError(error.errno, error.strerror, error.filename2 or error.filename or target) from error


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
    with suppress(FileNotFoundError), os_errors(folder):
        gfile().rmtree(folder)


def remove_file(location: str) -> None:
    """Removes a file, if it is there."""
    with suppress(FileNotFoundError), os_errors(location):
        (gfile() if is_uri(location) else os).remove(location)


def gfile() -> Any:
    """Returns TensorFlow's module for files behind URIs."""
    import tensorflow as tf

    return tf.io.gfile


@contextmanager
def os_errors(location: str) -> Iterator[None]:
    """Turns TensorFlow's errors into the OSErrors that local files raise, and names the location in all."""
    try:
        yield
    except OSError as error:
        if is_broken_link(location):
            raise OSError(error.errno, "a link to nothing", location) from error
        if error.filename or error.errno is None:
            # A library's own error, such as of a broken GZIP file, has no number.
            raise
        # A failed write does not say where, unlike a failed open.
        raise OSError(error.errno, error.strerror, location) from error
    except Exception as error:
        code = _tensorflow_code(error) if is_uri(location) else None
        if code is None:
            raise
        raise OSError(code, " ".join(str(error).split()) or os.strerror(code), location) from error


def _tensorflow_code(error: Exception) -> int | None:
    """Returns the errno of an error of TensorFlow's, None for others."""
    from tensorflow import errors

    codes = {
        errors.NotFoundError: errno.ENOENT,
        errors.PermissionDeniedError: errno.EACCES,
        errors.UnauthenticatedError: errno.EACCES,
        errors.UnimplementedError: errno.EPROTONOSUPPORT,
        errors.ResourceExhaustedError: errno.ENOSPC,
    }
    return codes.get(type(error), errno.EIO) if isinstance(error, errors.OpError) else None


def _open(location: str, mode: str) -> Any:
    return gfile().GFile(location, mode) if is_uri(location) else open(location, mode)


def _rename(source: str, target: str) -> None:
    if not is_uri(target):
        os.replace(source, target)
        return
    with os_errors(target):
        gfile().rename(source, target, overwrite=True)


def _raise(error: Exception) -> None:
    raise error
