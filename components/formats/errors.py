"""The one error of malformed input files."""

from __future__ import annotations

from os import PathLike, fspath

from components import files
from components.errors import UserError


class FormatError(UserError, ValueError):
    """A file that is not what its format demands: "{path}: expected …, got …", in one line."""


def unreadable(location: str | PathLike[str], error: OSError) -> FormatError:
    """Returns what to raise for a file that the system does not give: "x: cannot be read: Is a directory"."""
    if files.is_broken_link(fspath(location)):
        return FormatError(f"{location}: a link to nothing")
    return FormatError(f"{location}: cannot be read: {error.strerror or str(error) or type(error).__name__}")
