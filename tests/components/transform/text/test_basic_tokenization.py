import sys
import unicodedata
from collections.abc import Callable

import numpy as np
import pytest
from bert_reference import basic_words
from hypothesis import given, settings
from hypothesis import strategies as st

from components.transform.text.basic_tokenization import MAX_WORD_LENGTH, UNKNOWN, split_words

CODE_POINTS = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
NONCHARACTERS = dict.fromkeys(
    [*range(0xFDD0, 0xFDF0), *(code for code in map(ord, CODE_POINTS) if code & 0xFFFE == 0xFFFE)], UNKNOWN
)
# What decides about its neighbours: sigmas, letters, marks with and without width, barriers, what is removed.
DELICATE = (
    "aAΑΣςσİıßǅſKÅ'’.:·ʰͅªⅣ\u0301\u0323\u0345\u0900\u0941\u1b44\u1baa\u302e\u302f"
    "\U0001d165\U0001d16d\U0001d15e\U00016ff0각가각李一\uf900\ufa0e\U00020000\U0003134a"
    "\0\t\n\r\x0b\x1c\x85 \xa0\xad\u2028\u2029\u200d\ufeff\ufffd\ufdd0\ufffe\U0010ffff"
    "≠<\u037e\u1fefℵ①\U0001f468\U0001f3fd\ue000\u0378$[]#_"
)


Split = Callable[..., list[list[str]]]


@pytest.fixture(scope="module")
def split() -> Split:
    """Returns the words of texts, from a compiled graph."""
    import tensorflow as tf

    signature = [tf.TensorSpec([None], tf.string)]
    cased = tf.function(lambda texts: split_words(texts, False), signature, autograph=False)
    uncased = tf.function(lambda texts: split_words(texts, True), signature, autograph=False)

    def split_texts(texts: list[str] | list[bytes], lower_case: bool = True) -> list[list[str]]:
        rows = (uncased if lower_case else cased)(np.array(texts, object)).to_list()
        return [[word.decode() for word in row] for row in rows]

    return split_texts


def expected(text: str, lower_case: bool) -> list[str]:
    words = basic_words(text, lower_case)
    return [UNKNOWN if len(word) > MAX_WORD_LENGTH else word.translate(NONCHARACTERS) for word in words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ça va,\t李?", "ca va , 李 ?"),
        ("İstanbul ΟΔΟΣ' ΟΔΟΣ'Α \xadso\u200dft\u0000", "istanbul οδος ' οδοσ ' α soft"),
        ("don't [CLS] ##ing e=mc²", "don ' t [ cls ] # # ing e = mc²"),
        ("각각 a\u2028b \U0001f468\u200d\U0001f469", "각각 a b \U0001f468\U0001f469"),
        ("", ""),
        (" \u3000\u0301 ", ""),
    ],
)
def test_words_worked_out_by_hand(split: Split, text: str, words: str) -> None:
    decomposed = unicodedata.normalize("NFD", words)
    assert split([text]) == [decomposed.split(" ") if words else []]


def test_a_cased_text_keeps_its_case_and_its_accents(split: Split) -> None:
    assert split(["Ça\u0301 VA. ΟΔΟΣ"], lower_case=False) == [["Ça\u0301", "VA", ".", "ΟΔΟΣ"]]


def test_accents_stay_in_lower_case_where_they_are_not_to_be_stripped() -> None:
    texts = np.array([text.encode() for text in ("Ça VA. ΟΔΟΣ İx", "E\u0301.É李Ǆ")], object)
    words = [[word.decode() for word in row] for row in split_words(texts, True, False).to_list()]
    assert words == [["ça", "va", ".", "οδος", "i\u0307x"], ["e\u0301", ".", "é", "李", "ǆ"]]


def test_accents_are_stripped_from_a_cased_text_where_it_is_said() -> None:
    words = split_words(np.array(["Ça É.ΟΔΟΣ".encode()], object), False, True).to_list()
    assert [word.decode() for word in words[0]] == ["Ca", "E", ".", "ΟΔΟΣ"]


@pytest.mark.parametrize("lower_case", [True, False])
def test_every_code_point_is_treated_as_by_bert(lower_case: bool) -> None:
    text = " ".join(in_context(char, lower_case) for char in CODE_POINTS)
    found = np.array(split_words([text.encode()], lower_case).values)
    wanted = np.array([word.encode() for word in expected(text, lower_case)], object)
    shared = min(len(found), len(wanted))
    wrong = np.flatnonzero(found[:shared] != wanted[:shared])[:3]
    assert [(found[place], wanted[place]) for place in wrong] == []
    assert len(found) == len(wanted)


def in_context(char: str, lower_case: bool) -> str:
    """Inside a word and, where Unicode knows it, beside a Σ, whose lower case depends on its neighbours."""
    if not lower_case or unicodedata.category(char) in ("Cn", "Co"):
        return f"a{char}b"
    return f"{char} a{char}Σ{char}a {char}Σ"


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.text() | st.text(st.sampled_from(DELICATE), min_size=1), max_size=8),
    st.booleans(),
)
def test_any_texts_are_divided_as_by_bert(split: Split, texts: list[str], lower_case: bool) -> None:
    assert split(texts, lower_case) == [expected(text, lower_case) for text in texts]


def test_marks_with_width_come_in_canonical_order_unless_a_barrier_is_between(split: Split) -> None:
    # Combining classes: U+1D16D 226, U+1D165 216, U+0323 220 and removed, U+0900 0 and removed.
    high, low = "\U0001d16d", "\U0001d165"
    texts = [f"a{high}{low}", f"a{high}\u0323{low}", f"a{high}\u0900{low}", f"{high} {low}", f"{high}.{low}"]
    assert split(texts) == [
        [f"a{low}{high}"], [f"a{low}{high}"], [f"a{high}{low}"], [high, low], [high, ".", low]
    ]  # fmt: skip


def test_texts_of_a_batch_do_not_look_at_each_other(split: Split) -> None:
    texts = ["ΑΣ", "Α", "\U0001d16d", "\U0001d165", "a", "b"]
    assert split(texts) == [["ας"], ["α"], ["\U0001d16d"], ["\U0001d165"], ["a"], ["b"]]


def test_words_of_more_than_200_characters_are_unknown(split: Split) -> None:
    # Characters count, not bytes, and after accents are gone: two code points become one.
    texts = ["x" * 200, "x" * 201, "\U0001f600" * 200, "e\u0301" * 200, "각" * 67]
    lengths = [[len(word) for word in words] for words in split(texts)]
    assert lengths == [[200], [1], [200], [200], [1]]
    assert split(["x" * 201 + " y"], lower_case=False) == [[UNKNOWN, "y"]]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary() | st.binary().map(lambda part: b"\xe6\x9d" + part), max_size=8))
def test_bytes_that_are_no_utf8_are_left_out_as_python_leaves_them_out(
    split: Split, texts: list[bytes]
) -> None:
    assert split(texts) == [expected(text.decode("utf-8", "ignore"), True) for text in texts]


def test_no_texts_have_no_words(split: Split) -> None:
    assert split([]) == []
