"""The dashboard at a port of this machine, which nobody else reaches."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import webbrowser
from collections.abc import Callable
from typing import Final

import uvicorn

from components.errors import Failure
from pipelines.dashboard.app import Places, make_app

LOOPBACK: Final = "127.0.0.1"


def serve(places: Places, port: int, tell: Callable[[str], None], open_browser: bool) -> None:
    """Serves until it is interrupted; `tell` gets the address, port 0 takes a free one.

    Raises Failure where the port is taken.
    """
    listening = _listening(port)
    port = listening.getsockname()[1]
    hosts = (f"{LOOPBACK}:{port}", f"localhost:{port}")
    config = uvicorn.Config(
        make_app(places, hosts), log_level="warning", access_log=False, server_header=False,
        ws="none", timeout_graceful_shutdown=1,
    )  # fmt: skip
    url = f"http://{LOOPBACK}:{port}/"
    tell(url)
    if open_browser and _has_browser():
        webbrowser.open(url)
    # uvicorn sends itself again what ended it; as from the keyboard, what is still open is then closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def _listening(port: int) -> socket.socket:
    try:
        listening = socket.create_server((LOOPBACK, port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise Failure(
            f"ui: cannot listen on {LOOPBACK}:{port}: {reason}; --port=N chooses another"
        ) from error
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _has_browser() -> bool:
    """Whether there is a browser with windows; one of the terminal would take its place."""
    with contextlib.suppress(webbrowser.Error):
        return type(webbrowser.get()) is not webbrowser.GenericBrowser
    return False
