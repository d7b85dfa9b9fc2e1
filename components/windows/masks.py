"""Which pieces of a window a model has to tell, and what it sees in their place.

J. Devlin et al. (arxiv.org/abs/1810.04805), section 3.1; google-research/bert, create_pretraining_data.py
(create_masked_lm_predictions), also for whole words.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from components.windows.drawing import below, fractions, mixed

_MASKED: Final = 0.8
_KEPT: Final = 0.1


class Chosen(NamedTuple):
    """Places of pieces to be told, in order, and which of them are any: [windows, k]; 0 fills up."""

    positions: Any
    valid: Any


def at(is_chosen: Any, most: int) -> Chosen:
    """Returns the places where bool[windows, length] is true."""
    import tensorflow as tf

    order = tf.argsort(tf.cast(~is_chosen, tf.int64), axis=1, stable=True)
    return _in_order(order, tf.reduce_sum(tf.cast(is_chosen, tf.int64), axis=1, keepdims=True), most)


def choose(may_be: Any, counts: Any, salts: Any, most: int) -> Chosen:
    """Returns random places of those that may be chosen, bool[windows, length].

    `counts` of each, int64[windows, 1], at most `most`; salts are int64[windows, 1].
    """
    import tensorflow as tf

    length = tf.shape(may_be, tf.int64)[1]
    order = tf.where(may_be, fractions(salts, tf.range(length)), 2.0)
    counts = tf.minimum(counts, tf.reduce_sum(tf.cast(may_be, tf.int64), axis=1, keepdims=True))
    return _in_order(tf.argsort(order, axis=1, stable=True), counts, most)


def choose_words(may_be: Any, continues: Any, counts: Any, salts: Any, most: int) -> Chosen:
    """Returns the same of whole words; `continues` bool[windows, length] says which pieces go on a word.

    Words are tried in a random order, and those left out of which there is no room any more.
    """
    import tensorflow as tf

    before = tf.pad(may_be, [[0, 0], [1, 0]])[:, :-1]
    words = tf.cumsum(tf.cast(may_be & ~(continues & before), tf.int64), axis=1)
    # All pieces of a word have the number of their word, and so stand together.
    order = tf.argsort(tf.where(may_be, fractions(salts, words), 2.0), axis=1, stable=True)
    sorted_words = tf.gather(tf.where(may_be, words, 0), order, batch_dims=1)
    begins = sorted_words != tf.pad(sorted_words, [[0, 0], [1, 0]], constant_values=-1)[:, :-1]
    sizes = tf.gather(_sizes(words, may_be), sorted_words, batch_dims=1)

    def try_word(state: tuple[Any, Any], piece: tuple[Any, Any, Any]) -> tuple[Any, Any]:
        (taken, fits), (begin, size, exists) = state, piece
        fits = tf.where(begin, exists & (taken + size <= counts[:, 0]), fits)
        return taken + tf.where(begin & fits, size, 0), fits

    nothing = tf.zeros_like(counts[:, 0])
    by_piece = [tf.transpose(value) for value in (begins, sizes, sorted_words > 0)]
    _, fits = tf.scan(try_word, tuple(by_piece), (nothing, nothing > 0))
    # In the order in which they were tried, and back at their places.
    places = tf.argsort(order, axis=1)
    return at(tf.gather(tf.transpose(fits), places, batch_dims=1), most)


def replace(token_ids: Any, chosen: Chosen, mask_id: int, others: Any, salts: Any) -> Any:
    """Returns ids int64[windows, length] as the model sees them.

    Of the chosen pieces 80% are [MASK], 10% themselves, and 10% random ones of `others`, int64[n].
    """
    import tensorflow as tf

    draws = fractions(mixed(salts, 0), chosen.positions)
    random = below(fractions(mixed(salts, 1), chosen.positions), tf.size(others))
    own = tf.gather(token_ids, chosen.positions, batch_dims=1)
    seen = tf.where(draws < _MASKED + _KEPT, own, tf.gather(others, random))
    seen = tf.where(draws < _MASKED, tf.cast(mask_id, tf.int64), seen)
    rows = tf.zeros_like(chosen.positions) + tf.range(tf.shape(token_ids, tf.int64)[0])[:, None]
    places = tf.stack([rows, chosen.positions], axis=2)
    return tf.tensor_scatter_nd_update(
        token_ids, tf.boolean_mask(places, chosen.valid), tf.boolean_mask(seen, chosen.valid)
    )


def _in_order(positions: Any, counts: Any, most: int) -> Chosen:
    """Returns the first `counts` of positions [windows, length], sorted, as [windows, most]."""
    import tensorflow as tf

    last = tf.int64.max
    positions = tf.pad(tf.cast(positions, tf.int64), [[0, 0], [0, most]])[:, :most]
    positions = tf.sort(tf.where(tf.range(most, dtype=tf.int64) < counts, positions, last), axis=1)
    valid = positions != last
    return Chosen(tf.where(valid, positions, 0), valid)


def _sizes(words: Any, may_be: Any) -> Any:
    """Returns how many pieces each word has, int64[windows, 1 + length]."""
    import tensorflow as tf

    shape = tf.shape(words, tf.int64) + tf.constant([0, 1], tf.int64)
    rows = tf.range(shape[0])[:, None]
    sums = tf.math.unsorted_segment_sum(
        tf.cast(may_be, tf.int64), rows * shape[1] + words, tf.reduce_prod(shape)
    )
    return tf.reshape(sums, shape)
