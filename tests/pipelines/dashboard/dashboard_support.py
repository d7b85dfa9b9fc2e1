"""What tests of pages have in common."""

from __future__ import annotations

import re

ORIGIN = "http://127.0.0.1:8600"
# What a name must never become.
SCRIPT = "<script>alert(1)</script>"


def token(page: str) -> str:
    """Returns what a form of a page carries to show that it is this server's."""
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found is not None
    return found[1]
