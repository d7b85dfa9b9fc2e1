"""What a form sends, within a bound, and only if this server made the form."""

from __future__ import annotations

import email
import secrets
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

# The field by which a form shows that it is this server's.
TOKEN: Final = "token"
_MOST_FIELDS: Final = 100


class Upload(NamedTuple):
    """A file as it was sent: the name that it had there, and its bytes."""

    name: str
    content: bytes


class Form(NamedTuple):
    """The fields of a form, by name; of those that are sent twice the last one."""

    texts: dict[str, str]
    files: dict[str, Upload]


async def read_form(request: Request, token: str, max_bytes: int) -> Form:
    """Returns the form; raises HTTPException: 413 beyond `max_bytes`, 400 for none, 403 for another's."""
    body = await _read_body(request, max_bytes)
    try:
        form = _parsed(body, request.headers.get("content-type", ""))
    except ValueError as error:
        raise HTTPException(400, f"expected a form, got: {error}") from error
    if not secrets.compare_digest(form.texts.get(TOKEN, "").encode(), token.encode()):
        raise HTTPException(403, "this form is of another time: load its page again, and send it then")
    return form


async def _read_body(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise HTTPException(413, f"expected {max_bytes:,} bytes at most", {"connection": "close"})
    return bytes(body)


def _parsed(body: bytes, content_type: str) -> Form:
    """Returns the form; raises ValueError."""
    header = email.message_from_string(f"Content-Type: {content_type}")
    if header.get_content_type() == "application/x-www-form-urlencoded":
        values = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        return Form({name: _lines(given[-1]) for name, given in values.items()}, {})
    if header.get_content_type() == "multipart/form-data" and (boundary := header.get_boundary()):
        return _multipart(body, boundary.encode())
    raise ValueError(f"Content-Type {content_type!r}")


def _multipart(body: bytes, boundary: bytes) -> Form:
    form = Form({}, {})
    for name, filename, content in _parts(body, boundary):
        if filename is None:
            form.texts[name] = _lines(content.decode())
        # A browser sends a file without a name where none was chosen.
        elif filename:
            form.files[name] = Upload(filename, content)
    return form


def _lines(text: str) -> str:
    """Returns a text with the ends of lines that it had before it was sent."""
    return text.replace("\r\n", "\n")


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[str, str | None, bytes]]:
    """Yields the name, the file's name or None, and the content of each part (RFC 7578)."""
    _, *parts, end = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if not end.startswith(b"--") or len(parts) > _MOST_FIELDS:
        raise ValueError("parts without an end" if not end.startswith(b"--") else "too many parts")
    for part in parts:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        header = email.message_from_string(head.decode())
        name, filename = (header.get_param(key, header="content-disposition") for key in ("name", "filename"))
        if not isinstance(name, str):
            raise ValueError("a part without a name")
        yield name, filename if isinstance(filename, str) else None, content
