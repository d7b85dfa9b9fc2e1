"""BERT's basic tokenization inside a TensorFlow graph: text to words.

The rules are those of BasicTokenizer in google-research/bert, tokenization.py: control characters go, white
space and ideographs divide, letters are lower-cased and lose their accents, punctuation stands alone. What
that makes of each code point is worked out with Python's unicodedata when the graph is made and travels in
it, so that a served model answers alike whichever version of Unicode its server's own library knows.

The tokenizers of tensorflow-text fold compatible characters together instead (NFKC_Casefold): they make
"..." of "…", "ss" of "ß", two words where there is a NUL between letters, and differ from BERT in some
4,000 assigned code points.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Words of more characters count as unknown.
MAX_WORD_LENGTH: Final = 200
# Stands for what no vocabulary holds, since vocabularies have one token a line.
UNKNOWN: Final = "\n"

_NUM_CODE_POINTS = 0x110000
_PAGE_SIZE = 256
# Each is a word of its own. Later extensions are letters like any other, as in BERT.
_IDEOGRAPHS = frozenset(
    itertools.chain(
        range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xF900, 0xFB00), range(0x20000, 0x2A6E0),
        range(0x2A700, 0x2B740), range(0x2B740, 0x2B820), range(0x2B820, 0x2CEB0), range(0x2F800, 0x2FA20),
    )
)  # fmt: skip

# A unit is a code point in 21 bits, whether it is a word of its own, and, above, its combining class.
_CODE_POINT = (1 << 21) - 1
_ALONE = 1 << 21
_COMBINING_CLASS = 1 << 22
_SPACE = ord(" ") | _ALONE
# Nothing, but marks on its two sides are not put into order.
_BARRIER = -1
_NOTHING = -(1 << 30)

_SIGMA, _FINAL_SIGMA = ord("Σ"), ord("ς")
_OTHER, _CASED, _IGNORED = range(3)


class _PagedTable(NamedTuple):
    """int32[width] for each code point, stored in pages, of which equal ones are stored once."""

    pages: NDArray[np.int32]
    cells: NDArray[np.int32]


def split_words(texts: Any, lower_case: bool, strip_accents: bool | None = None) -> Any:
    """Returns the words of UTF-8 texts: string[batch] -> string[batch, (words)].

    ["Ça va,\\t李?"] -> [["ca", "va", ",", "李", "?"]]. Bytes that are no UTF-8 are left out. A word that is
    longer than MAX_WORD_LENGTH, or holds a code point that Unicode reserves as no character, holds UNKNOWN.
    Accents are stripped where letters are lower-cased, unless it is said.
    """
    return split_words_with_offsets(texts, lower_case, strip_accents)[0]


def split_words_with_offsets(
    texts: Any, lower_case: bool, strip_accents: bool | None = None
) -> tuple[Any, Any, Any]:
    r"""Returns the words, and where characters start and end: int64[batch, (words), (characters)] twice.

    Offsets are in code points of a text without the bytes that are no UTF-8: ["i\u0301.a"] ->
    [["i", ".", "a"]], [[[0], [2], [3]]], [[[2], [3], [4]]]. What leaves nothing behind, such as an accent,
    belongs to what is before it.
    """
    return _splitter(lower_case, lower_case if strip_accents is None else strip_accents)(texts)


@functools.cache
def _splitter(lower_case: bool, strip_accents: bool) -> Any:
    """Returns a function that is traced once, however often tf.Transform traces what calls it."""
    import tensorflow as tf

    # TensorFlow complains where one of its functions outlives its modules.
    atexit.register(_splitter.cache_clear)
    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(lambda texts: _split(texts, lower_case, strip_accents), signature, autograph=False)


def _split(texts: Any, lower_case: bool, strip_accents: bool) -> tuple[Any, Any, Any]:
    import tensorflow as tf

    # Each text starts with a space, so that nothing below looks across the border between two.
    codes = tf.strings.unicode_decode(tf.strings.join([" ", texts]), "UTF-8", errors="ignore")
    values = _lower_final_sigmas(codes.values) if lower_case else codes.values
    table = _unit_table(lower_case, strip_accents)
    first = np.eye(1, table.cells.shape[1], dtype=np.int32)
    units = _look_up(table, values) + values[:, tf.newaxis] * first
    counts = tf.reduce_sum(tf.cast(units >= 0, tf.int64), axis=1)
    places = _in_canonical_order(units)
    starts, ends = _code_offsets(codes, counts > 0)
    of_code = places // table.cells.shape[1]
    return _group(
        tf.gather(tf.reshape(units, [-1]), places),
        tf.gather(starts, of_code),
        tf.gather(ends, of_code),
        tf.gather(_offsets(counts), codes.row_splits),
    )


def _code_offsets(codes: Any, is_something: Any) -> tuple[Any, Any]:
    """Returns where each code point starts in its text, and where the next one starts that is something."""
    import tensorflow as tf

    # Less the space that was put before the text.
    before = tf.gather(codes.row_starts(), codes.value_rowids()) + 1
    count = tf.size(is_something, tf.int64)
    nexts = tf.concat([tf.where(is_something)[:, 0], [count]], axis=0)
    numbers = tf.cumsum(tf.cast(is_something, tf.int64))
    return tf.range(count) - before, tf.gather(nexts, numbers) - before


def _group(units: Any, starts: Any, ends: Any, row_splits: Any) -> tuple[Any, Any, Any]:
    """Returns the words of texts and the offsets of their characters.

    Each unit of int32[units] starts and ends in its text at int64[units]; the units of texts end at
    `row_splits` int64[batch + 1].
    """
    import tensorflow as tf

    alone = tf.bitwise.bitwise_and(units, _ALONE) != 0
    characters = tf.bitwise.bitwise_and(units, _CODE_POINT)
    kept = characters != ord(" ")
    is_first = (alone | tf.concat([[True], alone[:-1]], axis=0)) & kept
    first_places = tf.where(tf.boolean_mask(is_first, kept))[:, 0]
    words = tf.RaggedTensor.from_row_starts(tf.boolean_mask(characters, kept), first_places, validate=False)
    strings = tf.where(
        words.row_lengths() > MAX_WORD_LENGTH, UNKNOWN, tf.strings.unicode_encode(words, "UTF-8")
    )
    splits = tf.gather(_offsets(tf.cast(is_first, tf.int64)), row_splits)
    parts = (strings, *(words.with_values(tf.boolean_mask(each, kept)) for each in (starts, ends)))
    grouped = [tf.RaggedTensor.from_row_splits(part, splits, validate=False) for part in parts]
    return grouped[0], grouped[1], grouped[2]


def _lower_final_sigmas(codes: Any) -> Any:
    """Returns the code points with Σ as ς where it ends a word (Unicode, SpecialCasing.txt: Final_Sigma)."""
    import tensorflow as tf

    def lower() -> Any:
        kinds = _look_up(_context_table(), codes)[:, 0]
        seen = tf.where(kinds != _IGNORED)
        cased = tf.gather_nd(kinds, seen) == _CASED
        before = tf.concat([[False], cased[:-1]], axis=0)
        after = tf.concat([cased[1:], [False]], axis=0)
        final = tf.boolean_mask(seen, (tf.gather_nd(codes, seen) == _SIGMA) & before & ~after)
        return tf.tensor_scatter_nd_update(codes, final, tf.fill([tf.shape(final)[0]], _FINAL_SIGMA))

    return tf.cond(tf.reduce_any(codes == _SIGMA), lower, lambda: codes)


def _in_canonical_order(units: Any) -> Any:
    """Returns the places of units that are something, marks after a letter by combining class.

    int32[n, k] -> int64[units], into the flat units. Only marks that take up space are left to be put into
    order, in scripts such as Balinese and in music.
    """
    import tensorflow as tf

    flat = tf.reshape(units, [-1])

    def sort() -> Any:
        places = tf.where(flat >= _BARRIER)[:, 0]
        with_barriers = tf.gather(flat, places)
        classes = tf.cast(tf.maximum(with_barriers // _COMBINING_CLASS, 0), tf.int64)
        letters = tf.cumsum(tf.cast(classes == 0, tf.int64))
        order = tf.argsort(letters * 256 + classes, stable=True)
        return tf.gather(places, tf.boolean_mask(order, tf.gather(with_barriers, order) >= 0))

    any_marks = tf.reduce_any(flat >= _COMBINING_CLASS)
    return tf.cond(any_marks, sort, lambda: tf.where(flat >= 0)[:, 0])


def _offsets(counts: Any) -> Any:
    import tensorflow as tf

    return tf.concat([[0], tf.cumsum(counts)], axis=0)


def _look_up(table: _PagedTable, codes: Any) -> Any:
    """Returns int32[n, width] for code points int32[n]."""
    import tensorflow as tf

    return tf.gather(
        table.cells, tf.gather(table.pages, codes // _PAGE_SIZE) * _PAGE_SIZE + codes % _PAGE_SIZE
    )


@functools.cache
def _unit_table(lower_case: bool, strip_accents: bool) -> _PagedTable:
    """Returns the units that each code point becomes, less the code point in the first column."""
    changed: dict[int, tuple[int, ...]] = {code: (ord(UNKNOWN),) for code in _noncharacters()}
    for code, char in _characters():
        units = _units(char, lower_case, strip_accents)
        if units != (code,):
            changed[code] = units
    values = np.full((_NUM_CODE_POINTS, max(map(len, changed.values()))), _NOTHING, np.int32)
    # Relative to the code point, most pages are the same.
    values[:, 0] = 0
    for code, units in changed.items():
        values[code] = _NOTHING
        values[code, : len(units)] = units
        values[code, 0] -= code
    return _paged(values)


@functools.cache
def _context_table() -> _PagedTable:
    """Returns which code points Python takes as cased, and which it looks past, around a Σ."""
    values = np.full((_NUM_CODE_POINTS, 1), _OTHER, np.int32)
    for code, char in _characters():
        if _is_removed(char, unicodedata.category(char)):
            values[code] = _IGNORED
        elif ("a" + char + "Σ").lower()[-1] == "ς":
            values[code] = _CASED if (char + "Σ").lower()[-1] == "ς" else _IGNORED
    return _paged(values)


def _characters() -> Iterator[tuple[int, str]]:
    """Yields the code points that are more than one more letter of a word."""
    for code in range(_NUM_CODE_POINTS):
        char = chr(code)
        if code in _IDEOGRAPHS or unicodedata.category(char) not in ("Cn", "Co", "Cs"):
            yield code, char


def _noncharacters() -> Iterator[int]:
    """Yields what is valid in UTF-8 but no character (Unicode, section 23.7); TensorFlow cannot encode it."""
    yield from range(0xFDD0, 0xFDF0)
    for end in range(0x10000, _NUM_CODE_POINTS + 1, 0x10000):
        yield from (end - 2, end - 1)


def _units(char: str, lower_case: bool, strip_accents: bool) -> tuple[int, ...]:
    """Returns the units of one character of a text."""
    category = unicodedata.category(char)
    # BERT divides words by str.split, too, which knows the separators of lines and paragraphs.
    if char in "\t\n\r" or category in ("Zs", "Zl", "Zp"):
        return (_SPACE,)
    if _is_removed(char, category):
        return ()
    letters = char.lower() if lower_case else char
    if not strip_accents:
        return tuple(ord(letter) | _alone(letter, unicodedata.category(letter)) for letter in letters)
    parts = (_mark_or_letter(part) for part in unicodedata.normalize("NFD", letters))
    return tuple(unit for unit in parts if unit != _NOTHING)


def _is_removed(char: str, category: str) -> bool:
    removed = category in ("Cc", "Cf") or char == "\N{REPLACEMENT CHARACTER}"
    return removed and char not in "\t\n\r"


def _mark_or_letter(char: str) -> int:
    category, combining = unicodedata.category(char), unicodedata.combining(char)
    if category == "Mn":
        return _NOTHING if combining else _BARRIER
    return ord(char) | _alone(char, category) | combining * _COMBINING_CLASS


def _alone(char: str, category: str) -> int:
    punctuation = category[0] == "P" or (category[0] == "S" and char.isascii())
    return _ALONE * (punctuation or ord(char) in _IDEOGRAPHS)


def _paged(values: NDArray[np.int32]) -> _PagedTable:
    width = values.shape[1]
    pages, numbers = np.unique(values.reshape(-1, _PAGE_SIZE * width), axis=0, return_inverse=True)
    return _PagedTable(numbers.reshape(-1).astype(np.int32), pages.reshape(-1, width))
