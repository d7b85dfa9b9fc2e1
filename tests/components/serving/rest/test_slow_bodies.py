"""Clients that send slowly or much, over real sockets: what they may hold together, and for how long."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from rest_client import Rest, rest_of, save_echo
from serving_client import Models, eventually, publish

MB = 1 << 20
CLIENTS, SENT, LIMIT = 100, 4 * MB, 40 * MB
# What Python, uvicorn and the kernel's buffers of a socket add.
SLACK = 60 * MB


@pytest.fixture
def base_path(models: Models, tmp_path: Path) -> Path:
    publish(models.half_plus(2.0), tmp_path, 1)
    return tmp_path


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@contextlib.contextmanager
def slow_clients(rest: Rest, number: int, declared: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(number):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", rest.port), timeout=10))
            head = f"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {declared}\r\n\r\n"
            client.sendall(head.encode())
            clients.append(client)
        yield clients


def status(client: socket.socket) -> int:
    """The status of the answer, 0 if there is none yet."""
    client.setblocking(False)
    try:
        return int(client.recv(1000).split()[1])
    except BlockingIOError:
        return 0


def held_bytes(rest: Rest) -> int:
    return rest.client.server._budget.held_bytes


def test_slow_bodies_together_hold_no_more_than_the_limit(base_path: Path) -> None:
    with rest_of(base_path, max_bytes_in_flight=LIMIT) as rest:
        assert rest.predict('{"inputs": [1]}') == [2.5]
        before = resident_bytes()
        with slow_clients(rest, CLIENTS, declared=2 * SENT) as clients:
            part = b" " * SENT
            for client in clients:
                client.sendall(part)
            assert resident_bytes() - before < LIMIT + SLACK
            codes = [status(client) for client in clients]
            assert codes.count(503) >= CLIENTS - LIMIT // SENT - 1
            assert 0 < codes.count(0) <= LIMIT // SENT + 1
        eventually(lambda: not held_bytes(rest))
        assert rest.predict(b" " * (LIMIT // 10) + b'{"inputs": [1]}') == [2.5]


def test_a_client_that_falls_silent_is_dropped_and_gives_its_share_back(base_path: Path) -> None:
    with (
        rest_of(base_path, upload_idle_timeout_in_ms=3000) as rest,
        slow_clients(rest, 3, declared=2 * SENT) as clients,
    ):
        for client in clients:
            client.sendall(b" " * MB)
        eventually(lambda: held_bytes(rest) == 3 * MB)
        eventually(lambda: not held_bytes(rest))
        assert [eventually(partial(status, client)) for client in clients] == [408] * 3
        assert rest.predict('{"inputs": [1]}') == [2.5]


def test_a_refused_body_says_that_the_server_is_full_or_that_it_never_fits(base_path: Path) -> None:
    with rest_of(base_path, max_bytes_in_flight=MB) as rest, slow_clients(rest, 1, declared=MB) as [client]:
        client.sendall(b" " * (MB - 100_000))
        eventually(lambda: held_bytes(rest) > MB - 200_000)
        body = b" " * 300_000 + b'{"inputs": [1]}'
        full = "All requests together would hold more than 1048576 bytes"
        assert rest.refusal("predict", body) == (503, full)
        alone = "expected a body of 1048576 bytes at most"
        assert rest.refusal("predict", b" " * MB + body) == (413, alone)


def test_a_body_takes_no_longer_than_its_time_however_it_drips(base_path: Path) -> None:
    with (
        rest_of(base_path, upload_timeout_in_ms=500, upload_idle_timeout_in_ms=400) as rest,
        slow_clients(rest, 1, declared=1000) as [client],
    ):
        start = time.monotonic()
        answer = b""
        while not answer:
            with contextlib.suppress(TimeoutError, OSError):
                client.sendall(b" ")
                client.settimeout(0.05)
                answer = client.recv(1000)
        assert 0.4 < time.monotonic() - start < 2
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_what_a_body_inflates_to_is_counted(base_path: Path) -> None:
    with (
        rest_of(base_path, max_bytes_in_flight=2 * MB) as rest,
        slow_clients(rest, 1, declared=MB) as [client],
    ):
        client.sendall(b" " * (MB - 1))
        eventually(lambda: held_bytes(rest) == MB - 1)
        body = gzip.compress(b" " * 2 * MB)
        zipped = {"content-encoding": "gzip"}
        assert rest.http.post("/v1/models/m:predict", content=body, headers=zipped).status_code == 503
        assert held_bytes(rest) == MB - 1


def test_what_json_is_parsed_to_is_counted(base_path: Path) -> None:
    rows = b'{"instances": [' + b",".join([b'{"x": 1}'] * 10_000) + b"]}"
    for limit, code in ((10 * MB, 200), (3 * MB, 429)):
        with rest_of(base_path, max_bytes_in_flight=limit) as rest:
            assert rest.call("predict", rows).status_code == code
            assert held_bytes(rest) == 0


def test_a_head_without_end_ends_the_connection(base_path: Path) -> None:
    with rest_of(base_path) as rest, socket.create_connection(("127.0.0.1", rest.port)) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nx: ")
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            client.sendall(b"x" * 100 * MB)
        long = {"x": "x" * 60_000}
        assert rest.http.get("/healthz", headers=long).status_code == 200


def test_a_head_that_is_too_long_is_refused_in_words(base_path: Path) -> None:
    with rest_of(base_path) as rest, socket.create_connection(("127.0.0.1", rest.port), timeout=10) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nx: " + b"x" * 400_000 + b"\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(10_000), b""))
        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {
            "error": "expected a head of 65536 bytes at most"
        }


def test_a_wish_to_speak_another_protocol_is_passed_over(base_path: Path) -> None:
    with rest_of(base_path) as rest:
        for protocol in ("websocket", "h2c"):
            headers = {"Connection": "Upgrade", "Upgrade": protocol, "Sec-WebSocket-Version": "13"}
            key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
            assert rest.http.get("/v1/models/m", headers={**headers, **key}).status_code == 200


@pytest.mark.slow
def test_memory_of_a_large_request_is_given_back(models: Models, tmp_path: Path) -> None:
    save_echo(tmp_path)
    with rest_of(tmp_path) as rest:
        body = b'{"signature_name": "string", "instances": [%b]}' % b",".join([b'"0.123456"'] * 1_000_000)
        before = resident_bytes()
        assert len(rest.call("predict", body).content) > len(body) - 100
        del body
        eventually(lambda: resident_bytes() - before < 100 * MB)
