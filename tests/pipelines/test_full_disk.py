"""One cause, one line: a full disk is told alike by every layer that meets it."""

import contextlib
import errno
import os
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.errors import Failure
from pipelines.console import Explained, explain
from pipelines.datasets import catalog
from pipelines.full_disk import named_by

ADVICE = "; free some space and run the same command again, finished nodes are reused"
REASON = "No space left on device"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (OSError(errno.ENOSPC, REASON, "/a/b"), "/a/b"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/a/b"), "/a/b"),
        (RuntimeError(f"examples cannot be written: /a/b c/d; {REASON}"), "/a/b c/d"),
        (Failure(f"examples cannot be written: /a/b; {REASON}"), "/a/b"),
        (Failure(f"/models/mnist/1/x: {REASON}"), "/models/mnist/1/x"),
        (RuntimeError(f"Traceback\nOSError: [Errno 28] {REASON}: '/a/b' [while running 'Write']"), "/a/b"),
        (RuntimeError(f"{{{{node_device_/job:localhost/CPU:0}}}} /a/b; {REASON} [Op:SaveV2]"), "/a/b"),
        (RuntimeError(f"UNAVAILABLE: gs://bucket/a; {REASON}\n\t [[node]]"), "gs://bucket/a"),
    ],
)
def test_the_place_is_named_whoever_tells_it(error: Exception, place: str) -> None:
    reason = os.strerror(errno.EDQUOT) if "quota" in str(error).lower() else REASON
    assert explain(error) == Explained(1, f"{place}: {reason}{ADVICE}")


def test_the_innermost_error_that_names_a_place_counts() -> None:
    error = RuntimeError("Error when executing query: database or disk is full query: UPDATE")
    error.__cause__ = OSError(errno.ENOSPC, REASON, "/a/inner")
    assert explain(error).message == f"/a/inner: {REASON}{ADVICE}"


def test_other_errors_of_a_database_are_passed_on() -> None:
    with pytest.raises(RuntimeError, match="no such table"), named_by("/a/metadata.sqlite"):
        raise RuntimeError("no such table: Execution")


def _fill(path: Path) -> None:
    with named_by(str(path)), contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (a)")
        for _ in range(99):
            database.execute("INSERT INTO t VALUES (?)", ("x" * 9999,))
            database.commit()


def test_sqlite_is_told_with_its_file(small_disk: Path) -> None:
    path = small_disk / "metadata.sqlite"
    with pytest.raises(OSError, match=REASON) as caught:
        _fill(path)
    assert explain(caught.value) == Explained(1, f"{path}: {REASON}{ADVICE}")


def test_a_write_is_told_with_its_folder(small_disk: Path) -> None:
    with pytest.raises(Failure) as caught:
        catalog.make("xnli", small_disk / "xnli")
    assert explain(caught.value) == Explained(1, f"{small_disk}/xnli: {REASON}{ADVICE}")


def _write_records(path: str) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(path) as writer:
        for _ in range(99):
            writer.write(uuid.uuid4().bytes * 999)
            writer.flush()


def test_tensorflow_is_told_with_its_file(small_disk: Path) -> None:
    path = str(small_disk / "records")
    with pytest.raises(Exception, match=REASON) as caught:
        _write_records(path)
    assert explain(caught.value) == Explained(1, f"{path}: {REASON}{ADVICE}")
