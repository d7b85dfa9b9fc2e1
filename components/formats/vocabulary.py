"""WordPiece vocabularies: vocab.txt, one token a line, or tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from components import files
from components.errors import UserError
from components.formats.stand_ins import HEAD_SIZE, told_by_its_head

PADDING: Final = "[PAD]"
UNKNOWN: Final = "[UNK]"
START: Final = "[CLS]"
SEPARATOR: Final = "[SEP]"
MASK: Final = "[MASK]"
SPECIAL_TOKENS: Final = (PADDING, UNKNOWN, START, SEPARATOR, MASK)
# What it is called among the files of a transform graph, and of a model.
VOCABULARY_ASSET: Final = "vocabulary.txt"
# Starts a token that continues a word.
JOINER: Final = "##"
# In place of a line that nothing matches: no word holds a space.
_UNMATCHED: Final = "[line {}]"


class VocabularyError(UserError, ValueError):
    """A vocabulary that cannot be used, in one line: file, line, what was expected, what was found."""


def read_vocabulary(path: str) -> tuple[str, ...]:
    r"""Returns the tokens of a file, in the order of their ids: "[PAD]\nthe\n…" -> ("[PAD]", "the", …).

    As with google-research/bert, tokenization.py (load_vocab), only \n ends a line, white space around a
    token is left out, and of lines with the same token the last one has it. A line that no text can match,
    an earlier one of these or an empty one, has an id all the same; its token is "[line 7]".

    Args:
      path: a path or URI of UTF-8 text, or a tokenizer.json of `transformers`.

    Raises:
      VocabularyError: no such file, not UTF-8, empty, a special token that is missing, or [PAD], with which
        batches are filled up, not on the first line.
    """
    lines = _of_tokenizer(path) if path.endswith(".json") else _read_lines(path)
    numbers = {_token(path, line, number): number for number, line in enumerate(lines, start=1)}
    missing = [token for token in SPECIAL_TOKENS if token not in numbers]
    if missing:
        raise VocabularyError(
            f"{path}: expected {', '.join(missing)} among its {len(numbers)} tokens, got none"
        )
    if numbers[PADDING] != 1:
        raise VocabularyError(
            f"{path}, line {numbers[PADDING]}: expected {PADDING} on line 1, got {lines[0]!r}"
        )
    tokens = [_UNMATCHED.format(number) for number in range(1, len(lines) + 1)]
    for token, number in numbers.items():
        tokens[number - 1] = token
    return tuple(tokens)


def read_json(path: str) -> dict[str, Any]:
    """Returns the object of a JSON file beside a vocabulary, or one itself; raises VocabularyError."""
    content = _read_bytes(path)
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise VocabularyError(f"{path}: expected JSON, got: {error}") from error
    if not isinstance(found, dict):
        raise VocabularyError(f"{path}: expected a JSON object, got {json.dumps(found)[:80]}")
    return found


def _token(path: str, line: str, number: int) -> str:
    token = line.strip() or line.rstrip("\r")
    # To some readers, \r ends a line, too.
    if "\r" in token or "\n" in token:
        raise VocabularyError(f"{path}, line {number}: expected a token, got {line!r}")
    return token or _UNMATCHED.format(number)


def _read_lines(path: str) -> list[str]:
    try:
        text = _read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        got = error.object[error.start]
        raise VocabularyError(f"{path}, line {line}: expected UTF-8, got byte 0x{got:02x}") from error
    if not text.strip():
        raise VocabularyError(f"{path}: expected one token a line, got an empty file")
    return text.rstrip(" \t\r\n").split("\n")


def _of_tokenizer(path: str) -> list[str]:
    """Returns the tokens of the WordPiece of a tokenizer.json, in the order of their ids."""
    model = read_json(path).get("model")
    if not isinstance(model, dict) or model.get("type") != "WordPiece":
        got = model.get("type") if isinstance(model, dict) else model
        raise VocabularyError(f"{path}: model.type: expected 'WordPiece', got {got!r}")
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise VocabularyError(f"{path}: model.vocab: expected an object of tokens and ids")
    if [*range(len(vocabulary))] != sorted(vocabulary.values(), key=_whole):
        raise VocabularyError(f"{path}: model.vocab: expected the ids 0 to {len(vocabulary) - 1}, each once")
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _whole(number: Any) -> int:
    """Returns a number, -1 for what is none."""
    return number if type(number) is int else -1


def _read_bytes(path: str) -> bytes:
    try:
        content = files.read_bytes(path)
    except OSError as error:
        raise VocabularyError(f"{path}: expected a vocabulary, got: {error.strerror}") from error
    if told := told_by_its_head(content[:HEAD_SIZE], "vocabulary"):
        raise VocabularyError(f"{path}: {told}")
    return content


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
