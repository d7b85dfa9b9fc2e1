"""Published versions of models: `BASE/<model_name>/<version>/` and `BASE/<model_name>/latest.json`.

`BASE/<model_name>` is a base path of TensorFlow Serving, which loads the folder with the highest
number. Therefore the version with the highest number is the live one, and what publishes a version is
the moment in which its folder appears. `latest.json` follows; it says what is live to
those who cannot list folders, and remembers the highest number ever given. A publisher killed
between the two leaves a version that is live already; the next one brings `latest.json` up to it.

Numbered folders without a record of ours are left alone, but their numbers are taken. Of several publishers
into one bucket each gets a number of its own; a higher one may be complete before a lower one.

A rollback withdraws what was published after the version that it restores. The live version's record
says what is withdrawn, and hands that on to the next one, so that nobody publishes it again unawares.
"""

from __future__ import annotations

import hashlib
import json
import logging
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from errno import EACCES, EEXIST, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, EPROTONOSUPPORT, EROFS
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pydantic import Field, ValidationError

from components.config import Config
from components.registry.storage import (
    CARDS,
    ORIGIN_FILE,
    RECORD,
    SAVED_MODEL,
    NumberTaken,
    PublishError,
    PublishFailed,
    PublishRefused,
    Storage,
    in_order,
    resolve,
)

__all__ = [
    "CARDS",
    "CorruptVersion",
    "Provenance",
    "PublishError",
    "PublishFailed",
    "PublishRefused",
    "PublishedVersion",
    "Withdrawn",
    "changing",
    "copy",
    "explained",
    "live",
    "model_folder",
    "now",
    "origin_of",
    "publish",
    "read_file",
    "rollback",
    "verify",
    "versions",
    "withdrawn",
]

LATEST: Final = "latest.json"

_log = logging.getLogger(__name__)

_USERS_MISTAKES = {
    EACCES, EEXIST, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, EPROTONOSUPPORT, EROFS
}  # fmt: skip
_CHUNK_BYTES = 1 << 20
# So many withdrawn versions are remembered.
_MOST_WITHDRAWN: Final = 50


class CorruptVersion(PublishFailed):
    """The files of a version are not those that were published."""


class Withdrawn(Config):
    """A version that a rollback took back."""

    version: int = Field(ge=1)
    # As PublishedVersion has them.
    digest: str
    origin: str
    # When it was taken back: UTC, ISO 8601.
    time: str

    @property
    def explanation(self) -> str:
        """One line for who would publish the same again."""
        return (
            f"version {self.version}, made of the same, was rolled back on {self.time}; "
            "--force publishes it again"
        )


class Provenance(Config):
    """Where a model comes from and how good it is."""

    metrics: dict[str, Any]
    blessed: bool
    # Such as run_id and model_uri.
    source: dict[str, str]
    # The version that was first published with this content, if this one is a rollback.
    restored_from: int | None = None
    # What is not to be published again, oldest first.
    withdrawn: tuple[Withdrawn, ...] = ()


class PublishedVersion(Provenance):
    """One version and its digests; its JSON is kept in the version's folder."""

    version: int = Field(ge=1)
    # UTC, ISO 8601.
    created: str
    # SHA-256 over the lines that `sha256sum` prints for the files, sorted by path.
    digest: str
    # SHA-256 in hexadecimal by path, relative to the version's folder.
    files: dict[str, str]
    path: str = Field(exclude=True)

    @property
    def origin(self) -> str:
        """The digest of what the model was made of; empty where it does not say."""
        return self.files.get(ORIGIN_FILE, "")

    @property
    def first_version(self) -> int:
        """The version that was first published with this content."""
        return self.restored_from or self.version


