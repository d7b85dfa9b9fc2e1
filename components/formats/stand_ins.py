"""What lies where a file should be after a download that went wrong: Git LFS pointers and error pages."""

from __future__ import annotations

import re
from typing import Final

# As many bytes of a file as tell it.
HEAD_SIZE: Final = 512

_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_PAGE: Final = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml|head|body)", re.IGNORECASE)
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
    if binary and (text := _TEXT.match(head)):
        shown = " ".join(text.group().decode().split())[:_SHOWN]
        return f"is no {expected}: a text that begins with {shown!r}"
    return None
