"""The body of a request, read and inflated within a limit."""

from __future__ import annotations

import zlib

from starlette.exceptions import HTTPException
from starlette.requests import Request

_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Returns the body as it was sent; raises HTTPException 413 before more than `max_bytes` are held."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def is_gzip(request: Request) -> bool:
    """Whether the body is compressed."""
    return "gzip" in request.headers.get("content-encoding", "")


def inflated(body: bytes, max_bytes: int) -> bytes:
    """Returns a gzip body's content; raises HTTPException 413 beyond `max_bytes`, 400 for what is no gzip."""
    inflate = zlib.decompressobj(_GZIP_WINDOW_BITS)
    try:
        content = inflate.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise HTTPException(400, f"Failed to uncompress the gzipped body: {error}") from error
    if len(content) > max_bytes:
        raise _too_large(max_bytes)
    if not inflate.eof:
        raise HTTPException(400, "Failed to uncompress the gzipped body: it is cut off")
    return content


def _too_large(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"expected a body of {max_bytes} bytes at most")
