"""BERT's tokenization in plain Python, for comparison: rules of google-research/bert, tokenization.py.

Whole-string operations of str and unicodedata, in place of a loop over characters and of tables in a graph.
"""

import sys
import unicodedata
from collections.abc import Mapping, Sequence

ALL = [chr(code) for code in range(sys.maxunicode + 1)]
CATEGORIES = {char: unicodedata.category(char) for char in ALL}


def _in(char: str, *blocks: str) -> bool:
    return any(block[0] <= char <= block[-1] for block in blocks)


def _clean(char: str) -> str | None:
    """Control and format characters go, and so does the replacement character; spaces are alike."""
    if char in "\t\n\r" or CATEGORIES[char] == "Zs":
        return " "
    if char in "\0\ufffd" or CATEGORIES[char] in ("Cc", "Cf"):
        return None
    ideograph = _in(
        char, "㐀䶿", "一\u9fff", "\uf900\ufaff", "\U00020000\U0002a6df", "\U0002a700\U0002ceaf",
        "\U0002f800\U0002fa1f",
    )  # fmt: skip
    return f" {char} " if ideograph else char


def _is_punctuation(char: str) -> bool:
    return _in(char, "!/", ":@", "[`", "{~") or CATEGORIES[char].startswith("P")


CLEANED = {ord(char): _clean(char) for char in ALL if _clean(char) != char}
DIVIDED = {ord(char): f" {char} " for char in ALL if _is_punctuation(char)}
NO_ACCENTS = {ord(char): None for char in ALL if CATEGORIES[char] == "Mn"}


def basic_words(text: str, lower_case: bool) -> list[str]:
    text = text.translate(CLEANED)
    if lower_case:
        text = unicodedata.normalize("NFD", text.lower()).translate(NO_ACCENTS)
    return text.translate(DIVIDED).split()


def pieces(word: str, vocabulary: Mapping[str, int]) -> list[str]:
    """Greedy: the longest token that the rest of the word starts with, again and again."""
    if len(word) > 200:
        return ["[UNK]"]
    found: list[str] = []
    while word:
        prefix = "##" if found else ""
        lengths = (n for n in range(len(word), 0, -1) if prefix + word[:n] in vocabulary)
        length = next(lengths, None)
        if length is None:
            return ["[UNK]"]
        found.append(prefix + word[:length])
        word = word[length:]
    return found


def pop_longest(first: list[str], second: list[str], room: int) -> None:
    """Pops from the longer one, and from the second of two that are as long, until both fit."""
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()


def features(
    texts: Sequence[str], tokens: Sequence[str], lower_case: bool, length: int
) -> tuple[list[int], list[int]]:
    """Returns the token ids and the segment ids of a text or a pair."""
    vocabulary = {token.strip(): number for number, token in enumerate(tokens)}
    segments = [
        [piece for word in basic_words(text, lower_case) for piece in pieces(word, vocabulary)]
        for text in texts
    ]
    if len(segments) == 1:
        segments[0] = segments[0][: length - 2]
    else:
        pop_longest(*segments, length - 3)
    ids, segment_ids = [vocabulary["[CLS]"]], [0]
    for number, segment in enumerate(segments):
        ids += [vocabulary[piece] for piece in [*segment, "[SEP]"]]
        segment_ids += [number] * (len(segment) + 1)
    return ids, segment_ids
