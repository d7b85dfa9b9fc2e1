"""Strings of a JSON document: as bytes, as text of protos, and {"b64": …}.

A document's bytes that are no UTF-8 are lone surrogates in it, so that they come out as they came in.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from components.serving.errors import invalid_argument

_BASE64: Final = "b64"


def string_bytes(text: str) -> bytes:
    """Returns the bytes that stood in the document."""
    return text.encode("utf-8", "surrogateescape")


def proto_text(text: str) -> str:
    """Returns the string for a field of a proto, which takes UTF-8 alone."""
    return string_bytes(text).decode("utf-8", "replace")


def is_base64(value: Any) -> bool:
    """Whether a JSON value stands for bytes: {"b64": "aGk="}."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(_BASE64), str)


def base64_bytes(value: Mapping[str, str]) -> bytes:
    """Returns what {"b64": …} stands for; padding and spaces are optional, as for absl::Base64Unescape."""
    text = "".join(value[_BASE64].split())
    digits = text.rstrip("=")
    padding = "=" * (-len(digits) % 4)
    if len(text) - len(digits) not in (0, len(padding)):
        raise invalid_argument("Unable to base64 decode")
    try:
        return base64.b64decode(digits + padding, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_argument("Unable to base64 decode") from error


def to_json(value: Any) -> Any:
    """Returns nested lists of values for a request: UTF-8 as text, other bytes as {"b64": …}."""
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {_BASE64: base64.b64encode(value).decode()}
