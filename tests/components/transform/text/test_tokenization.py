import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from bert_reference import basic_words, pieces
from hypothesis import given, settings
from hypothesis import strategies as st

from components.formats.vocabulary import SPECIAL_TOKENS
from components.transform.text.tokenization import tokenize
from components.transform.text.vocabulary import write_vocabulary

ASCII = [chr(code) for code in range(128)]
# Pieces of several characters and of one, tokens that no text can match, tokens that are not ASCII.
TOKENS = [
    *SPECIAL_TOKENS, "a", "##b", "b", "the", "them", "##mer", "un", "##want", "##ed", "A", "The", "##B", "0",
    "##0", "12", "##3", "##", "##.", "...", "a.b", "<s>", "[unused1]", "[9]", "\u2028", "é", "##é", "李",
    "é.", "x" * 201, "x" * 200, "y" * 300, "##" + "z" * 200, "z", *"!#'.,[]-_$~\x7f\x00",
]  # fmt: skip


def ids(texts: Sequence[str], tokens: Sequence[str], lower_case: bool) -> list[list[int]]:
    encoded = np.array([text.encode() for text in texts], object)
    return tokenize(encoded, tokens, write_vocabulary(tokens), lower_case).to_list()


def expected(texts: Sequence[str], tokens: Sequence[str], lower_case: bool) -> list[list[int]]:
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return [
        [vocabulary[piece] for word in basic_words(text, lower_case) for piece in pieces(word, vocabulary)]
        for text in texts
    ]


@pytest.mark.parametrize("lower_case", [True, False])
def test_every_ascii_character_is_treated_as_by_bert(lower_case: bool) -> None:
    # Alone, in a word, and between every two kinds of neighbours.
    pairs = itertools.product(ASCII, "a .#[0\t\x00", "b A'#]3\n\x7f")
    texts = [char + neighbours for char in ASCII for neighbours in ("", "b", char)]
    texts += [f"{before}{char}{after}" for char, before, after in pairs]
    assert ids(texts, TOKENS, lower_case) == expected(texts, TOKENS, lower_case)


def test_ids_of_plain_texts_worked_out_by_hand() -> None:
    tokens = [*SPECIAL_TOKENS, "the", "un", "##want", "##ed", ".", "[", "]", "#", "unk"]
    texts = ["The UNWANTED.", "[UNK]", "##ed", "them", "", " \r\n"]
    assert ids(texts, tokens, True) == [[5, 6, 7, 8, 9], [10, 13, 11], [12, 12, 1], [1], [], []]


def test_plain_texts_and_others_stay_in_their_order() -> None:
    texts = ["a", "é", "b a", "", "李 a", "\x00a", "a ", "é" * 201]
    # Each other text is alone among plain ones, among others, first and last.
    for count in range(len(texts) + 1):
        for start in range(len(texts) - count + 1):
            part = texts[start : start + count]
            assert ids(part, TOKENS, False) == expected(part, TOKENS, False)


def test_words_of_more_than_200_characters_are_unknown_in_plain_texts() -> None:
    texts = ["x" * 200, "x" * 201, "x" * 202, "z" * 200, "z" * 201, "z" * 200 + " a", "y" * 300]
    assert ids(texts, TOKENS, True) == expected(texts, TOKENS, True)
    assert ids(["x" * 200, "x" * 201], TOKENS, True) == [[TOKENS.index("x" * 200)], [1]]


def test_a_vocabulary_without_a_word_knows_none() -> None:
    assert ids(["a é", "b"], SPECIAL_TOKENS, True) == [[1, 1], [1]]


PIECE = st.text("ab#.[]UNK0é\u0301", min_size=1, max_size=4)
PLAIN = st.text(st.sampled_from(ASCII), max_size=30) | st.text("abAB#.[]UNK0 ", max_size=30)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(PLAIN | st.text("abé\u0301 .", max_size=10), max_size=5),
    st.lists(PIECE | PIECE.map("##{}".format), unique=True, max_size=30),
    st.booleans(),
)
def test_ids_of_any_texts_with_any_vocabulary_are_those_of_bert(
    texts: list[str], learned: list[str], lower_case: bool
) -> None:
    tokens = list(dict.fromkeys([*SPECIAL_TOKENS, *learned]))
    assert ids(texts, tokens, lower_case) == expected(texts, tokens, lower_case)


def test_bytes_that_are_no_utf8_are_left_out_of_any_text() -> None:
    texts = np.array([b"a\xff", b"a", b"\xc3", b"th\x80e"], object)
    assert tokenize(texts, TOKENS, write_vocabulary(TOKENS), True).to_list() == [[5], [5], [], [8]]
