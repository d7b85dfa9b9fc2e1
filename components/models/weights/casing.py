"""Whether a WordPiece vocabulary knows upper-case letters; texts lose theirs where it does not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

# Starts a token that continues a word.
JOINER: Final = "##"


class CasedToken(NamedTuple):
    """The first token of a vocabulary that shows whether it knows upper-case letters."""

    line: int
    token: str
    upper: bool


def find_cased(tokens: Iterable[str]) -> CasedToken | None:
    """Returns a token with an upper-case letter, else one with a lower-case letter, else nothing.

    Only tokens of letters count: [UNK] and <S> are in upper case in every vocabulary.
    """
    lower = None
    for line, token in enumerate(tokens, start=1):
        piece = token.removeprefix(JOINER)
        if piece.isalpha() and piece.lower() != piece:
            return CasedToken(line, token, True)
        if lower is None and piece.isalpha() and piece.upper() != piece:
            lower = CasedToken(line, token, False)
    return lower
