"""Trains in a process of JAX, and passes on what that tells: log lines, progress, the result, errors."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe
from typing import IO, TYPE_CHECKING, Any, Final

from components.errors import Failure, UserError
from components.progress import BOARD, Loop
from components.train_config import TrainConfig
from components.trainer.errors import TrainConfigError, TrainingFailure
from components.trainer.partition.messages import Crash, Job

if TYPE_CHECKING:
    from components.trainer.train import TrainResult

_PROGRAM: Final = "components.trainer.partition"

logger = logging.getLogger(__name__)


def run(job: Job) -> TrainResult:
    """Returns the trained weights, in Keras' order; raises what the training raised."""
    if importlib.util.find_spec("jax") is None:
        raise TrainConfigError(
            "train.partition: expected JAX, which is not installed: uv sync --extra partition"
        )
    with _started(job.task.train) as connection:
        connection.send(job)
        while True:
            message = connection.recv()
            if isinstance(message, logging.LogRecord):
                _log(message)
            elif isinstance(message, Loop):
                BOARD.loop = message
            else:
                return _result(message)


def _result(message: Any) -> TrainResult:
    """Returns the last message where it is a result."""
    if isinstance(message, UserError | Failure):
        raise message
    if isinstance(message, Crash):
        logger.debug("%s", message.traceback)
        raise TrainingFailure(f"train.partition: {message.line}")
    result: TrainResult = message
    return result


def _log(record: logging.LogRecord) -> None:
    own = logging.getLogger(record.name)
    if own.isEnabledFor(record.levelno):
        own.handle(record)


@contextmanager
def _started(config: TrainConfig) -> Iterator[Connection]:
    """Yields what leads to the process, which ends with it; TrainingFailure where it ends before."""
    ours, theirs = Pipe()
    with (
        ours,
        tempfile.TemporaryFile() as output,
        subprocess.Popen(
            [sys.executable, "-m", _PROGRAM, str(theirs.fileno())],
            env={**os.environ, **environment(config)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[theirs.fileno()],
            # An interrupt is this process's to answer.
            start_new_session=True,
        ) as process,
    ):
        theirs.close()
        try:
            yield ours
        except (EOFError, ConnectionError) as error:
            raise TrainingFailure(f"train.partition: {_end(process.wait(), output)}") from error
        finally:
            process.kill()


def environment(config: TrainConfig) -> dict[str, str]:
    """Returns what the process of JAX finds in its environment beside this one's."""
    # Each device is a part of this CPU where there is no other; what the user has set counts for more.
    flags = [f"--xla_force_host_platform_device_count={math.prod(config.partition or ())}"]
    if config.deterministic:
        flags.append("--xla_gpu_deterministic_ops=true")
    return {
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": " ".join([*flags, os.environ.get("XLA_FLAGS", "")]).strip(),
        # What is imported here is imported there, wherever it lies.
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
    }


def _end(code: int, output: IO[bytes]) -> str:
    """Returns how the process ended, in one line."""
    if code < 0:
        name = signal.Signals(-code).name
        why = "; the machine may have run out of memory" if name == "SIGKILL" else ""
        return f"the process of JAX was ended by {name}{why}; the same training goes on where it was"
    output.seek(0)
    lines = output.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"the process of JAX ended with exit code {code}: {last}"
