"""WordPiece vocabularies: vocab.txt, one token a line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from components import files
from components.errors import UserError

PADDING: Final = "[PAD]"
UNKNOWN: Final = "[UNK]"
START: Final = "[CLS]"
SEPARATOR: Final = "[SEP]"
SPECIAL_TOKENS: Final = (PADDING, UNKNOWN, START, SEPARATOR, "[MASK]")
# Starts a token that continues a word.
JOINER: Final = "##"


class VocabularyError(UserError, ValueError):
    """A vocabulary that cannot be used, in one line: file, line, what was expected, what was found."""


def read_vocabulary(path: str) -> tuple[str, ...]:
    r"""Returns the tokens of a file, in the order of their ids: "[PAD]\nthe\n…" -> ("[PAD]", "the", …).

    Args:
      path: a path or URI of UTF-8 text. As with google-research/bert, tokenization.py (load_vocab), only \n
        ends a line and white space around a token is left out; a token of nothing else can match nothing.

    Raises:
      VocabularyError: no such file, not UTF-8, empty, an empty line, a token twice, a special token that is
        missing, or [PAD], with which batches are filled up, not on the first line.
    """
    lines = _read_lines(path)
    numbers: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        token = line.strip() or line.rstrip("\r")
        # TensorFlow drops each \r as it reads the lines again.
        if not token or "\r" in token:
            raise VocabularyError(f"{path}, line {number}: expected a token, got {line!r}")
        if token in numbers:
            raise VocabularyError(
                f"{path}, line {number}: expected each token once, got {token!r} as on line {numbers[token]}"
            )
        numbers[token] = number
    missing = [token for token in SPECIAL_TOKENS if token not in numbers]
    if missing:
        raise VocabularyError(
            f"{path}: expected {', '.join(missing)} among its {len(numbers)} tokens, got none"
        )
    if numbers[PADDING] != 1:
        raise VocabularyError(
            f"{path}, line {numbers[PADDING]}: expected {PADDING} on line 1, got {lines[0]!r}"
        )
    return tuple(numbers)


def _read_lines(path: str) -> list[str]:
    try:
        text = _read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        got = error.object[error.start]
        raise VocabularyError(f"{path}, line {line}: expected UTF-8, got byte 0x{got:02x}") from error
    if not text.strip():
        raise VocabularyError(f"{path}: expected one token a line, got an empty file")
    return text.removesuffix("\n").split("\n")


def _read_bytes(path: str) -> bytes:
    try:
        return files.read_bytes(path)
    except OSError as error:
        raise VocabularyError(f"{path}: expected a vocabulary, got: {error.strerror}") from error


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
