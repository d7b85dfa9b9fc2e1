"""The body of a request, read and inflated within limits of size and of time."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request

from components.serving.memory import Share

_GZIP_WINDOW_BITS: Final = 16 + zlib.MAX_WBITS
_PIECE_BYTES: Final = 1 << 20


class BodyLimits(NamedTuple):
    """How large a body may be, also when inflated, and how long it may take."""

    max_bytes: int
    idle_s: float  # longest silence
    total_s: float


async def read_body(request: Request, limits: BodyLimits, share: Share) -> bytes:
    """Returns the body as it was sent, whose bytes are taken from the share as they come.

    Raises HTTPException: 413 before more than `max_bytes` are held, 408 if the client is too slow; and
    ServingError if all requests together hold too many.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limits.max_bytes:
        raise _too_large(limits.max_bytes)
    loop = asyncio.get_running_loop()
    end = loop.time() + limits.total_s
    chunks: list[bytes] = []
    stream, size = request.stream(), 0
    while True:
        patience_s = min(limits.idle_s, end - loop.time())
        try:
            chunk = await asyncio.wait_for(anext(stream, None), patience_s)
        except asyncio.TimeoutError as error:
            raise _too_slow(limits) from error
        if chunk is None:
            return b"".join(chunks)
        size += len(chunk)
        if size > limits.max_bytes:
            raise _too_large(limits.max_bytes)
        share.take(len(chunk))
        chunks.append(chunk)


def is_gzip(request: Request) -> bool:
    """Whether the body is compressed."""
    return "gzip" in request.headers.get("content-encoding", "")


def inflated(body: bytes, max_bytes: int, share: Share) -> bytes:
    """Returns a gzip body's content, whose bytes are taken from the share as they come.

    Raises HTTPException: 413 beyond `max_bytes`, 400 for what is no gzip; and ServingError.
    """
    inflate = zlib.decompressobj(_GZIP_WINDOW_BITS)
    content = bytearray()
    while not inflate.eof:
        try:
            piece = inflate.decompress(body, _PIECE_BYTES)
        except zlib.error as error:
            raise HTTPException(400, f"Failed to uncompress the gzipped body: {error}") from error
        content += piece
        if len(content) > max_bytes:
            raise _too_large(max_bytes)
        share.take(len(piece))
        body = inflate.unconsumed_tail
        if not piece and not body and not inflate.eof:
            raise HTTPException(400, "Failed to uncompress the gzipped body: it is cut off")
    return bytes(content)


def _too_large(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"expected a body of {max_bytes} bytes at most")


def _too_slow(limits: BodyLimits) -> HTTPException:
    expected = f"expected the body without a pause of {limits.idle_s} s, in {limits.total_s} s at most"
    return HTTPException(408, expected, {"connection": "close"})
