"""What the page of a model says to paste, pasted: into a shell and into Python, before a real server."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboard_support import ORIGIN
from starlette.testclient import TestClient

from components.registry import registry
from components.registry.registry import PublishedVersion
from pipelines.dashboard import calls as how_to_call
from pipelines.dashboard.app import Places, make_app
from pipelines.tasks import TASKS

pytestmark = pytest.mark.slow

TASK = "mnli"


@pytest.fixture(scope="module")
def folder(mnli_run: Any) -> Path:
    return Path(mnli_run.pushed_dir).parents[2]


@pytest.fixture(scope="module")
def version(folder: Path) -> PublishedVersion:
    live = registry.live(str(folder / "models"), TASK)
    assert live is not None
    return live


@pytest.fixture(scope="module")
def ports(folder: Path) -> Iterator[dict[str, str]]:
    """Of `millrace serve`: in place of those that it has when nothing is said."""
    grpc, rest = free_port(), free_port()
    flags = [f"--port={grpc}", f"--rest_api_port={rest}", "--models", str(folder / "models"), "--json"]
    command = [sys.executable, "-m", "pipelines.cli.main", "serve", TASK, *flags]
    server = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
    assert server.stdout is not None
    told = [json.loads(server.stdout.readline())["protocol"] for _ in range(2)]
    assert len(set(told)) == 2
    yield {"localhost:8500": f"localhost:{grpc}", "localhost:8501": f"localhost:{rest}"}
    server.kill()
    server.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def pasted(call: how_to_call.Call, ports: dict[str, str]) -> str:
    """Returns what is printed."""
    text = call.text
    for usual, port in ports.items():
        text = text.replace(usual, port)
    if "curl" in call.title:
        if shutil.which("curl") is None:
            pytest.skip("no curl on PATH")
        return subprocess.run(
            ["bash", "-c", text], check=True, capture_output=True, text=True, timeout=60
        ).stdout
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, call.title, "exec"), {})
    return printed.getvalue()


def test_every_signature_is_answered_however_it_is_called(
    folder: Path, version: PublishedVersion, ports: dict[str, str]
) -> None:
    ways = how_to_call.ways(TASKS[TASK], version, str(folder / "data"), f"{ORIGIN}/models/{TASK}")
    assert [way.signature.name for way in ways] == ["text", "tokens", "serving_default"]
    for way in ways:
        assert way.num_warmup_rows > 0
        assert [call.title for call in way.calls] == ["REST, by curl", "Python, by REST", "Python, by gRPC"]
        for call in way.calls:
            assert "probabilities" in pasted(call, ports), (way.signature.name, call.title)


def test_what_is_too_long_to_be_pasted_is_asked_as_it_was_recorded(
    folder: Path, version: PublishedVersion, ports: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(how_to_call, "_MOST_CHARACTERS", 10)
    ways = how_to_call.ways(TASKS[TASK], version, None, f"{ORIGIN}/models/{TASK}")
    text = next(way for way in ways if way.signature.name == "text")
    curl, python, grpc = text.calls
    url = f"{ORIGIN}/models/mnli/requests/text"
    assert curl.text == f"curl -s {url} | curl -d @- http://localhost:8501/v1/models/mnli:predict"
    assert f"body = json.load(urlopen({url!r}))" in python.text
    assert "probabilities" in pasted(grpc, ports)


def test_the_page_has_signatures_and_recorded_requests(folder: Path) -> None:
    app = make_app(Places(str(folder / "root"), str(folder / "models")), ["127.0.0.1:8600"])
    client = TestClient(app, base_url=ORIGIN)
    page = client.get(f"/models/{TASK}").text
    for name in ("text", "tokens", "serving_default"):
        assert f'<details id="signature-{name}"' in page
        body = client.get(f"/models/{TASK}/requests/{name}").json()
        assert body["signature_name"] == name
        assert {len(value) for value in body["inputs"].values()} == {1}
    assert client.get(f"/models/{TASK}/requests/none").status_code == 404
    assert client.get("/models/cola/requests/text").status_code == 404
