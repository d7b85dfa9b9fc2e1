"""`millrace ui` as a process."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from json_documents import document

from pipelines.cli import main as cli


@contextmanager
def ui(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "pipelines.cli.main", "ui", *arguments]
    server = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield server
    finally:
        server.kill()
        server.communicate()


def test_it_tells_its_address_serves_and_ends_by_the_keyboard(tmp_path: Path) -> None:
    with ui("--port=0", "--json", "--pipeline-root", str(tmp_path)) as server:
        assert server.stdout is not None
        url = document("ui", server.stdout.readline())["url"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        assert "Nothing has run here yet." in httpx.get(url).text
        # A page that listens does not keep it from ending.
        with httpx.stream("GET", f"{url}events") as events:
            assert next(events.iter_lines()).startswith("data: ")
            server.send_signal(signal.SIGINT)
            _, err = server.communicate(timeout=20)
    assert (server.returncode, err) == (0, "")


def test_it_is_there_for_this_machine_alone(tmp_path: Path) -> None:
    with ui("--port=0", "--json", "--pipeline-root", str(tmp_path)) as server:
        assert server.stdout is not None
        port = int(document("ui", server.stdout.readline())["url"].rpartition(":")[2].rstrip("/"))
        listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    addresses = re.findall(rf"\s([0-9A-F]+):{port:04X}\s[0-9A-F:]+\s0A\s", listening)
    assert addresses == ["0100007F"]


def test_a_port_that_is_taken_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as stop:
            cli.main(["ui", f"--port={port}", "--no-browser", "--pipeline-root", str(tmp_path)])
    assert stop.value.code == 1
    assert (
        f"ui: cannot listen on 127.0.0.1:{port}: Address already in use; --port=N" in capsys.readouterr().err
    )
