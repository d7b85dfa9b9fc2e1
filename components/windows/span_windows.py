"""Which pieces of a context windows have, each after its question, in a graph."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

# [CLS] and two [SEP].
NUM_SPECIAL: Final = 3


class Windows(NamedTuple):
    """What windows are of, in pieces: int64[windows, 1], but for what is the same for all."""

    # As long as it is kept.
    question: Any
    context: Any
    # The first piece of the context.
    start: Any
    # Of a window, with its special tokens.
    length: int
    # The most pieces from the start of one window to that of the next.
    stride: int

    @property
    def room(self) -> Any:
        """The most pieces of the context that a window with this question holds."""
        return self.length - NUM_SPECIAL - self.question

    @property
    def step(self) -> Any:
        """From the start of one window to that of the next."""
        import tensorflow as tf

        return tf.minimum(self.room, self.stride)

    @property
    def count(self) -> Any:
        """How many pieces of the context each holds."""
        import tensorflow as tf

        return tf.minimum(self.context - self.start, self.room)

    @property
    def offsets(self) -> Any:
        """Which piece of the window's part of the context is where: int64[windows, length].

        [CLS] who [SEP] Rome fell [SEP] -> -3 -2 -1 0 1 2
        """
        import tensorflow as tf

        return tf.range(self.length, dtype=tf.int64) - self.question - (NUM_SPECIAL - 1)

    @property
    def most_context(self) -> Any:
        """Which pieces have more on both sides than in any other window: bool[windows, length].

        The first of equal windows has them, and the length of a window counts a little, as in run_squad.py
        (_check_is_max_context); in float64, as there, for the same ones to be equal.
        """
        import tensorflow as tf

        pieces = (self.start + self.offsets)[:, :, None]
        # No window further away has a piece in common.
        reach = -(-(self.length - NUM_SPECIAL) // self.stride)
        near = tf.range(-reach, reach + 1, dtype=tf.int64)
        room, step, context = (value[:, :, None] for value in (self.room, self.step, self.context))
        begins = self.start[:, :, None] + near * step
        ends = tf.minimum(begins + room, context)
        least = tf.cast(tf.minimum(pieces - begins, ends - 1 - pieces), tf.float64)
        around = least + 0.01 * tf.cast(ends - begins, tf.float64)
        # One after the last, which does not exist, never has more than the last.
        around = tf.where((begins >= 0) & (least >= 0), around, -1.0)
        own = around[:, :, reach]
        before, after = around[:, :, :reach], around[:, :, reach + 1 :]
        return (own > tf.reduce_max(before, axis=2)) & (own >= tf.reduce_max(after, axis=2))
