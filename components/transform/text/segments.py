"""The tokens of one or two texts in one sequence: cut off, with [CLS] before them and [SEP] after each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def divide(tokens: Any, count: int) -> list[Any]:
    """Returns the tokens of the first texts, of the second ones, …: each int64[batch, (tokens)]."""
    if count == 1:
        return [tokens]
    batch = tokens.nrows() // count
    return [tokens[place * batch : (place + 1) * batch] for place in range(count)]


def truncate(segments: Sequence[Any], max_tokens: int) -> list[Any]:
    """Returns one or two int64[batch, (tokens)] cut off so that each row has at most `max_tokens` together.

    The longer of a pair loses tokens, and the second where both are as long, as in google-research/bert,
    run_classifier.py (_truncate_seq_pair).
    """
    import tensorflow as tf

    if len(segments) == 1:
        return [_first(segments[0], max_tokens)]
    first, second = segments
    room_for_first = tf.maximum(max_tokens - second.row_lengths(), max_tokens - max_tokens // 2)
    room_for_second = tf.maximum(max_tokens - first.row_lengths(), max_tokens // 2)
    return [_first(first, room_for_first), _first(second, room_for_second)]


def _first(tokens: Any, counts: Any) -> Any:
    """Returns the first `counts` int64[batch] of int64[batch, (tokens)], or fewer where there are fewer."""
    import tensorflow as tf

    starts = tokens.row_starts()
    places = tf.ragged.range(starts, starts + tf.minimum(tokens.row_lengths(), counts))
    return places.with_values(tf.gather(tokens.values, places.values))


def combine(segments: Sequence[Any], start: int, separator: int) -> tuple[Any, Any]:
    """Returns token ids and segment ids int64[batch, (length)] of segments int64[batch, (tokens)].

    [[7, 8]], [[9]] -> [[start, 7, 8, separator, 9, separator]] and [[0, 0, 0, 0, 1, 1]].
    """
    import tensorflow as tf

    values = tf.concat([[start], *(segment.values for segment in segments), [separator]], axis=0)
    # Each row is a few ranges of `values`, which is far fewer operations than tf.concat of RaggedTensors.
    ones = tf.ones_like(segments[0].row_splits[1:])
    end = tf.size(values, tf.int64) * ones
    limits, offset = [(0 * ones, ones)], tf.constant(1, tf.int64)
    for segment in segments:
        limits += [(offset + segment.row_splits[:-1], offset + segment.row_splits[1:]), (end - 1, end)]
        offset += tf.size(segment.values, tf.int64)
    starts, ends = (tf.reshape(tf.stack(side, axis=1), [-1]) for side in zip(*limits, strict=True))
    places = tf.ragged.range(starts, ends)
    rows = tf.RaggedTensor.from_row_splits(
        tf.gather(values, places.values), places.row_splits[:: len(limits)], validate=False
    )
    return rows, rows.with_values(_segment_ids(places, len(segments)))


def _segment_ids(places: Any, num_segments: int) -> Any:
    """Returns the segment of each value of ranges: those of [CLS], of a text, of [SEP], of a text, …"""
    import tensorflow as tf

    if num_segments == 1:
        return tf.zeros_like(places.values)
    return tf.maximum(places.value_rowids() % (1 + 2 * num_segments) - 1, 0) // 2
