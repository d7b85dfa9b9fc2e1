"""Messages that arrive slowly over gRPC, from real clients behind a line that stalls."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from serving_client import INT_MAX, Client, Models, eventually, predict_request, publish, refused, served
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from components.serving.rpc import uploads

MB = 1 << 20


@pytest.fixture
def base_path(models: Models, tmp_path: Path) -> Path:
    publish(models.half_plus(2.0), tmp_path, 1)
    return tmp_path


def forward(source: socket.socket, target: socket.socket, limit: int | None) -> None:
    """Passes on what comes, up to a limit, after which it stays silent."""
    with contextlib.suppress(OSError):
        while (limit is None or limit > 0) and (data := source.recv(64 << 10)):
            target.sendall(data)
            limit = limit and limit - len(data)


@contextlib.contextmanager
def stalling_line(port: int, after_bytes: int) -> Iterator[int]:
    """A port whose connections lead to `port` and stall after so many bytes of the client's."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client = stack.enter_context(listener.accept()[0])
                    server = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                    for arguments in ((client, server, after_bytes), (server, client, None)):
                        threading.Thread(target=forward, args=arguments, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


@contextlib.contextmanager
def stalled_calls(client: Client, number: int) -> Iterator[list[grpc.Future]]:
    """Calls with 4 MB each, of which 3 MB arrive."""
    request = predict_request(x=np.zeros(MB, np.float32))
    with stalling_line(client.server.grpc_port, 3 * MB) as port, contextlib.ExitStack() as stack:
        calls = []
        for _ in range(number):
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}", options))
            calls.append(PredictionServiceStub(channel).Predict.future(request))
        yield calls


def test_few_messages_may_be_slow_at_once_and_quick_ones_pass_them(base_path: Path) -> None:
    with served(base_path, grpc_max_slow_uploads=3, upload_timeout_in_ms=3000) as client:
        with stalled_calls(client, 20) as calls:
            eventually(lambda: sum(call.done() for call in calls) == 17)
            assert {call.code() for call in calls if call.done()} == {grpc.StatusCode.UNAVAILABLE}
            start = time.monotonic()
            assert client.answer(2.0) == 3.0
            assert time.monotonic() - start < 1
            codes = [call.code() for call in calls]
        assert codes.count(grpc.StatusCode.DEADLINE_EXCEEDED) == 3
        assert client.server._budget.held_bytes == 0


def test_a_slow_message_that_arrives_is_answered(base_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "QUICK_S", 0.0)
    with served(base_path) as client, stalling_line(client.server.grpc_port, 100 * MB) as port:
        options = [("grpc.max_receive_message_length", INT_MAX)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            response = PredictionServiceStub(channel).Predict(predict_request(x=np.zeros(MB, np.float32)))
        assert response.outputs["y"].tensor_shape.dim[0].size == MB


def test_a_message_beyond_what_all_may_hold_is_refused(base_path: Path) -> None:
    with served(base_path, max_bytes_in_flight=MB) as client:
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "The request would hold more than 1048576 bytes"):
            client.predict(x=np.zeros(MB, np.float32))
        assert client.answer(2.0) == 3.0


def test_a_call_without_a_message_is_refused(base_path: Path) -> None:
    with served(base_path) as client:
        call = client.channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message"):
            call(iter([]))
