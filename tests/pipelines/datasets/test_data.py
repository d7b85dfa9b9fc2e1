import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

from components.config import ConfigError
from components.formats.idx import read_idx
from components.sources.idx import IdxSource
from pipelines import console
from pipelines.datasets import catalog as data
from pipelines.datasets import downloads
from pipelines.datasets.catalog import OutputError
from pipelines.datasets.downloads import Download, DownloadError, RemoteFile

CONTENT = {"a.gz": bytes(range(256)) * 400, "b.gz": b"b" * 100}


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `/short/`, `/long/`, `/wrong/` spoil it, `/none/` has nothing."""

    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        _, kind, name = self.path.split("/")
        if kind == "none":
            self.send_error(404)
            return
        content = CONTENT[name]
        self.send_response(200)
        if kind != "long":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        bodies = {"good": content, "short": content[:-10], "wrong": content[:-1] + b"!"}
        self.wfile.write(bodies.get(kind, content * 3))

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    running.asked = []
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def progress() -> Progress:
    return Progress(disable=True)


@pytest.fixture
def offer(server: Server, monkeypatch: pytest.MonkeyPatch) -> object:
    """Offers CONTENT as the data of the task "tiny" from the mirrors with these kinds of answer."""

    def make_offer(*kinds: str, port: int = server.server_port) -> None:
        files = tuple(
            RemoteFile(name, len(content), hashlib.sha256(content).hexdigest())
            for name, content in CONTENT.items()
        )
        mirrors = tuple(f"http://127.0.0.1:{port}/{kind}/" for kind in kinds)
        monkeypatch.setattr(data, "DOWNLOADS", {"tiny": Download(mirrors, files)})

    return make_offer


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_files_arrive_whole_in_a_new_folder_with_progress(offer, progress, tmp_path) -> None:
    offer("good")
    data.fetch("tiny", tmp_path / "new/folder", progress)
    for name, content in CONTENT.items():
        assert (tmp_path / "new/folder" / name).read_bytes() == content
    assert names(tmp_path / "new/folder") == ["a.gz", "b.gz"]
    assert [(task.description, task.completed) for task in progress.tasks] == [
        ("a.gz", 102400),
        ("b.gz", 100),
    ]


def test_files_that_are_right_stay_and_wrong_ones_are_fetched_again(
    offer, server, progress, tmp_path
) -> None:
    offer("good")
    (tmp_path / "a.gz").write_bytes(CONTENT["a.gz"])
    (tmp_path / "b.gz").write_bytes(b"c" * 100)
    data.fetch("tiny", tmp_path, progress)
    assert server.asked == ["/good/b.gz"]
    assert (tmp_path / "b.gz").read_bytes() == CONTENT["b.gz"]


def test_the_next_mirror_is_tried(offer, server, progress, tmp_path) -> None:
    offer("none", "wrong", "good")
    data.fetch("tiny", tmp_path, progress)
    assert server.asked[:3] == ["/none/a.gz", "/wrong/a.gz", "/good/a.gz"]
    assert names(tmp_path) == ["a.gz", "b.gz"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("short", r"short/a.gz: cannot be read: .*received 102390 bytes, expected 102400"),
        ("long", r"long/a.gz: expected 102400 bytes, got more"),
        ("wrong", r"wrong/a.gz: expected SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}"),
        ("none", r"none/a.gz: expected the file, got HTTP status 404"),
    ],
)
def test_a_bad_answer_is_one_line_and_keeps_nothing(
    offer, progress, tmp_path, kind: str, message: str
) -> None:
    offer(kind)
    with pytest.raises(DownloadError, match=message) as caught:
        data.fetch("tiny", tmp_path, progress)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_an_unreachable_server_is_named_with_what_to_do_next(offer, progress, tmp_path, monkeypatch) -> None:
    # Nobody listens on port 1.
    offer("good", port=1)
    monkeypatch.setattr(data, "MAKERS", {"tiny": data.make_digits})
    with pytest.raises(DownloadError) as caught:
        data.fetch("tiny", tmp_path, progress)
    assert "http://127.0.0.1:1/good/a.gz: cannot be read: [Errno 111] Connection refused" in str(caught.value)
    made = f"`millrace data make tiny --out {tmp_path}` writes data that needs no network"
    assert str(caught.value).endswith(made)
    # It is also what the terminal shows.
    assert console.explain(caught.value).message.endswith(made)
    assert names(tmp_path) == []


def test_a_server_that_goes_silent_is_given_up(progress, tmp_path, monkeypatch) -> None:
    import socket

    monkeypatch.setattr(downloads, "_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        offered = {"tiny": Download((mirror,), (RemoteFile("a.gz", 1, "0" * 64),))}
        monkeypatch.setattr(data, "DOWNLOADS", offered)
        with pytest.raises(DownloadError, match="timed out"):
            data.fetch("tiny", tmp_path, progress)
    assert names(tmp_path) == []


@pytest.mark.parametrize("action", ["make", "fetch"])
def test_an_unknown_task_is_refused_with_the_known_ones(action: str, progress, tmp_path) -> None:
    arguments = ("mnits", tmp_path) if action == "make" else ("mnits", tmp_path, progress)
    with pytest.raises(ConfigError, match="did you mean 'mnist'"):
        getattr(data, action)(*arguments)


def test_a_folder_that_cannot_be_made_is_named(progress, tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file/out: cannot be written to: Not a directory"):
        data.make("mnist", tmp_path / "file/out")


def test_the_published_files_are_the_four_of_mnist() -> None:
    files = data.DOWNLOADS["mnist"].files
    assert len({file.name for file in files}) == 4
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in files)
    assert all(url.startswith("https://") and url.endswith("/") for url in data.DOWNLOADS["mnist"].mirrors)


def test_the_embedded_digits_are_four_genuine_files(tmp_path: Path) -> None:
    data.make("mnist", tmp_path)
    source = IdxSource()
    source.check(tmp_path)
    assert [source.count(source.files(tmp_path, split)) for split in source.input_splits] == [1437, 360]
    assert all((tmp_path / file.name).is_file() for file in data.DOWNLOADS["mnist"].files)
    images = read_idx(tmp_path / "train-images-idx3-ubyte.gz")
    assert (images.min(), images.max()) == (0, 255)
    labels = read_idx(tmp_path / "t10k-labels-idx1-ubyte.gz")
    # About a fifth of the 180 or so of each class.
    assert np.bincount(labels, minlength=10).min() > 20


def test_the_embedded_digits_are_the_same_every_time(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        data.make("mnist", tmp_path / folder)
    for file in data.DOWNLOADS["mnist"].files:
        assert (tmp_path / "one" / file.name).read_bytes() == (tmp_path / "two" / file.name).read_bytes()
