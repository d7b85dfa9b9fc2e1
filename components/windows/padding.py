"""Features of variable length as dense batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf


def pad(features: Mapping[str, Any], multiple_of: int = 1) -> dict[str, Any]:
    """Returns dense features: a batch of variable lengths is filled up with 0, to a multiple.

    pad({"token_ids": [[7, 31], [5]]}, 4) -> {"token_ids": [[7, 31, 0, 0], [5, 0, 0, 0]]}
    """
    return {name: _pad(value, multiple_of) for name, value in features.items()}


def _pad(value: Any, multiple_of: int) -> Any:
    if isinstance(value, tf.SparseTensor):
        value = tf.RaggedTensor.from_sparse(value)
    if not isinstance(value, tf.RaggedTensor):
        return value
    dense = value.to_tensor()
    length = tf.shape(dense)[1]
    padded_length = tf.maximum(-(-length // multiple_of), 1) * multiple_of
    return tf.pad(dense, [[0, 0], [0, padded_length - length]])
