import hashlib
import zipfile
from pathlib import Path

import pytest
from rich.progress import Progress

from pipelines.datasets import downloads
from pipelines.datasets.downloads import Download, DownloadError, RemoteFile, fetch_files, unpack

CONTENT = bytes(range(256)) * 200


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "out/Data.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("Data/train.tsv", CONTENT)
        opened.writestr("Data/unwanted.tsv", b"unwanted")
        opened.writestr("../../escaped.tsv", b"escaped")
    return path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_wanted_members_are_unpacked_beside_the_archive(archive: Path) -> None:
    unpack(archive, ("Data/train.tsv",))
    assert names(archive.parent) == ["Data.zip", "train.tsv"]
    assert (archive.parent / "train.tsv").read_bytes() == CONTENT


def test_no_member_gets_out_of_the_directory(archive: Path) -> None:
    unpack(archive, ("../../escaped.tsv",))
    assert names(archive.parent) == ["Data.zip", "escaped.tsv"]
    assert names(archive.parents[1]) == ["out"]


def test_what_is_unpacked_already_stays_and_what_differs_is_replaced(archive: Path) -> None:
    unpack(archive, ("Data/train.tsv",))
    path = archive.parent / "train.tsv"
    inode = path.stat().st_ino
    unpack(archive, ("Data/train.tsv",))
    assert path.stat().st_ino == inode
    path.write_bytes(CONTENT[:-1] + b"!")
    unpack(archive, ("Data/train.tsv",))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("position", [0.3, 0.6], ids=str)
def test_a_flipped_byte_is_refused_and_nothing_is_left(archive: Path, position: float) -> None:
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo("Data/train.tsv")
        offset = info.header_offset + 44 + int(position * info.compress_size)
    content = bytearray(archive.read_bytes())
    content[offset] ^= 0x55
    archive.write_bytes(content)
    with pytest.raises(DownloadError, match=r"Data\.zip: cannot be unpacked") as caught:
        unpack(archive, ("Data/train.tsv",))
    assert "\n" not in str(caught.value)
    assert names(archive.parent) == ["Data.zip"]


def test_a_member_that_is_missing_or_too_large_is_refused(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DownloadError, match=r"no item named 'Data/none\.tsv'"):
        unpack(archive, ("Data/none.tsv",))
    monkeypatch.setattr(downloads, "_MAX_MEMBER_BYTES", 100)
    with pytest.raises(DownloadError, match=r"train\.tsv of at most 100 bytes, got 51200"):
        unpack(archive, ("Data/train.tsv",))
    assert names(archive.parent) == ["Data.zip"]


def test_what_is_no_archive_is_refused(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(DownloadError, match="cannot be unpacked: File is not a zip file"):
        unpack(archive, ("Data/train.tsv",))


def test_an_archive_is_fetched_checked_and_unpacked_once(archive: Path, tmp_path: Path) -> None:
    mirror, out = tmp_path / "mirror/sets", tmp_path / "fetched"
    mirror.mkdir(parents=True)
    out.mkdir()
    content = archive.read_bytes()
    (mirror / "Data.zip").write_bytes(content)
    file = RemoteFile("sets/Data.zip", len(content), hashlib.sha256(content).hexdigest(), ("Data/train.tsv",))
    download = Download((f"{(tmp_path / 'mirror').as_uri()}/",), (file,))
    fetch_files(download, out, Progress(disable=True))
    assert names(out) == ["Data.zip", "train.tsv"]
    (mirror / "Data.zip").unlink()
    (out / "train.tsv").unlink()
    fetch_files(download, out, Progress(disable=True))
    assert (out / "train.tsv").read_bytes() == CONTENT
