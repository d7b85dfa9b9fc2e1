"""The tokens of one or two texts in one sequence: cut off, with [CLS] before them and [SEP] after each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def divide(tokens: Any, count: int) -> list[Any]:
    """Returns the tokens of the first texts, of the second ones, …: each int64[batch, (tokens)]."""
    import tensorflow as tf

    if count == 1:
        return [tokens]
    splits = tokens.row_splits
    batch = (tf.size(splits, splits.dtype) - 1) // count

    def part(place: int) -> Any:
        # A slice of a RaggedTensor is ten times as many operations.
        own = splits[place * batch : (place + 1) * batch + 1]
        values = tokens.values[own[0] : own[-1]]
        return tf.RaggedTensor.from_row_splits(values, own - own[0], validate=False)

    return [part(place) for place in range(count)]


def no_pieces(texts: Any) -> Any:
    """Returns int64[batch, (0)] for texts string[batch]."""
    import tensorflow as tf

    lengths = tf.zeros(tf.shape(texts), tf.int64)
    return tf.RaggedTensor.from_row_lengths(tf.zeros([0], tf.int64), lengths, validate=False)


def find_room(segments: Sequence[Any], max_tokens: int) -> list[Any]:
    """Returns how many tokens of one or two int64[batch, (tokens)] stay, int64[batch] or one number each.

    At most `max_tokens` of each row together: the longer of a pair loses tokens, and the second where both
    are as long, as in google-research/bert, run_classifier.py (_truncate_seq_pair).
    """
    import tensorflow as tf

    if len(segments) == 1:
        return [max_tokens]
    first, second = (segment.row_lengths() for segment in segments)
    return [
        tf.maximum(max_tokens - second, max_tokens - max_tokens // 2),
        tf.maximum(max_tokens - first, max_tokens // 2),
    ]


def combine(segments: Sequence[Any], room: Sequence[Any], start: int, separator: int) -> tuple[Any, Any]:
    """Returns token ids and segment ids int64[batch, (length)] of segments int64[batch, (tokens)].

    Of each segment as many tokens as it has `room` for: [[7, 8]], [[9, 6]] with 2 and 1 ->
    [[start, 7, 8, separator, 9, separator]] and [[0, 0, 0, 0, 1, 1]].
    """
    import tensorflow as tf

    values = tf.concat([[start], *(segment.values for segment in segments), [separator]], axis=0)
    # Each row is a few ranges of `values`, which is far fewer operations than tf.concat of RaggedTensors.
    ones = tf.ones_like(segments[0].row_splits[1:])
    end = tf.size(values, tf.int64) * ones
    limits, offset = [(0 * ones, ones)], tf.constant(1, tf.int64)
    for segment, most in zip(segments, room, strict=True):
        starts = offset + segment.row_splits[:-1]
        ends = tf.minimum(starts + most, offset + segment.row_splits[1:])
        limits += [(starts, ends), (end - 1, end)]
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