def publish(
    source_dir: str,
    base: str,
    model_name: str,
    *,
    metrics: Mapping[str, Any],
    source: Mapping[str, str],
    keep_versions: int,
    blessed: bool = True,
    cards: Mapping[str, bytes] = MappingProxyType({}),
) -> PublishedVersion:
    """Publishes the SavedModel in `source_dir` as the next version of `model_name` and returns it.

    If the live version has the same content already, that one is returned. Afterwards only the
    `keep_versions` newest versions are left. Locations are local paths or URIs. `cards`, some of CARDS, are
    written into the version's folder and are no part of its content.

    Raises:
      PublishRefused: no SavedModel, a bad name, or a base that cannot be written.
      PublishFailed: such as a full disk. What was live still is, or the new version is completely.
    """
    if keep_versions < 1:
        raise PublishRefused(f"keep_versions: expected at least 1, got {keep_versions}")
    folder = _ModelFolder(*model_folder(base, model_name))
    with explained(source_dir):
        model = _Tree.read(source_dir)
    with changing(*folder):
        known = folder.versions()
        still = _without(known[-1].withdrawn if known else (), model)
        provenance = Provenance(metrics=dict(metrics), blessed=blessed, source=dict(source), withdrawn=still)
        published = folder.add(model, provenance, cards)
        for old in folder.versions()[:-keep_versions]:
            folder.storage.remove(old.path)
        return published


def rollback(base: str, model_name: str, to: int | None = None) -> PublishedVersion:
    """Publishes an earlier version's content again, as a new version, and returns that.

    Without `to` it is the version before the one whose content is live, so that repeated rollbacks
    walk further back: of 1, 2, 3 the first gives 4 (from 2), the second 5 (from 1). What was published
    after the restored content is withdrawn.

    Raises:
      PublishRefused: `to` is unknown, or there is no earlier version.
      CorruptVersion: the version's files are not those that were published.
    """
    # Before anything is locked, which would make the folder.
    if live(base, model_name) is None:
        raise PublishRefused(f"{posixpath.join(base, model_name)}: no version is published")
    folder = _ModelFolder(*model_folder(base, model_name))
    with changing(*folder):
        known = folder.versions()
        target = _previous(known) if to is None else _find(known, to)
        model = _Tree.verified(target)
        restored = {"restored_from": target.first_version, "withdrawn": _withdrawn(known, target, model)}
        return folder.add(model, Provenance(**{**_provenance(target), **restored}))


def versions(base: str, model_name: str) -> list[PublishedVersion]:
    """Returns the published versions, oldest first."""
    with explained(base):
        return _ModelFolder(*model_folder(base, model_name)).versions()


def live(base: str, model_name: str) -> PublishedVersion | None:
    """Returns the version that a model server serves: the one with the highest number."""
    with explained(base):
        return next(_ModelFolder(*model_folder(base, model_name)).newest_first(), None)


def withdrawn(base: str, model_name: str, origin: str) -> Withdrawn | None:
    """Returns what became of a model made of the same, if a rollback took it back."""
    current = live(base, model_name)
    entries = current.withdrawn if current and origin else ()
    return next((entry for entry in reversed(entries) if entry.origin == origin), None)


def origin_of(model_dir: str) -> str:
    """Returns the digest of what a SavedModel was made of; empty where it does not say."""
    with explained(model_dir):
        storage, folder = resolve(model_dir)
        path = posixpath.join(folder, ORIGIN_FILE)
        return _sha256(storage, path) if storage.exists(path) else ""


def copy(version: PublishedVersion, target_dir: str) -> None:
    """Copies a version's files, without the record, to a new folder; raises CorruptVersion."""
    with explained(version.path):
        model = _Tree.verified(version)
        storage, folder = resolve(target_dir)
        for name in in_order(model.files):
            model.copy(name, storage, folder)


def verify(version_dir: str) -> PublishedVersion:
    """Returns the version in a folder after comparing every file's digest; raises CorruptVersion."""
    with explained(version_dir):
        storage, path = resolve(version_dir)
        version = _read_record(storage, path)
        _Tree.verified(version)
        return version


def read_file(version: PublishedVersion, name: str) -> bytes | None:
    """Returns a file of a version, None where it was published without; raises CorruptVersion."""
    if name not in version.files:
        return None
    path = posixpath.join(version.path, name)
    with explained(path):
        storage, path = resolve(path)
        content = storage.content(path)
    if content is None:
        raise CorruptVersion(f"{path}: expected a published file, got none")
    expected, got = version.files[name], hashlib.sha256(content).hexdigest()
    if expected != got:
        raise CorruptVersion(f"{path}: expected SHA-256 {expected}, got {got}")
    return content


