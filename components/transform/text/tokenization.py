"""Texts to the ids of BERT's pieces: plain texts by one fast operation, all others step by step.

A plain text holds what ASCII prints, and white space. There, tensorflow-text's FastWordpieceTokenizer
divides words as BERT does, and nothing is to be folded but the case of letters.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.formats.vocabulary import JOINER
from components.formats.vocabulary import UNKNOWN as UNKNOWN_TOKEN
from components.transform.text.basic_tokenization import MAX_WORD_LENGTH, split_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES_PER_CHARACTER: Final = 4
# Control characters are left out, since BERT removes them from the middle of words.
_PLAIN_TEXT: Final = r"[\t\n\r -~]*"
# What may be a piece of a plain text: punctuation stands alone there.
_PLAIN_TOKEN: Final = re.compile(rf"[!-~]|(?:{JOINER})?[0-9A-Za-z]{{1,{MAX_WORD_LENGTH}}}")


def tokenize(
    texts: Any, tokens: Sequence[str], path: Any, lower_case: bool, strip_accents: bool | None = None
) -> Any:
    """Returns the ids of pieces of UTF-8 texts: string[batch] -> int64[batch, (pieces)].

    `path` is the file of the `tokens`, one a line; it becomes an asset. What is folded is said as for
    `split_words`.
    """
    import tensorflow as tf

    table = make_table(path)
    model = tf.constant(_plain_model(tuple(tokens)))
    plain = tf.strings.regex_full_match(texts, _PLAIN_TEXT)

    # In one piece, or TensorFlow would look at each of its operations also where all texts are plain.
    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def tokenize_mixed(texts: Any, plain: Any) -> Any:
        ids = _tokenize_plain(tf.where(plain, texts, ""), model, lower_case)
        words = split_words(tf.boolean_mask(texts, ~plain), lower_case, strip_accents)
        others = _tokenize_words(words, table)
        return _put_together(ids, others, plain)

    return tf.cond(
        tf.reduce_all(plain),
        lambda: _tokenize_plain(texts, model, lower_case),
        lambda: tokenize_mixed(texts, plain),
    )


def _tokenize_plain(texts: Any, model: Any, lower_case: bool) -> Any:
    import tensorflow as tf
    import tensorflow_text as tf_text

    texts = tf.strings.lower(texts) if lower_case else texts
    return tf_text.FastWordpieceTokenizer(model_buffer=model).tokenize(texts)


def _tokenize_words(words: Any, table: Any) -> Any:
    """Returns int64[batch, (pieces)] of string[batch, (words)]."""
    import tensorflow as tf

    # Of the flat values, since tensorflow-text makes many operations of a RaggedTensor.
    pieces = word_tokenizer(table).tokenize(words.values)
    splits = tf.gather(pieces.row_splits, words.row_splits)
    return tf.RaggedTensor.from_row_splits(pieces.values, splits, validate=False)


def word_tokenizer(table: Any) -> Any:
    """Returns what divides words into pieces that are in a table of tokens."""
    import tensorflow_text as tf_text

    return tf_text.WordpieceTokenizer(
        table,
        suffix_indicator=JOINER,
        max_bytes_per_word=MAX_WORD_LENGTH * MAX_BYTES_PER_CHARACTER,
        unknown_token=UNKNOWN_TOKEN,
    )


def _put_together(firsts: Any, others: Any, is_first: Any) -> Any:
    """Returns the rows of `firsts` where `is_first` bool[batch], and the next one of `others` elsewhere."""
    import tensorflow as tf

    of_others = tf.size(is_first) - 1 + tf.cumsum(tf.cast(~is_first, tf.int32))
    places = tf.where(is_first, tf.range(tf.size(is_first)), of_others)
    return tf.gather(tf.concat([firsts, others], axis=0), places)


def make_table(path: Any) -> Any:
    """Returns the table of the ids of tokens in a file, which becomes an asset."""
    import tensorflow as tf

    # A table that is made in the graph would read its file again with every batch.
    with tf.init_scope():
        lines = tf.lookup.TextFileInitializer(
            path, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        return tf.lookup.StaticHashTable(lines, default_value=-1)


@functools.lru_cache(maxsize=2)
def _plain_model(tokens: tuple[str, ...]) -> NDArray[np.uint8]:
    """Returns what FastWordpieceTokenizer makes of a vocabulary, uint8[bytes]."""
    from tensorflow_text.core.pybinds import pywrap_fast_wordpiece_tokenizer_model_builder as builder

    known = [
        token if token == UNKNOWN_TOKEN or _PLAIN_TOKEN.fullmatch(token) else f"[{number}]"
        for number, token in enumerate(tokens)
    ]
    # Without any word the builder fails; this one is in no plain text.
    known.append("é")
    # The last two: texts are not divided into words yet, and ids need not become texts again.
    model = builder.build_fast_wordpiece_model(known, MAX_WORD_LENGTH, JOINER, UNKNOWN_TOKEN, False, False)
    return np.frombuffer(model, np.uint8)
