"""The process that splits volumes over devices; it lives as long as the one that started it."""

from __future__ import annotations

import logging
import os
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

from components.errors import Failure, UserError
from components.trainer.partition.messages import Crash, Job


class Parent:
    """The process that waits for the result."""

    def __init__(self, file_descriptor: int) -> None:
        self._connection = Connection(file_descriptor)
        self._sending = threading.Lock()

    def job(self) -> Job:
        """Returns what is to be done; from then on this process ends with the other one."""
        job: Job = self._connection.recv()
        threading.Thread(target=self._end_with_it, daemon=True).start()
        return job

    def send(self, message: Any) -> None:
        """Tells something that can be pickled."""
        with self._sending:
            self._connection.send(message)

    def _end_with_it(self) -> None:
        try:
            self._connection.recv()
        except (EOFError, OSError):
            os._exit(1)


class _Told(logging.Handler):
    """Sends log records to the parent, whose handlers they are for."""

    def __init__(self, parent: Parent) -> None:
        super().__init__()
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self._parent.send(record)


def main(file_descriptor: int) -> None:
    """Does the parent's job, and tells what came of it."""
    parent = Parent(file_descriptor)
    ours = logging.getLogger("components")
    ours.setLevel(logging.INFO)
    ours.addHandler(_Told(parent))
    parent.send(_outcome(parent))


def _outcome(parent: Parent) -> Any:
    """Returns the result, or the error that is its reason to be missing."""
    try:
        # JAX and TensorFlow are imported here, where their errors are told.
        from components.trainer.partition.training import train

        return train(parent.job(), parent.send)
    except (UserError, Failure) as error:
        return error
    except Exception as error:
        message = " ".join(str(error).split())
        return Crash(f"{type(error).__name__}: {message}"[:400], traceback.format_exc())
