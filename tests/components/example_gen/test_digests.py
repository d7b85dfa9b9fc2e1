import os
from pathlib import Path

import pytest

from components.example_gen import digests
from components.example_gen.digests import data_digests, sha256
from components.formats.errors import FormatError
from components.protocols import Split

SPLITS = (Split("train", "train-*"), Split("eval", "t10k-*"))
# `printf abc | sha256sum`; also FIPS 180-2, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_files_that_splits_are_read_from_are_summed_by_name(tmp_path: Path, scheme: str) -> None:
    for name in ("train-a", "t10k-b", "other"):
        (tmp_path / name).write_bytes(b"abc")
    (tmp_path / "train-folder").mkdir()
    assert data_digests(SPLITS, f"{scheme}{tmp_path}") == {"t10k-b": ABC, "train-a": ABC}


def test_a_file_of_several_splits_counts_once_and_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "[a]*"
    folder.mkdir()
    (folder / "a").write_bytes(b"abc")
    assert data_digests([Split("train", "a"), Split("eval", "*")], str(folder)) == {"a": ABC}


def test_a_file_is_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_CHUNK_BYTES", 4096)
    # FIPS 180-2, appendix B.3.
    (tmp_path / "a").write_bytes(b"a" * 1_000_000)
    assert sha256(str(tmp_path / "a")) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_without_data_is_refused(tmp_path: Path, scheme: str) -> None:
    for folder in (f"{scheme}{tmp_path}", f"{scheme}{tmp_path}/nowhere"):
        with pytest.raises(FormatError, match=r"expected a folder with train-\* and t10k-\*, got none"):
            data_digests(SPLITS, folder)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("/nowhere", "No such file or directory"),
        ("file:///nowhere", ".*No such"),
        ("s3://y/z", ".*scheme 's3'"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(location: str, reason: str) -> None:
    with pytest.raises(FormatError, match=f"{location}: cannot be read: {reason}"):
        sha256(location)


def test_a_store_that_is_not_known_is_refused() -> None:
    with pytest.raises(FormatError, match=r"s3://y: cannot be read: .*scheme 's3'"):
        data_digests(SPLITS, "s3://y")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train-a").touch(mode=0)
    with pytest.raises(FormatError, match="train-a: cannot be read: Permission denied"):
        data_digests(SPLITS, str(tmp_path))
