"""The project's model server in a process of its own, asked over gRPC; it may crash, and alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import grpc
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

import components

# No model yet: one that cannot be loaded must not look like a server that cannot start. Nothing is tried
# twice, and who asks replays the recorded requests.
_FLAGS: Final = (
    "--port=0",
    f"--model_config_file={os.devnull}",
    "--file_system_poll_wait_seconds=0",
    "--max_num_load_retries=0",
    "--enable_model_warmup=false",
)
# So that the last line of the output is about what went wrong.
_QUIET: Final = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
_LISTENING: Final = re.compile(r"^listening on (\S+) \(gRPC\)$", re.MULTILINE)
_STOPPING: Final = re.compile(r"components\.serving\.server: stopping$", re.MULTILINE)
# What the server says when all is well, TensorFlow's log lines below an error
# ("I0000 00:00:1795… cudart_stub.cc"), and the frames of a crash.
_NOISE: Final = re.compile(
    r"[IW]\d{4} |\d{4}-\d\d-\d\d [\d:.,]+:? [IW] |\s*@ +0x|\*\*\* Check failure stack trace"
    r"|WARNING: All log messages before absl::InitializeLog|listening on "
)
# No limit on messages, and no proxy on the way to this host.
_CHANNEL: Final = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]
_POLL_S: Final = 0.05
# Between the loss of a connection and the end of the process that held it.
_END_S: Final = 10.0
# The clock of gRPC's deadlines is another one.
_CLOCK_SLACK_S: Final = 1.0
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class OutOfTime(Exception):
    """The server did not start, or did not answer, before the deadline."""


class RequestFailed(Exception):
    """The server answered with an error; the text is one line with its status: "NOT_FOUND: …"."""


class OutOfMemory(Exception):
    """The server lives, but had no memory for what it was asked; the text is that of RequestFailed."""


class ServerEnded(Exception):
    """The process is gone.

    `code` is its exit code or, negative, the signal that ended it; `was_stopped`: it obeyed SIGTERM or
    SIGINT; `complaint` is the last line that it printed about a trouble, "" if there is none.
    """

    def __init__(self, code: int, was_stopped: bool, complaint: str) -> None:
        super().__init__(code, was_stopped, complaint)
        self.code = code
        self.was_stopped = was_stopped
        self.complaint = complaint


class ModelServer:
    """A running server; deadlines are those of time.monotonic()."""

    models: ModelServiceStub
    prediction: PredictionServiceStub

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process = process
        self._output = output
        self._channel: grpc.Channel | None = None

    def connect(self, deadline: float) -> None:
        """Returns once the server listens; raises OutOfTime or ServerEnded if it does not."""
        if self._channel is not None:
            return
        while (found := _LISTENING.search(self._printed())) is None:
            self._check_alive()
            if time.monotonic() > deadline:
                raise OutOfTime
            time.sleep(_POLL_S)
        self._channel = grpc.insecure_channel(found[1], _CHANNEL)
        self.models = ModelServiceStub(self._channel)
        self.prediction = PredictionServiceStub(self._channel)

    def call(self, method: Callable[..., Any], request: Any, deadline: float) -> Any:
        """Returns the answer of a stub's method; raises an exception of this module if there is none."""
        try:
            return method(request, timeout=deadline - time.monotonic())
        except grpc.RpcError as error:
            code = error.code()
            if code is grpc.StatusCode.UNAVAILABLE:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_S)
            self._check_alive()
            is_late = time.monotonic() > deadline - _CLOCK_SLACK_S
            if code is grpc.StatusCode.DEADLINE_EXCEEDED and is_late:
                raise OutOfTime from error
            raise request_failed(code.value[0], error.details()) from error

    def close(self) -> None:
        """Ends the process and all that it has started."""
        if self._channel is not None:
            self._channel.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _check_alive(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        printed = self._printed()
        lines = [line.strip() for line in printed.splitlines() if line.strip() and not _NOISE.match(line)]
        raise ServerEnded(code, bool(_STOPPING.search(printed)), lines[-1][:400] if lines else "")

    def _printed(self) -> str:
        # Without seeking: the process writes at the same offset.
        descriptor = self._output.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")


# Servers that were started before anyone asks for one.
_ahead: list[ModelServer] = []


@contextmanager
def started_ahead() -> Iterator[None]:
    """Starts a server now, for the next `model_server` of this process; kills it if nobody took it.

    A server takes seconds to start, during which other nodes keep one core busy at most.
    """
    with _started() as server:
        _ahead.append(server)
        try:
            yield
        finally:
            if server in _ahead:
                _ahead.remove(server)


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """Yields a server on a free port of this host alone, which may still start, and kills it at the end.

    It sees no accelerator: the one who asks may hold it.
    """
    if _ahead:
        server = _ahead.pop()
        try:
            yield server
        finally:
            server.close()
        return
    with _started() as server:
        yield server


@contextmanager
def _started() -> Iterator[ModelServer]:
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(
            [sys.executable, "-m", "components.canary.child", *_FLAGS],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, **_QUIET, "CUDA_VISIBLE_DEVICES": "-1"},
            # Where the package lies; `-m` looks there first.
            cwd=Path(next(iter(components.__path__))).parent,
            start_new_session=True,
        ) as process,
    ):
        server = ModelServer(process, output)
        try:
            yield server
        finally:
            server.close()


def request_failed(code: int, message: str) -> RequestFailed | OutOfMemory:
    """Returns the error for a status: (5, "no\\n such") -> RequestFailed("NOT_FOUND: no such")."""
    status = _CODES.get(code, grpc.StatusCode.UNKNOWN)
    # An exception that the server does not foresee travels by the name of its class.
    is_memory = status is grpc.StatusCode.RESOURCE_EXHAUSTED or "'MemoryError'" in message
    kind = OutOfMemory if is_memory else RequestFailed
    return kind(f"{status.name}: {' '.join(message.split())}"[:400])
