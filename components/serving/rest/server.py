"""REST on the server's event loop, by uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import grpc
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from components.serving.api import Api
from components.serving.errors import ServingError
from components.serving.flags import ServerFlags, address
from components.serving.memory import Budget
from components.serving.rest.app import make_app
from components.serving.rest.json.answers import error_json

_MAX_HEAD_BYTES: Final = 64 << 10
_TOO_LONG: Final = error_json(f"expected a head of {_MAX_HEAD_BYTES} bytes at most")
_REFUSAL: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_TOO_LONG), _TOO_LONG)
)
# A connection that is closed while its client still sends is reset, and takes the answer with it.
_LINGER_S: Final = 1.0
_LINGER_BYTES: Final = 1 << 20


class RestServer:
    """REST by uvicorn, whose signal handling is left out: the server has its own."""

    def __init__(self, api: Api, budget: Budget, flags: ServerFlags) -> None:
        family = socket.AF_INET6 if ":" in flags.host else socket.AF_INET
        port = max(flags.rest_api_port, 0)
        try:
            self._socket = socket.create_server((flags.host, port), family=family)
        except OSError as error:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE, f"cannot listen on {address(flags.host, port)}: {error.strerror}"
            ) from error
        # Connections inherit it. asyncio sets it only on sockets made with a protocol number, and without it
        # the body of an answer waits up to 40 ms for the client to acknowledge the head.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._socket.getsockname()[1]
        app = make_app(api, budget, flags)
        config = uvicorn.Config(
            app, http=_Http, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False
        )
        self._server = _Uvicorn(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to serve."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.005)

    async def stop(self, grace_s: float) -> None:
        """Refuses new connections, and returns when the requests in flight have ended or the time is over."""
        self._server.should_exit = True
        if self._serving:
            await asyncio.wait([self._serving], timeout=grace_s)
            self._server.force_exit = True
            await self._serving


class _Http(HttpToolsProtocol):
    """Ends a connection whose request has a head beyond all measure, which the parser would collect."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._head_bytes: int | None = 0  # None: in a body
        self._is_refused = False
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._head_bytes is not None:
            before, self._head_bytes = self._head_bytes, self._head_bytes + len(data)
            if before > _MAX_HEAD_BYTES:
                self._refuse()
                return
        super().data_received(data)

    def _refuse(self) -> None:
        """Says once that the head is too long; ends the connection a little later."""
        answers = self.cycle is not None and not self.cycle.response_complete
        if answers or self._head_bytes is None or self._head_bytes > _MAX_HEAD_BYTES + _LINGER_BYTES:
            self.transport.close()
        elif not self._is_refused:
            self._is_refused = True
            self.transport.write(_REFUSAL)
            self.loop.call_later(_LINGER_S, self.transport.close)

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        super().on_message_complete()


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
