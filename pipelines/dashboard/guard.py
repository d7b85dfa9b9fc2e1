"""Who may ask: pages of this server, in a browser on this machine, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY: Final = "Content-Security-Policy"
# Nothing inline, and nothing from elsewhere: texts of users cannot become code.
_HEADERS: Final = {
    POLICY: "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Without an origin, a browser would not say where a form comes from.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_READS: Final = ("GET", "HEAD")
# What a browser says of a request that another site had it make.
_FROM_OUTSIDE: Final = ("cross-site", "same-site")


class Guard:
    """ASGI middleware: refuses names that are not this server's and what other sites send; adds headers."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or lets the app answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope) if scope["type"] == "http" else None
        app = self._app if refusal is None else PlainTextResponse(refusal, 403)
        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> str | None:
        """Returns why a request is not answered; None where it is."""
        headers = Headers(scope=scope)
        # Another name that leads here is how a site reads what only this machine may.
        if headers.getlist("host") != [host := headers.get("host", "")] or host not in self._hosts:
            return f"Host: expected {' or '.join(sorted(self._hosts))}, got {host!r}\n"
        if scope["method"] in _READS:
            return None
        origin = headers.get("origin")
        if origin != f"http://{host}" or headers.get("sec-fetch-site") in _FROM_OUTSIDE:
            return f"Origin: expected http://{host}, got {origin!r}\n"
        return None
