"""The places that models are published to: a local file system, and object stores by URI.

All show a folder under its final name only once it is complete: a file system by a rename, an
object store by the order of the files, because there a folder is no more than a common prefix.
Publishers keep out of each other's way by a lock on a file system, and by who first creates an object
in the buckets of `buckets`; other object stores can do neither.
"""

from __future__ import annotations

import errno
import fcntl
import os
import posixpath
import shutil
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Final, Protocol

from components.errors import Failure, UserError
from components.files import gfile, os_errors

# What servers wait for: a folder without it is no SavedModel.
SAVED_MODEL: Final = "saved_model.pb"
# What is known about a version, inside its folder; servers ignore assets.extra.
RECORD: Final = "assets.extra/millrace-version.json"
# What a model was made of, as components/export/origin.py writes it; equal for equal trainings.
ORIGIN_FILE: Final = "assets.extra/origin.json"

# What a reader wants to know of a version; like its record, beside what was published and not a part of it.
CARDS: Final = ("assets.extra/card.md", "assets.extra/card.html")

# Whatever the umask is: a container may have none, and the user of a server is another one.
_FILE_MODE: Final = 0o644
_FOLDER_MODE: Final = 0o755

_STAGED, _REMOVED, _REWRITTEN = ".push-", ".gone-", ".new-"


class PublishError(Exception):
    """Publishing, reading or restoring a version did not work."""


class PublishRefused(PublishError, UserError):
    """What was asked for cannot be: a name, a version, or a place that cannot be written."""


class PublishFailed(PublishError, Failure):
    """Publishing was right to try but failed, such as on a full disk."""


class NumberTaken(Exception):
    """Another publisher has claimed the number of a version."""


