"""Whether a server could listen on its ports, asked before what takes a while to load."""

from __future__ import annotations

import socket

from components.serving.flags import ServerFlags, address


def busy_port(flags: ServerFlags) -> str | None:
    """Returns "cannot listen on 127.0.0.1:8500: Address already in use" for the first such port, if any."""
    rest = [flags.rest_api_port] if flags.rest_api_port else []
    for port in (flags.port, *rest):
        family = socket.AF_INET6 if ":" in flags.host else socket.AF_INET
        try:
            # -1 is any free port, as 0 is.
            socket.create_server((flags.host, max(port, 0)), family=family).close()
        except OSError as error:
            # Python says once more where, in brackets.
            reason = str(error.strerror).partition(" (")[0]
            return f"cannot listen on {address(flags.host, port)}: {reason}"
    return None