def model_folder(base: str, model_name: str) -> tuple[Storage, str]:
    """Returns where a model's versions are; raises PublishRefused for a bad name, or a place out of reach."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", model_name):
        raise PublishRefused(
            f"model name {model_name!r}: expected letters, digits, '_', '-' and '.', the last not first"
        )
    with explained(base):
        storage, path = resolve(base)
    return storage, posixpath.join(path, model_name)


def now() -> str:
    """Returns this second, UTC, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class _Tree(NamedTuple):
    """A folder and the SHA-256 digests of its files, the record and cards excepted."""

    storage: Storage
    path: str
    files: dict[str, str]

    @classmethod
    def read(cls, location: str) -> _Tree:
        storage, path = resolve(location)
        if not storage.exists(posixpath.join(path, SAVED_MODEL)):
            raise PublishRefused(f"{location}: expected a SavedModel, but there is no {SAVED_MODEL}")
        names = [name for name in storage.files(path) if name not in (RECORD, *CARDS)]
        return cls(storage, path, {name: _sha256(storage, posixpath.join(path, name)) for name in names})

    @classmethod
    def verified(cls, version: PublishedVersion) -> _Tree:
        """Returns a version's files; raises CorruptVersion where they are not the published ones."""
        try:
            tree = cls.read(version.path)
        except PublishRefused as error:
            raise CorruptVersion(str(error)) from error
        for name in sorted({*tree.files, *version.files}):
            expected, got = version.files.get(name, "no file"), tree.files.get(name, "no file")
            if expected != got:
                raise CorruptVersion(f"{version.path}/{name}: expected SHA-256 {expected}, got {got}")
        if tree.digest != version.digest:
            raise CorruptVersion(f"{version.path}: expected digest {version.digest}, got {tree.digest}")
        return tree

    @property
    def digest(self) -> str:
        lines = "".join(f"{self.files[name]}  {name}\n" for name in sorted(self.files))
        return hashlib.sha256(lines.encode()).hexdigest()

    def copy(self, name: str, storage: Storage, folder: str) -> None:
        """Copies one file; raises PublishFailed if it is not the one whose digest was taken."""
        path, digest = posixpath.join(self.path, name), hashlib.sha256()
        with self.storage.reading(path) as old, storage.writing(posixpath.join(folder, name)) as new:
            while chunk := old.read(_CHUNK_BYTES):
                digest.update(chunk)
                new.write(chunk)
            # While a bucket has nothing of the file.
            if digest.hexdigest() != self.files[name]:
                raise PublishFailed(f"{path}: changed while it was published")


class _ModelFolder(NamedTuple):
    """`BASE/<model_name>`."""

    storage: Storage
    path: str

    def versions(self) -> list[PublishedVersion]:
        return list(self.newest_first())[::-1]

    def newest_first(self) -> Iterator[PublishedVersion]:
        """Yields the versions, each read only when it is asked for."""
        for number in reversed(self._numbers()):
            path = posixpath.join(self.path, str(number))
            if not self.storage.exists(posixpath.join(path, SAVED_MODEL)):
                continue
            try:
                yield _read_record(self.storage, path, number)
            except FileNotFoundError:
                continue  # not ours, or just removed by a publisher
            except CorruptVersion as error:
                _log.warning("left out: %s", error)

    def add(
        self, model: _Tree, provenance: Provenance, cards: Mapping[str, bytes] = MappingProxyType({})
    ) -> PublishedVersion:
        """Publishes a model unless it is what is live, and brings latest.json up to date."""
        current = next(self.newest_first(), None)
        if current is None or not _holds(current, model):
            current = self._write(model, provenance, cards)
        self.storage.update(posixpath.join(self.path, LATEST), self._latest)
        return current

    def _write(self, model: _Tree, provenance: Provenance, cards: Mapping[str, bytes]) -> PublishedVersion:
        while True:
            version = self._next(model, provenance)
            record = version.model_dump_json(indent=2).encode()
            with suppress(NumberTaken), self.storage.new_folder(version.path, record) as folder:
                for name, content in cards.items():
                    with self.storage.writing(posixpath.join(folder, name)) as file:
                        file.write(content)
                for name in in_order(model.files):
                    model.copy(name, self.storage, folder)
                return version

    def _next(self, model: _Tree, provenance: Provenance) -> PublishedVersion:
        number = self._highest() + 1
        return PublishedVersion(
            **_provenance(provenance),
            version=number,
            created=now(),
            digest=model.digest,
            files=model.files,
            path=posixpath.join(self.path, str(number)),
        )

    def _latest(self, content: bytes | None) -> bytes:
        """Returns latest.json as it is to be now, after what it holds."""
        live = json.loads(next(self.newest_first()).model_dump_json())
        return json.dumps({**live, "highest": self._highest_after(content)}, indent=2).encode()

    def _numbers(self) -> list[int]:
        # TensorFlow Serving takes any name that is a whole number for a version.
        names = self.storage.children(self.path)
        return sorted({int(name) for name in names if re.fullmatch("[0-9]{1,18}", name)})

    def _highest(self) -> int:
        """Returns the highest number ever given, also if that version was deleted since."""
        return self._highest_after(self.storage.content(posixpath.join(self.path, LATEST)))

    def _highest_after(self, latest: bytes | None) -> int:
        try:
            remembered = 0 if latest is None else int(json.loads(latest)["highest"])
        except (ValueError, KeyError, TypeError) as error:
            path = posixpath.join(self.path, LATEST)
            raise PublishFailed(f"{path}: expected JSON with 'highest', got {error!r}") from error
        return max([remembered, *self._numbers()])


