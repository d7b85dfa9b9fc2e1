"""WordPiece vocabularies: read from vocab.txt, one token a line, or learned from the counts of words."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from components.formats.vocabulary import JOINER, SPECIAL_TOKENS, VOCABULARY_ASSET

# A learned vocabulary tells at most this many characters apart; words with rarer ones become [UNK].
_MAX_CHARACTERS = 1000


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


def to_lines(tokens: Sequence[str]) -> bytes:
    """Returns the content of a vocabulary's file: ("[PAD]", "the") -> b"[PAD]\nthe\n"."""
    return "".join(f"{token}\n" for token in tokens).encode()


def write_vocabulary(tokens: Sequence[str]) -> str:
    """Returns the path of a file of the tokens, which is there until the process ends."""
    return _write(tuple(tokens))[1]


@functools.cache
def _write(tokens: tuple[str, ...]) -> tuple[tempfile.TemporaryDirectory[str], str]:
    folder = tempfile.TemporaryDirectory(prefix="millrace-")
    path = Path(folder.name, VOCABULARY_ASSET)
    path.write_bytes(to_lines(tokens))
    return folder, str(path)
