"""Random numbers that follow from a seed and from where they are used, for each window of a batch its own.

TensorFlow's stateless operations take one seed for all that they draw. These are SplitMix64's: G. Steele,
D. Lea and C. Flood, Fast Splittable Pseudorandom Number Generators (2014); the n-th number of a seed.
"""

from __future__ import annotations

from typing import Any, Final

_STEP: Final = 0x9E3779B97F4A7C15
_FIRST: Final = 0xBF58476D1CE4E5B9
_SECOND: Final = 0x94D049BB133111EB


def mixed(seeds: Any, numbers: Any) -> Any:
    """Returns the numbers' random numbers of the seeds: int64, of any shapes that broadcast -> int64."""
    import tensorflow as tf

    state = tf.cast(seeds, tf.uint64) + (tf.cast(numbers, tf.uint64) + _constant(1)) * _constant(_STEP)
    state = _folded(state, 30) * _constant(_FIRST)
    state = _folded(state, 27) * _constant(_SECOND)
    return tf.cast(_folded(state, 31), tf.int64)


def fractions(seeds: Any, numbers: Any) -> Any:
    """Returns `mixed` as float64 in [0, 1)."""
    import tensorflow as tf

    bits = tf.cast(mixed(seeds, numbers), tf.uint64)
    # A float64 has 53 of them.
    return tf.cast(tf.bitwise.right_shift(bits, _constant(11)), tf.float64) * 2.0**-53


def below(fractions_: Any, limits: Any) -> Any:
    """Returns fractions as whole numbers from 0 to `limits` - 1, int64; 0 where the limit is below 1."""
    import tensorflow as tf

    limits = tf.maximum(tf.cast(limits, tf.float64), 1.0)
    # Rounded up, a product may be the limit itself.
    return tf.cast(tf.minimum(fractions_ * limits, limits - 1), tf.int64)


def _folded(state: Any, bits: int) -> Any:
    import tensorflow as tf

    return tf.bitwise.bitwise_xor(state, tf.bitwise.right_shift(state, _constant(bits)))


def _constant(value: int) -> Any:
    import tensorflow as tf

    return tf.constant(value, tf.uint64)
