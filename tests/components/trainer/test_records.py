"""Unpacked records: each by its number; damage is found."""

import gzip
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from components.trainer.errors import TrainingFailure
from components.trainer.records import unpacked

RECORDS = [b"a", b"", b"\x00zeros at both ends\x00", b"b" * 3_000_000, b"last"]


def write(path: Path, records: Sequence[bytes]) -> str:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        for record in records:
            writer.write(record)
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    # Files are read by name, and one may be empty.
    parts = {"b.gz": RECORDS[2:], "a.gz": RECORDS[:2], "c.gz": []}
    return [write(tmp_path / name, records) for name, records in parts.items()]


@pytest.mark.parametrize("numbers", [[0, 1, 2, 3, 4], [4, 0, 3, 0], [2], []])
def test_records_are_read_by_their_numbers(files: list[str], numbers: list[int]) -> None:
    with unpacked(files, 5) as records:
        assert len(records) == 5
        read = records.read(np.array(numbers, np.int64))
        assert list(read) == [RECORDS[number] for number in numbers]


def test_files_behind_a_uri_are_unpacked_too(files: list[str]) -> None:
    with unpacked([f"file://{file}" for file in files], 5) as records:
        assert records.read(np.array([4])) == [b"last"]


def test_no_file_with_a_name_is_left_if_the_process_dies(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with unpacked(files, 5):
        assert os.listdir(folder) == []


def test_another_number_of_records_than_were_counted_is_a_failure(files: list[str]) -> None:
    with pytest.raises(TrainingFailure, match="expected 6 training examples, got 5"), unpacked(files, 6):
        pass


def test_a_truncated_file_is_a_failure(files: list[str]) -> None:
    content = Path(files[0]).read_bytes()
    Path(files[0]).write_bytes(content[: len(content) // 2])
    with (
        pytest.raises(TrainingFailure, match=r"b\.gz: expected a GZIP file, got: .*ended"),
        unpacked(files, 5),
    ):
        pass


def test_a_flipped_byte_is_a_failure(files: list[str]) -> None:
    content = bytearray(Path(files[0]).read_bytes())
    content[len(content) // 2] ^= 1
    Path(files[0]).write_bytes(content)
    with pytest.raises(TrainingFailure, match=r"b\.gz: expected"), unpacked(files, 5):
        pass


@pytest.mark.parametrize("content", [b"short", b"text, which is not a TFRecord file at all"])
def test_what_is_no_tfrecord_file_is_a_failure(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "text.gz"
    file.write_bytes(gzip.compress(content))
    with (
        pytest.raises(TrainingFailure, match=rf"text\.gz: expected TFRecords of {len(content)} bytes, got"),
        unpacked([str(file)], 1),
    ):
        pass


def test_a_missing_file_is_a_failure_that_names_it(tmp_path: Path) -> None:
    with (
        pytest.raises(TrainingFailure, match=r"nowhere\.gz: cannot unpack"),
        unpacked([f"{tmp_path}/nowhere.gz"], 1),
    ):
        pass
