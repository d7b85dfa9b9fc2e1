"""How messages are received over gRPC, where nobody learns of a message before all of it is there.

So what still arrives cannot be counted in bytes. Most messages arrive at once, and are counted then; of those
that take longer there are few at once.
"""

from __future__ import annotations

import asyncio
from typing import Final

import grpc

from components.serving.errors import ServingError, invalid_argument

QUICK_S: Final = 1.0


class Uploads:
    """Receives the messages of calls; at most `max_slow` at once may take longer than a second."""

    def __init__(self, max_slow: int, timeout_s: float) -> None:
        self._max_slow = max_slow
        self._num_slow = 0
        self._timeout_s = timeout_s

    async def receive(self, context: grpc.aio.ServicerContext) -> bytes:
        """Returns a call's message as it was sent.

        Raises ServingError: UNAVAILABLE if too many messages are slow, DEADLINE_EXCEEDED if it does not come.
        """
        reading = asyncio.ensure_future(context.read())
        try:
            await asyncio.wait([reading], timeout=QUICK_S)
            if not reading.done():
                await self._wait(reading)
            message = await reading
        finally:
            reading.cancel()
        if message is grpc.aio.EOF:
            raise invalid_argument("the call has no message")
        return message

    async def _wait(self, reading: asyncio.Future[bytes]) -> None:
        if self._num_slow >= self._max_slow:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE,
                f"{self._num_slow} messages arrive slowly, expected no more at once",
            )
        self._num_slow += 1
        try:
            await asyncio.wait([reading], timeout=self._timeout_s)
        finally:
            self._num_slow -= 1
        if not reading.done():
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED, f"expected the message within {self._timeout_s} s"
            )
