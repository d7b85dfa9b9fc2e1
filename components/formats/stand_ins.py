"""What lies where a file should be: Git LFS pointers, error pages, archives, texts in UTF-16."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# As many bytes of a file as tell it.
HEAD_SIZE: Final = 512

_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_PAGE: Final = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml|head|body)", re.IGNORECASE)
# What no text in UTF-8, no idx file and no JSON begins with.
_MAGIC: Final[Mapping[bytes, str]] = {
    b"\xff\xfe": "text in UTF-16, where UTF-8 is expected",
    b"\xfe\xff": "text in UTF-16, where UTF-8 is expected",
    b"\x1f\x8b": "a gzip file; unpack it",
    b"PK\x03\x04": "a zip archive; unpack it",
}
_TEXT: Final = re.compile(rb"[\t\n\r -~]{8,}")
_SHOWN: Final = 40


def told_by_its_head(head: bytes, expected: str, *, binary: bool = False) -> str | None:
    """Returns what a file is in place of what was expected, from its first bytes; None: it may be right.

    (b"<html>…", "safetensors file") -> "is no safetensors file: an HTML page". Where the file should be
    binary, any text is wrong.
    """
    if head.startswith(_POINTER):
        return "is a Git LFS pointer: git lfs pull"
    if _PAGE.match(head):
        return f"is no {expected}: an HTML page"
    for magic, what in _MAGIC.items():
        # Weights in a zip archive are a pickle, which nobody should unpack.
        if head.startswith(magic) and not binary:
            return f"is no {expected}: {what}"
    if binary and (text := _TEXT.match(head)):
        shown = " ".join(text.group().decode().split())[:_SHOWN]
        return f"is no {expected}: a text that begins with {shown!r}"
    return None
