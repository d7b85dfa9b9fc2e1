"""WordPiece vocabularies: read from vocab.txt, one token a line, or learned from the counts of words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from components.errors import UserError
from components.models.weights.casing import JOINER

PADDING: Final = "[PAD]"
UNKNOWN: Final = "[UNK]"
START: Final = "[CLS]"
SEPARATOR: Final = "[SEP]"
SPECIAL_TOKENS: Final = (PADDING, UNKNOWN, START, SEPARATOR, "[MASK]")

# A learned vocabulary tells at most this many characters apart; words with rarer ones become [UNK].
_MAX_CHARACTERS = 1000


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


def learn_vocabulary(counts: Iterable[tuple[str, int]], size: int) -> list[str]:
    """Returns at most `size` tokens for words and how often each occurs; the order of the words is free.

    The special tokens come first, then single characters, then longer pieces, the most frequent first.
    """
    from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as learner

    words = sorted(counts)
    if not words:
        return list(SPECIAL_TOKENS)
    # Each character stands in the vocabulary twice, at the start of a word and inside one.
    max_characters = min(_MAX_CHARACTERS, (size - len(SPECIAL_TOKENS)) // 2)
    tokens = learner.learn(
        words,
        vocab_size=size,
        reserved_tokens=list(SPECIAL_TOKENS),
        lower_thresh=2,
        max_unique_chars=max_characters,
        joiner=JOINER,
    )
    return _most_useful(tokens, size)


def _most_useful(tokens: Sequence[str], size: int) -> list[str]:
    """Returns the tokens, in their order, without the rarest long ones where there are more than `size`.

    The learner looks for a threshold that gives the size, and may end beside it.
    """
    needed = {token for token in tokens if token in SPECIAL_TOKENS or len(token.removeprefix(JOINER)) == 1}
    pieces = [token for token in tokens if token not in needed]
    kept = needed.union(pieces[: size - len(needed)])
    return [token for token in tokens if token in kept]


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
    if "://" not in path:
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise VocabularyError(f"{path}: expected a vocabulary, got: {error.strerror}") from error
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content: bytes = file.read()
            return content
    except tf.errors.OpError as error:
        raise VocabularyError(f"{path}: expected a vocabulary, got: {error.message}") from error
