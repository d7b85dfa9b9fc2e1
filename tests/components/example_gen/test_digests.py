import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.example_gen import digests
from components.example_gen.digests import data_digests, fingerprint, sha256
from components.formats.errors import FormatError
from components.protocols import Split
from components.sources.glue import MNLI
from components.sources.idx import IdxSource


def source(**patterns: str) -> Any:
    """A source that reads every file that the patterns of its splits match."""
    return SimpleNamespace(input_splits=tuple(Split(name, pattern) for name, pattern in patterns.items()))


SOURCE = source(train="train-*", eval="t10k-*")
# `printf abc | sha256sum`; also FIPS 180-2, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_files_that_splits_are_read_from_are_summed_by_name(tmp_path: Path, scheme: str) -> None:
    for name in ("train-a", "t10k-b", "other"):
        (tmp_path / name).write_bytes(b"abc")
    (tmp_path / "train-folder").mkdir()
    assert data_digests(SOURCE, f"{scheme}{tmp_path}") == {"t10k-b": ABC, "train-a": ABC}


def test_a_file_of_several_splits_counts_once_and_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "[a]*"
    folder.mkdir()
    (folder / "a").write_bytes(b"abc")
    assert data_digests(source(train="a", eval="*"), str(folder)) == {"a": ABC}


def test_a_file_is_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_CHUNK_BYTES", 4096)
    # FIPS 180-2, appendix B.3.
    (tmp_path / "a").write_bytes(b"a" * 1_000_000)
    assert sha256(str(tmp_path / "a")) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_without_data_is_refused(tmp_path: Path, scheme: str) -> None:
    for folder in (f"{scheme}{tmp_path}", f"{scheme}{tmp_path}/nowhere"):
        with pytest.raises(FormatError, match=r"expected a folder with train-\* and t10k-\*, got none"):
            data_digests(SOURCE, folder)


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
        data_digests(SOURCE, "s3://y")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train-a").touch(mode=0)
    with pytest.raises(FormatError, match="train-a: cannot be read: Permission denied"):
        data_digests(SOURCE, str(tmp_path))


@pytest.mark.parametrize("name", ["plain", "br[1]", "a*", "b?", "[", "{SPAN}"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_fingerprint_tells_changed_files_whatever_the_folder_is_called(
    tmp_path: Path, name: str, scheme: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "train-a").write_bytes(b"abc")
    (folder / "t10k-b").write_bytes(b"de")
    before = fingerprint(SOURCE, f"{scheme}{folder}")
    first, second = before.splitlines()
    assert first.startswith("split:train,num_files:1,total_bytes:3,checksum:")
    assert second.startswith("split:eval,num_files:1,total_bytes:2,checksum:")
    assert fingerprint(SOURCE, f"{scheme}{folder}") == before
    (folder / "train-a").write_bytes(b"abcd")
    assert fingerprint(SOURCE, f"{scheme}{folder}") != before


def test_a_file_of_the_same_size_and_time_has_another_fingerprint(tmp_path: Path) -> None:
    for name in ("train-a", "t10k-b"):
        (tmp_path / name).write_bytes(b"abc")
    before = fingerprint(SOURCE, str(tmp_path))
    time_ns = (tmp_path / "train-a").stat().st_mtime_ns
    (tmp_path / "train-a").write_bytes(b"cba")
    os.utime(tmp_path / "train-a", ns=(time_ns, time_ns))
    assert fingerprint(SOURCE, str(tmp_path)) != before


def test_a_split_without_files_has_no_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "train-a").touch()
    with pytest.raises(FormatError, match=r"expected t10k-\*, got none"):
        fingerprint(SOURCE, str(tmp_path))


def test_a_link_to_nothing_in_place_of_a_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to("/nonexistent/x")
    for take in (fingerprint, data_digests):
        with pytest.raises(FormatError, match=f"^{tmp_path}/b: a link to nothing$"):
            take(source(train="a", eval="b"), str(tmp_path))


def test_files_that_the_source_does_not_read_do_not_matter(tmp_path: Path) -> None:
    names = [
        f"{split}-{kind}"
        for split in ("train", "t10k")
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    for name in names:
        (tmp_path / name).write_bytes(b"abc")
    before = fingerprint(IdxSource(), str(tmp_path))
    (tmp_path / "train-dangling").symlink_to("/nonexistent/x")
    (tmp_path / "train-notes.txt").write_text("no data")
    # The plain file is read where both are there.
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"abc")
    assert fingerprint(IdxSource(), str(tmp_path)) == before
    assert data_digests(IdxSource(), str(tmp_path)) == dict.fromkeys(names, ABC)


def test_of_several_files_those_that_are_declared_count(tmp_path: Path) -> None:
    names = ["dev_matched.tsv", "dev_mismatched.tsv", "train.tsv"]
    for name in (*names, "dev_old_matched.tsv"):
        (tmp_path / name).write_bytes(b"abc")
    assert data_digests(MNLI, str(tmp_path)) == dict.fromkeys(names, ABC)
    assert fingerprint(MNLI, str(tmp_path)).splitlines()[1].startswith("split:eval,num_files:2,")
