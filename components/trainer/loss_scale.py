"""Numeric precision: Keras' dtype policy while a model is built, and dynamic loss scaling for float16."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_LOWEST, _HIGHEST = 1.0, 2.0**24


class LossScale:
    """Dynamic loss scaling: doubles after `growth_steps` finite steps, halves after one that is not.

    Micikevicius et al., "Mixed Precision Training", section 3.2 (arxiv.org/abs/1710.03740). Keras'
    LossScaleOptimizer decides in a replica's context, where tf.distribute allows no condition around
    the update; this one is asked between two `strategy.run`s.
    """

    def __init__(self, initial: float = 2.0**15, growth_steps: int = 2000) -> None:
        self.scale = tf.Variable(initial, trainable=False, dtype=tf.float32, name="loss_scale")
        self.finite_steps = tf.Variable(0, trainable=False, dtype=tf.int64, name="finite_steps")
        self._growth_steps = growth_steps

    @property
    def is_lowest(self) -> bool:
        """Whether an overflow cannot be answered any more."""
        return bool(self.scale.numpy() <= _LOWEST)

    def update(self, finite: Any) -> None:
        """Adjusts the scale; call it outside `strategy.run`."""
        grow = tf.logical_and(finite, self.finite_steps + 1 >= self._growth_steps)
        factor = tf.where(finite, tf.where(grow, 2.0, 1.0), 0.5)
        self.scale.assign(tf.clip_by_value(self.scale * factor, _LOWEST, _HIGHEST))
        self.finite_steps.assign(tf.where(tf.logical_and(finite, ~grow), self.finite_steps + 1, 0))
