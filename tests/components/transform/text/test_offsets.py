import unicodedata
from collections.abc import Sequence

import numpy as np
import pytest
from bert_reference import CATEGORIES, CLEANED, DIVIDED, basic_words, pieces
from hypothesis import given, settings
from hypothesis import strategies as st

from components.formats.vocabulary import SPECIAL_TOKENS
from components.transform.text.offsets import tokenize_with_offsets
from components.transform.text.vocabulary import write_vocabulary

HIGH, LOW, BARRIER = "\U0001d16d", "\U0001d165", "\u0900"
TOKENS = [
    *SPECIAL_TOKENS, "a", "##b", "ab", "i", "##i", "e", "##e", "x", "##x", "c", "##σ", "##ς", "α", "##α", "σ",
    "李", "\U0001f600", "##\U0001f600", ".", "'", f"a{LOW}", f"##{HIGH}", HIGH, "#", "A", "##C",
    "\u1112", "##\u1161",
]  # fmt: skip
Piece = tuple[str, int, int]


def found(texts: Sequence[str], lower_case: bool = True) -> list[list[Piece]]:
    encoded = np.array([text.encode() for text in texts], object)
    columns = tokenize_with_offsets(encoded, write_vocabulary(TOKENS), lower_case)
    rows = zip(*(column.to_list() for column in columns), strict=True)
    return [[(TOKENS[piece], *span) for piece, *span in zip(*row, strict=True)] for row in rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A  ab.", [("a", 0, 1), ("ab", 3, 5), (".", 5, 6)]),
        # An accent, composed or not, and what is removed belong to the letter before them.
        ("xé e\u0301\u0323x", [("x", 0, 1), ("##e", 1, 2), ("e", 3, 6), ("##x", 6, 7)]),
        ("\u0301\xada\xadb", [("ab", 2, 5)]),
        # One code point becomes two letters, and each of them is all of it.
        ("İi İi하", [("i", 0, 1), ("##i", 1, 2), ("[UNK]", 3, 6)]),
        ("하", [("\u1112", 0, 1), ("##\u1161", 0, 1)]),
        ("李a\U0001f600", [("李", 0, 1), ("a", 1, 2), ("##\U0001f600", 2, 3)]),
        ("hello a", [("[UNK]", 0, 5), ("a", 6, 7)]),
        ("x" * 201 + " a", [("[UNK]", 0, 201), ("a", 202, 203)]),
        (f"a{HIGH}{LOW}c", [("[UNK]", 0, 4)]),
        (f"a{HIGH}{LOW}", [(f"a{LOW}", 0, 3), (f"##{HIGH}", 1, 2)]),
        ("", []),
        (" \u3000\u0301", []),
    ],
)
def test_places_of_pieces_worked_out_by_hand(text: str, expected: list[Piece]) -> None:
    # Beside others, at whose borders no offset may look.
    assert found(["a", text, "\u0301a"]) == [[("a", 0, 1)], expected, [("a", 1, 2)]]


def reference(text: str, lower_case: bool) -> list[Piece]:
    """Follows each character through BERT's tokenization in plain Python."""
    words = reference_words(text, lower_case)
    assert ["".join(char for char, _, _ in word) for word in words] == basic_words(text, lower_case)
    vocabulary = {token: number for number, token in enumerate(TOKENS)}
    return [piece for word in words for piece in places(word, vocabulary)]


def reference_words(text: str, lower_case: bool) -> list[list[Piece]]:
    cleaned = [(part, place) for place, char in enumerate(text) for part in char.translate(CLEANED)]
    whole = "".join(char for char, _ in cleaned)
    lowered = iter(whole.lower() if lower_case else whole)
    units: list[tuple[str, int]] = []
    for char, place in cleaned:
        changed = "".join(next(lowered) for _ in (char.lower() if lower_case else char))
        units += [
            (part, place) for part in (unicodedata.normalize("NFD", changed) if lower_case else changed)
        ]
    if lower_case:
        units = [unit for unit in in_order(units) if CATEGORIES[unit[0]] != "Mn"]
    visible = [*sorted({place for _, place in units}), len(text)]
    words: list[list[Piece]] = [[]]
    for char, place in units:
        end = next(each for each in visible if each > place)
        if char.isspace():
            words.append([])
        elif ord(char) in DIVIDED:
            words += [[(char, place, end)], []]
        else:
            words[-1].append((char, place, end))
    return [word for word in words if word]


def in_order(units: list[tuple[str, int]]) -> list[tuple[str, int]]:
    letters, sequence = 0, []
    for unit in units:
        combining = unicodedata.combining(unit[0])
        letters += not combining
        sequence.append((letters, combining, unit))
    return [unit for _, _, unit in sorted(sequence, key=lambda each: each[:2])]


def places(word: list[Piece], vocabulary: dict[str, int]) -> list[Piece]:
    found: list[Piece] = []
    rest = word
    for piece in pieces("".join(char for char, _, _ in word), vocabulary):
        length = len(word) if piece == "[UNK]" else len(piece.removeprefix("##") or piece)
        part, rest = rest[:length], rest[length:]
        found.append((piece, min(start for _, start, _ in part), max(end for _, _, end in part)))
    return found


DELICATE = "aAbBeixXİΑαΣσς' .#é\u0301\u0323\xad\0\u2028李\U0001f600하\ufffd" + HIGH + LOW + BARRIER


@settings(deadline=None, max_examples=150)
@given(st.lists(st.text(DELICATE, max_size=12) | st.text(max_size=8), max_size=4), st.booleans())
def test_places_of_any_pieces_are_those_of_plain_python(texts: list[str], lower_case: bool) -> None:
    assert found(texts, lower_case) == [reference(text, lower_case) for text in texts]
