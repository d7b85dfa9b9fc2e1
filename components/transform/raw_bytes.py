"""Tensors as the bytes that raw features hold, in a graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def to_bytes(values: Any) -> Any:
    """Returns the bytes of a tensor, little-endian and in C order: a string, as `tf.io.decode_raw` reads."""
    return tf.reshape(rows_to_bytes(values[tf.newaxis]), [])


def rows_to_bytes(values: Any) -> Any:
    """Returns the bytes of each row of a tensor [batch, …]: string[batch]."""
    number = tf.shape(values, tf.int64)[0]
    size = tf.size(values[:1], tf.int64) * values.dtype.size
    # A serialized TensorProto ends with the bytes of all rows.
    starts = -size * tf.range(number, 0, -1)
    return tf.strings.substr(tf.io.serialize_tensor(values)[tf.newaxis], starts, tf.fill([number], size))


def to_int16(numbers: Any) -> Any:
    """Returns finite floats as the nearest whole numbers that int16 has."""
    return tf.cast(tf.clip_by_value(tf.round(numbers), -32768, 32767), tf.int16)


def checked(values: Any, condition: Any, *message: Any) -> Any:
    """Returns a tensor, or several; the call is an InvalidArgumentError unless a condition holds.

    Its line is made of texts and tensors of strings, none of them from a request: that may be no UTF-8.
    """
    with tf.control_dependencies([tf.debugging.Assert(condition, [tf.strings.join(message)])]):
        return tf.nest.map_structure(tf.identity, values)


def times(sizes: Any) -> Any:
    """Returns numbers as a string: [3, 4, 5] -> "3×4×5"."""
    return tf.strings.reduce_join(tf.strings.as_string(sizes), separator="×")
