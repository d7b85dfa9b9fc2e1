"""The pieces of texts with the places that they come from, for answers that are parts of a text."""

from __future__ import annotations

from typing import Any

from components.formats.vocabulary import UNKNOWN
from components.transform.text.basic_tokenization import MAX_WORD_LENGTH, split_words_with_offsets
from components.transform.text.tokenization import MAX_BYTES_PER_CHARACTER, make_table, word_tokenizer

_MORE_THAN_A_WORD = MAX_WORD_LENGTH * MAX_BYTES_PER_CHARACTER + 1


def tokenize_with_offsets(
    texts: Any, path: Any, lower_case: bool, strip_accents: bool | None = None
) -> tuple[Any, Any, Any]:
    """Returns the ids of pieces, and where each starts and ends in its text: int64[batch, (pieces)] each.

    `path` is the file of the tokens, one a line. Offsets are those of `split_words_with_offsets`, in code
    points; an unknown piece goes from the start of its word to the end.
    """
    import tensorflow as tf

    words, starts, ends = split_words_with_offsets(texts, lower_case, strip_accents)
    table = make_table(path)
    pieces, first_bytes, end_bytes = word_tokenizer(table).tokenize_with_offsets(words.values)
    unknown = pieces.values == table.lookup(tf.constant(UNKNOWN))
    characters = _characters(
        words.values, starts.values, pieces.value_rowids(), first_bytes, end_bytes, unknown
    )
    # Not of the first and the last character: marks may have been put into another order.
    piece, count = characters.value_rowids(), tf.size(pieces.values)
    first = tf.math.unsorted_segment_min(tf.gather(starts.flat_values, characters.values), piece, count)
    last = tf.math.unsorted_segment_max(tf.gather(ends.flat_values, characters.values), piece, count)
    splits = tf.gather(pieces.row_splits, words.row_splits)
    ids, firsts, lasts = (
        tf.RaggedTensor.from_row_splits(each, splits, validate=False) for each in (pieces.values, first, last)
    )
    return ids, firsts, lasts


def _characters(
    words: Any, characters: Any, of_word: Any, first_bytes: Any, end_bytes: Any, unknown: Any
) -> Any:
    """Returns which of the characters int64[words, (characters)], all in a row, make each piece.

    A piece is part of word `of_word` int64[pieces], between two bytes of it, or a whole word.
    """
    import tensorflow as tf

    word_bytes = tf.strings.unicode_decode_with_offsets(words, "UTF-8")[1]
    known_bytes = word_bytes.value_rowids() * _MORE_THAN_A_WORD + word_bytes.values

    def character_at(byte: Any) -> Any:
        found = tf.searchsorted(known_bytes, of_word * _MORE_THAN_A_WORD + byte, out_type=tf.int64)
        return found - tf.gather(word_bytes.row_starts(), of_word)

    # An unknown word ends, says tensorflow-text, where "[UNK]" would.
    length = tf.gather(characters.row_lengths(), of_word)
    end = tf.where(unknown, length, character_at(end_bytes.values))
    start = tf.gather(characters.row_starts(), of_word)
    return tf.ragged.range(start + character_at(first_bytes.values), start + end)
