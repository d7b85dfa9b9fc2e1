"""The bytes of requests that are held at once, over all connections of both protocols, and their return."""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading

import grpc

from components.serving.errors import ServingError

# From here on a request's memory goes back to the system once it has ended.
_LARGE_BYTES = 8 << 20
# What ends within this time goes back together.
_TRIM_DELAY_S = 1.0


class Budget:
    """How much the requests may hold together; each takes its own `share`. Any thread may take and give."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self._lock = threading.Lock()
        self._trim: asyncio.TimerHandle | None = None

    def share(self) -> Share:
        """Returns a request's share, empty yet, to be used in a `with` statement on the event loop."""
        return Share(self)

    def _take(self, share: Share, num_bytes: int) -> None:
        with self._lock:
            if share.is_over:
                raise ServingError(grpc.StatusCode.CANCELLED, "The request is over")
            if share.held_bytes + num_bytes > self.max_bytes:
                code, who = grpc.StatusCode.RESOURCE_EXHAUSTED, "The request"
                raise ServingError(code, f"{who} would hold more than {self.max_bytes} bytes")
            if self.held_bytes + num_bytes > self.max_bytes:
                code, who = grpc.StatusCode.UNAVAILABLE, "All requests together"
                raise ServingError(code, f"{who} would hold more than {self.max_bytes} bytes")
            share.held_bytes += num_bytes
            self.held_bytes += num_bytes

    def _give_back(self, share: Share) -> None:
        with self._lock:
            share.is_over = True
            self.held_bytes -= share.held_bytes
        if share.held_bytes >= _LARGE_BYTES and self._trim is None:
            loop = asyncio.get_running_loop()
            self._trim = loop.call_later(_TRIM_DELAY_S, self._begin_trim, loop)

    def _begin_trim(self, loop: asyncio.AbstractEventLoop) -> None:
        self._trim = None
        loop.run_in_executor(None, trim)


class Share:
    """What one request holds; given back at the end of the `with` statement."""

    def __init__(self, budget: Budget) -> None:
        self.held_bytes = 0
        # Threads may still work on what nobody waits for; what they took then, nobody would give back.
        self.is_over = False
        self._budget = budget

    def take(self, num_bytes: int) -> None:
        """Takes so many bytes more.

        Raises ServingError: UNAVAILABLE if all requests together hold too many, RESOURCE_EXHAUSTED if this
        one alone does, CANCELLED after its end.
        """
        self._budget._take(self, num_bytes)

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget._give_back(self)


def trim() -> None:
    """Gives freed memory back to the system, which glibc keeps wherever something small lies behind it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
