"""Ctrl-C while TensorFlow computes.

Python acts on a signal between two instructions of its own, and one call may be a minute of training steps.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pipelines import console

INTERRUPTED: Final = 130
# What ends within this time needs no word.
_SOON_S: Final = 1.0


@contextmanager
def acknowledged(tell: Callable[[], None]) -> Iterator[None]:
    """Says meanwhile that a first SIGINT is under way; a second one calls `tell` and ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    # Written to by the signal's own handler, whatever Python is doing.
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, tell), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()


def _watch(reader: socket.socket, tell: Callable[[], None]) -> None:
    with reader:
        if not _next_interrupt(reader):
            return
        reader.settimeout(_SOON_S)
        try:
            again = _next_interrupt(reader)
        except TimeoutError:
            console.note("interrupted: ends after the steps under way; Ctrl-C once more ends it now")
            reader.settimeout(None)
            again = _next_interrupt(reader)
        if again:
            tell()
            os._exit(INTERRUPTED)


def _next_interrupt(reader: socket.socket) -> bool:
    """Whether SIGINT came before the end."""
    while number := reader.recv(1):
        if number[0] == signal.SIGINT:
            return True
    return False