def _holds(version: PublishedVersion, model: _Tree) -> bool:
    """Whether a version has this very content, still intact."""
    if version.digest != model.digest:
        return False
    try:
        _Tree.verified(version)
    except (CorruptVersion, FileNotFoundError) as error:
        # Damaged, or just removed by another publisher.
        _log.warning("published again: %s", error)
        return False
    return True


def _withdrawn(
    known: list[PublishedVersion], target: PublishedVersion, model: _Tree
) -> tuple[Withdrawn, ...]:
    """Returns what is withdrawn once `target` is live again: what was, and what came after it."""
    entries = {entry.digest: entry for entry in known[-1].withdrawn}
    time = now()
    for later in known:
        if later.first_version > target.first_version:
            entry = Withdrawn(
                version=later.first_version, digest=later.digest, origin=later.origin, time=time
            )
            entries.setdefault(later.digest, entry)
    return _without(entries.values(), model)[-_MOST_WITHDRAWN:]


def _without(entries: Iterable[Withdrawn], model: _Tree) -> tuple[Withdrawn, ...]:
    """Returns the entries that are not about this very model."""
    origin = model.files.get(ORIGIN_FILE)
    return tuple(e for e in entries if e.digest != model.digest and (not e.origin or e.origin != origin))


def _previous(known: list[PublishedVersion]) -> PublishedVersion:
    current = known[-1]
    before = current.first_version
    earlier = [v for v in known if v.version < before and v.digest != current.digest]
    if not earlier:
        raise PublishRefused(f"{posixpath.dirname(current.path)}: no version before {before}, which is live")
    return earlier[-1]


def _find(known: list[PublishedVersion], number: int) -> PublishedVersion:
    for version in known:
        if version.version == number:
            return version
    numbers = ", ".join(str(version.version) for version in known)
    raise PublishRefused(f"{posixpath.dirname(known[-1].path)}: unknown version {number}; known: {numbers}")


def _provenance(record: Provenance) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Provenance.model_fields}


def _read_record(storage: Storage, path: str, number: int | None = None) -> PublishedVersion:
    record = posixpath.join(path, RECORD)
    content = storage.content(record)
    if content is None:
        raise FileNotFoundError(ENOENT, "expected the record of a version, got none", record)
    try:
        version = PublishedVersion.model_validate({**json.loads(content), "path": path})
    except (ValidationError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise CorruptVersion(f"{record}: expected the record of a version, got {reason}") from error
    if number not in (None, version.version):
        raise CorruptVersion(f"{record}: expected version {number}, got {version.version}")
    return version


def _sha256(storage: Storage, path: str) -> str:
    digest = hashlib.sha256()
    with storage.reading(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def changing(storage: Storage, path: str) -> Iterator[None]:
    """Keeps other publishers out of a model's folder."""
    with explained(path), storage.exclusive(path):
        yield


@contextmanager
def explained(location: str) -> Iterator[None]:
    """Turns OSErrors into one line that names the path."""
    try:
        yield
    except OSError as error:
        kind = PublishRefused if error.errno in _USERS_MISTAKES else PublishFailed
        raise kind(f"{error.filename or location}: {error.strerror or error}") from error
