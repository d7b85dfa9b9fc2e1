"""Locations that TensorFlow and Beam would take for patterns of names, which they do without being asked."""

from __future__ import annotations

from typing import Final

from components.errors import UserError

_SPECIAL: Final = "*?[\\"


class PatternError(UserError):
    """A location that would be taken for a pattern, so that other files are read, or none."""


def check_literal(location: str) -> None:
    """Raises PatternError for a location that stands for others than itself.

    Also where it is no problem at once: of "a*b", TensorFlow reads "axb" if that is there, too.
    """
    found = [character for character in _SPECIAL if character in location]
    if found:
        raise PatternError(
            f"{location}: expected a path without {found[0]}, which TensorFlow takes for a pattern; "
            "use another folder, or a link to this one"
        )
