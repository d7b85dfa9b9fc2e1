"""The sequences of a request that brings masks of its own: all of a text, or the pieces around each mask."""

from __future__ import annotations

from typing import Any, NamedTuple

from components.windows.masks import Chosen, at
from components.windows.pairs import Pair, Part


class Asked(NamedTuple):
    """Of the rows that ask, bool[windows, 1], the sequence, and the masks in it."""

    exist: Any
    text: Part
    chosen: Chosen

    def or_pair(self, drawn: Pair) -> Pair:
        """Returns the text alone where a row asks, and else what was drawn."""
        nothing = Part(self.text.start * 0, self.text.size * 0)
        first, second = (
            Part(*self._either(asked, other))
            for asked, other in ((self.text, drawn.first), (nothing, drawn.second))
        )
        return Pair(first, second, *self._either((nothing.size - 1,), (drawn.is_next,)))

    def or_chosen(self, drawn: Chosen) -> Chosen:
        """Returns the masks where a row asks, and else those that were drawn."""
        return Chosen(*self._either(self.chosen, drawn))

    def _either(self, asked: tuple[Any, ...], drawn: tuple[Any, ...]) -> list[Any]:
        import tensorflow as tf

        return [tf.where(self.exist, *values) for values in zip(asked, drawn, strict=True)]


def ask(run: Any, numbers: Any, mask_id: int, room: int, most: int) -> Asked:
    """Returns what is asked about of rows int64[windows, pieces], in their sequences of these numbers.

    A sequence has `room` for pieces, and at most so many masks are told of it.
    """
    import tensorflow as tf

    is_mask = run == mask_id
    total = tf.reduce_sum(tf.cast(run > 0, tf.int64), axis=1, keepdims=True)
    rank = tf.cumsum(tf.cast(is_mask, tf.int64), axis=1, exclusive=True)
    own = is_mask & (rank // masks_each(total, room, most) == numbers)
    first = tf.argmax(own, axis=1)[:, None]
    start = tf.clip_by_value(first - room // 2, 0, tf.maximum(total - room, 0))
    chosen = at(own, most)
    # Behind [CLS].
    positions = tf.where(chosen.valid, chosen.positions - start + 1, 0)
    exist = tf.reduce_any(is_mask, axis=1, keepdims=True)
    return Asked(exist, Part(start, tf.minimum(total, room)), Chosen(positions, chosen.valid))


def masks_each(total: Any, room: int, most: int) -> Any:
    """Returns how many masks of a request of so many pieces are in one sequence: one if it does not fit."""
    import tensorflow as tf

    return tf.where(total <= room, tf.constant(most, tf.int64), 1)
