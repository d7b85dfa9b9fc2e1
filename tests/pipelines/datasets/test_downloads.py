import gzip
import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
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


def serving(folder: Path) -> AbstractContextManager[str]:
    """Yields the address of a mirror that has the files of a folder."""
    return running(partial(SimpleHTTPRequestHandler, directory=str(folder)))


@contextmanager
def running(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


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
    with serving(tmp_path / "mirror") as address:
        download = Download((address,), (file,))
        fetch_files(download, out, Progress(disable=True))
    assert names(out) == ["Data.zip", "train.tsv"]
    (mirror / "Data.zip").unlink()
    (out / "train.tsv").unlink()
    fetch_files(download, out, Progress(disable=True))
    assert (out / "train.tsv").read_bytes() == CONTENT


def test_an_archive_is_taken_in_the_bytes_that_the_server_has(tmp_path: Path) -> None:
    """A server that would compress, or unpack, for those who ask for it."""

    class Compressing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Accept-Encoding"] == "identity"
            content = CONTENT if wanted else gzip.compress(CONTENT)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    file = RemoteFile("sets/a", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    with running(Compressing) as address:
        fetch_files(Download((address,), (file,)), tmp_path, Progress(disable=True))
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_mirror_that_has_moved_is_followed(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/a").write_bytes(CONTENT)
    (tmp_path / "out").mkdir()
    file = RemoteFile("a", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    with serving(tmp_path / "mirror") as target:

        class Moved(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(302)
                self.send_header("Location", f"{target}a")
                self.end_headers()

        with running(Moved) as address:
            fetch_files(Download((address,), (file,)), tmp_path / "out", Progress(disable=True))
    assert (tmp_path / "out/a").read_bytes() == CONTENT


def test_a_proxy_of_another_kind_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "gopher://127.0.0.1:1")
    download = Download(("http://mirror.example/",), (RemoteFile("a", 1, "0" * 64),))
    with pytest.raises(DownloadError, match=r"mirror\.example/a: cannot be read: .*gopher") as caught:
        fetch_files(download, tmp_path, Progress(disable=True))
    assert "\n" not in str(caught.value)
