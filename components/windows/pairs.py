"""Which pieces of a run of sentences, and which of another text, make the two segments of a window.

After the rules of google-research/bert, create_pretraining_data.py, drawn anew for each window: there a
document is cut once from its start to its end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from components.windows.drawing import below, fractions

# [CLS], and [SEP] behind each text.
NUM_SPECIAL = 3


class Part(NamedTuple):
    """Pieces one after another of a text: where the first one is, and how many; int64[windows, 1] each."""

    start: Any
    size: Any


class Pair(NamedTuple):
    """The two texts of windows."""

    first: Part
    # Of the same run where it is next, else of the other one; of no pieces where there is none.
    second: Part
    # 1, 0, or -1 where there is no second text; int64[windows, 1].
    is_next: Any


class Sentences(NamedTuple):
    """The pieces of each sentence of a text: where each ends, int64[windows, sentences], filled up."""

    ends: Any
    # int64[windows, 1] each.
    count: Any
    total: Any

    @classmethod
    def of(cls, lengths: Any) -> Sentences:
        """Of lengths int64[windows, sentences] of sentences, filled up with 0."""
        import tensorflow as tf

        ends = tf.cumsum(lengths, axis=1)
        count = tf.reduce_sum(tf.cast(lengths > 0, tf.int64), axis=1, keepdims=True)
        return cls(ends, count, tf.reduce_sum(lengths, axis=1, keepdims=True))

    def start(self, number: Any) -> Any:
        """Returns where a sentence starts."""
        import tensorflow as tf

        before = tf.pad(self.ends, [[0, 0], [1, 0]])
        return tf.gather(before, number, batch_dims=1)

    def holding(self, piece: Any) -> Any:
        """Returns the number of the sentence that has a piece, or of the last one."""
        import tensorflow as tf

        before = tf.reduce_sum(tf.cast(self.ends <= piece, tf.int64), axis=1, keepdims=True)
        return tf.maximum(tf.minimum(before, self.count - 1), 0)

    def drawn_start(self, fraction: Any, size: Any) -> Any:
        """Returns the sentence to start with, so that a place is in the middle of `size` pieces.

        Or nearer to an end, where the text ends: the first and the last pieces are to be seen, too.
        """
        import tensorflow as tf

        piece = below(fraction, self.total) - size // 2
        return self.holding(tf.clip_by_value(piece, 0, tf.maximum(self.total - size, 0)))

    def stop(self, start: Any, size: Any) -> Any:
        """Returns the number of the sentence with which `size` pieces from a place on are reached."""
        return self.holding(start + size - 1)


def draw_pairs(
    run: Sentences,
    other: Sentences,
    share: tuple[Any, Any],
    salts: Any,
    length: int,
    short_probability: float,
) -> Pair:
    """Returns the texts of windows of `length` pieces with [CLS] and [SEP]; salts are int64[windows, 1].

    `share` is the window's number among those of its run, and how many there are, int64[windows, 1] each:
    together they are of all of the run. A window's texts fill it, or, with `short_probability`, a random
    part of it. The first text is some sentences that follow each other; the second, with a probability of one
    half, those behind them, else some of the other text. Where there is no other, there is no second text.
    What does not fit is cut off the longer text, from its start and its end.
    """
    import tensorflow as tf

    draws = fractions(salts, tf.range(8, dtype=tf.int64))
    is_short, how_short, where, cut, which, elsewhere, trim_first, trim_second = tf.split(draws, 8, axis=1)
    has_other = other.total > 0
    room = length - NUM_SPECIAL + tf.cast(~has_other, tf.int64)
    target = tf.where(is_short < short_probability, 2 + below(how_short, room - 1), room)

    number, count = (tf.cast(value, tf.float64) for value in share)
    # The last sentence alone has none behind it.
    begin = tf.minimum(run.drawn_start((number + where) / count, target), tf.maximum(run.count - 2, 0))
    start = run.start(begin)
    last = tf.maximum(run.stop(start, target), tf.minimum(begin + 1, run.count - 1))
    stop = run.start(last + 1)
    split = tf.where(has_other & (last > begin), run.start(begin + 1 + below(cut, last - begin)), stop)
    first = Part(start, split - start)

    is_next = has_other & (last > begin) & (which < 0.5)
    rest = tf.maximum(target - first.size, 1)
    other_start = other.start(other.drawn_start(elsewhere, rest))
    other_size = other.start(other.stop(other_start, rest) + 1) - other_start
    second = Part(
        tf.where(is_next, split, other_start),
        tf.where(is_next, stop - split, tf.where(has_other, other_size, 0)),
    )
    keep_first = tf.minimum(first.size, tf.maximum(room - second.size, room - room // 2))
    keep_second = tf.minimum(second.size, tf.maximum(room - first.size, room // 2))
    return Pair(
        _trimmed(first, keep_first, trim_first),
        _trimmed(second, keep_second, trim_second),
        tf.where(has_other, tf.cast(is_next, tf.int64), -1),
    )


def _trimmed(part: Part, size: Any, fraction: Any) -> Part:
    """Returns `size` pieces of a part, where they start being random."""
    return Part(part.start + below(fraction, part.size - size + 1), size)