class Storage(Protocol):
    """A place for folders of files; every method raises OSError with the path that it is about."""

    def children(self, folder: str) -> list[str]:
        """Returns the names in `folder`, none where it does not exist."""

    def files(self, folder: str) -> list[str]:
        """Returns the sorted relative paths of all files below `folder`."""

    def exists(self, path: str) -> bool: ...

    def content(self, path: str) -> bytes | None:
        """Returns the content of a small file, None without one."""

    def reading(self, path: str) -> AbstractContextManager[IO[bytes]]: ...

    def writing(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Opens a new file; folders on the way are made."""

    def exclusive(self, folder: str) -> AbstractContextManager[None]:
        """Makes `folder`, keeps other publishers out where it can, and removes what killed ones left."""

    def new_folder(self, folder: str, record: bytes) -> AbstractContextManager[str]:
        """Yields the folder to write into, where the record is; it appears as `folder` at the end, or never.

        Raises NumberTaken where another publisher's record is there.
        """

    def update(self, path: str, change: Callable[[bytes | None], bytes]) -> None:
        """Writes what `change` makes of a file's content, None without one; readers see the old or the new.

        It is asked again if another publisher has written meanwhile.
        """

    def remove(self, folder: str) -> None:
        """Removes a folder such that a server never takes what is left of it for a model."""


def resolve(location: str) -> tuple[Storage, str]:
    """Returns the storage and path of a local path or a URI: "file:///a" -> (LocalStorage, "/a").

    Raises OSError for a bucket without what reaches it: a package, or credentials.
    """
    scheme, separator, rest = location.partition("://")
    if not separator:
        return LocalStorage(), os.path.abspath(location)
    if scheme == "file":
        return LocalStorage(), os.path.abspath(rest)
    path = location.rstrip("/")
    return (_bucket_storage(scheme, rest.partition("/")[0]) or ObjectStorage()), path


def _bucket_storage(scheme: str, name: str) -> Storage | None:
    # Each brings a client of its own, which takes a while to import.
    from components.registry.buckets import BucketStorage

    if scheme == "gs":
        with warnings.catch_warnings():
            # That Python 3.10 is old is no news to who publishes a model.
            warnings.simplefilter("ignore", FutureWarning)
            from components.registry.gcs import GcsBucket

        return BucketStorage(GcsBucket(name), f"gs://{name}/")
    if scheme == "s3":
        try:
            from components.registry.s3 import S3Bucket
        except ImportError as error:
            reason = "needs the package boto3, which `uv sync --extra s3` installs"
            raise OSError(errno.EPROTONOSUPPORT, reason, f"s3://{name}") from error
        return BucketStorage(S3Bucket(name), f"s3://{name}/")
    return None


def in_order(names: Iterable[str]) -> list[str]:
    """Returns names in the order of writing: the record first, saved_model.pb last."""
    return sorted(names, key=lambda name: (name == SAVED_MODEL, name != RECORD, name))


class LocalStorage:
    """Folders on a file system with atomic renames and flock."""

    def children(self, folder: str) -> list[str]:
        try:
            return os.listdir(folder)
        except FileNotFoundError:
            return []

    def files(self, folder: str) -> list[str]:
        found = []
        for parent, folders, names in os.walk(folder, onerror=_raise):
            for name in folders:
                _require(os.path.join(parent, name), not os.path.islink(os.path.join(parent, name)))
            for name in names:
                path = os.path.join(parent, name)
                _require(path, os.path.isfile(path))
                found.append(os.path.relpath(path, folder))
        return sorted(found)

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def content(self, path: str) -> bytes | None:
        try:
            with self.reading(path) as file:
                return file.read()
        except FileNotFoundError:
            return None

    @contextmanager
    def reading(self, path: str) -> Iterator[IO[bytes]]:
        with open(path, "rb") as file:
            yield file

    @contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        _make_folder(os.path.dirname(path))
        try:
            with open(path, "xb") as file:
                os.fchmod(file.fileno(), _FILE_MODE)
                yield file
        except OSError as error:
            # A failed write does not say where, unlike a failed open.
            raise error if error.filename else OSError(error.errno, error.strerror, path) from error

    @contextmanager
    def exclusive(self, folder: str) -> Iterator[None]:
        _make_folder(folder)
        _fsync(os.path.dirname(folder))
        lock = _open_lock(os.path.join(folder, ".lock"))
        try:
            # The kernel gives the lock back when its holder dies.
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._sweep(folder)
            yield
        finally:
            os.close(lock)

    @contextmanager
    def new_folder(self, folder: str, record: bytes) -> Iterator[str]:
        parent, name = os.path.split(folder)
        staged = os.path.join(parent, _STAGED + name)
        try:
            os.mkdir(staged)
            _set_mode(staged)
            with self.writing(os.path.join(staged, RECORD)) as file:
                file.write(record)
            yield staged
            _fsync_tree(staged)
            os.rename(staged, folder)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        _fsync(parent)

    def update(self, path: str, change: Callable[[bytes | None], bytes]) -> None:
        parent, name = os.path.split(path)
        written = os.path.join(parent, _REWRITTEN + name)
        content = change(self.content(path))
        with self.writing(written) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(written, path)
        _fsync(parent)

    def remove(self, folder: str) -> None:
        parent, name = os.path.split(folder)
        hidden = os.path.join(parent, _REMOVED + name)
        os.rename(folder, hidden)
        shutil.rmtree(hidden)

    def _sweep(self, folder: str) -> None:
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name.startswith((_STAGED, _REMOVED)):
                shutil.rmtree(path)
            elif name.startswith(_REWRITTEN):
                os.remove(path)


class ObjectStorage:
    """Prefixes of whatever store tf.io.gfile knows; one publisher a model at a time.

    That has neither locks nor writes on a condition. A folder counts as a version from the moment
    that saved_model.pb, written last, is in it.
    """

    def children(self, folder: str) -> list[str]:
        try:
            with os_errors(folder):
                return [name.rstrip("/") for name in gfile().listdir(folder)]
        except FileNotFoundError:
            return []

    def files(self, folder: str) -> list[str]:
        with os_errors(folder):
            return sorted(
                posixpath.join(parent.removeprefix(folder).strip("/"), name)
                for parent, _, names in gfile().walk(folder)
                for name in names
            )

    def exists(self, path: str) -> bool:
        with os_errors(path):
            return bool(gfile().exists(path))

    def content(self, path: str) -> bytes | None:
        if not self.exists(path):
            return None
        with self.reading(path) as file:
            return file.read()

    @contextmanager
    def reading(self, path: str) -> Iterator[IO[bytes]]:
        with os_errors(path), gfile().GFile(path, "rb") as file:
            yield file

    @contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        with os_errors(path):
            gfile().makedirs(posixpath.dirname(path))
            with gfile().GFile(path, "wb") as file:
                yield file

    @contextmanager
    def exclusive(self, folder: str) -> Iterator[None]:
        yield
        # Not before: the number of an unfinished version is not given away again.
        for name in self.children(folder):
            path = posixpath.join(folder, name)
            ours = self.exists(posixpath.join(path, RECORD))
            if ours and not self.exists(posixpath.join(path, SAVED_MODEL)):
                self.remove(path)

    @contextmanager
    def new_folder(self, folder: str, record: bytes) -> Iterator[str]:
        with self.writing(posixpath.join(folder, RECORD)) as file:
            file.write(record)
        yield folder

    def update(self, path: str, change: Callable[[bytes | None], bytes]) -> None:
        parent, name = posixpath.split(path)
        written = posixpath.join(parent, _REWRITTEN + name)
        content = change(self.content(path))
        with self.writing(written) as file:
            file.write(content)
        with os_errors(path):
            gfile().rename(written, path, overwrite=True)

    def remove(self, folder: str) -> None:
        with os_errors(folder):
            for name in reversed(in_order(self.files(folder))):
                gfile().remove(posixpath.join(folder, name))
            if gfile().exists(folder):
                gfile().rmtree(folder)


def _raise(error: OSError) -> None:
    raise error


def _require(path: str, regular: bool) -> None:
    if not regular:
        raise PublishRefused(f"{path}: expected a file or a folder, got a link or a special file")


def _make_folder(folder: str) -> None:
    """Makes a folder, and those on the way, unless it is there."""
    if os.path.isdir(folder):
        return
    _make_folder(os.path.dirname(folder))
    try:
        os.mkdir(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
    else:
        _set_mode(folder)


def _set_mode(folder: str) -> None:
    # By the other bit volumes of a group hand the group on.
    os.chmod(folder, _FOLDER_MODE | os.stat(folder).st_mode & stat.S_ISGID)


def _open_lock(path: str) -> int:
    """Returns a descriptor of the file, which is made if it is not there."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    except FileExistsError:
        return os.open(path, os.O_RDWR)
    os.fchmod(lock, _FILE_MODE)
    return lock


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(descriptor)


def _fsync_tree(folder: str) -> None:
    for parent, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            _fsync(os.path.join(parent, name))
        _fsync(parent)
