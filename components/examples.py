"""Raw records as tf.Examples, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.features import Feature
from components.protocols import Raw, Record, Value

if TYPE_CHECKING:
    import tensorflow as tf


def to_example(record: Record) -> tf.train.Example:
    """Returns {"label": 7} as a tf.Example; a feature is one value or a sequence of one type."""
    import tensorflow as tf

    features = {key: _to_feature(value) for key, value in record.items()}
    return tf.train.Example(features=tf.train.Features(feature=features))


def to_raw(serialized: bytes, features: Mapping[str, Feature]) -> Raw:
    """Returns the declared raw features of a serialized tf.Example: one value as it is, others as a list."""
    import tensorflow as tf

    found = tf.train.Example.FromString(serialized).features.feature
    raw: dict[str, Any] = {}
    for key, feature in features.items():
        kind = found[key].WhichOneof("kind")
        values = list(getattr(found[key], kind).value) if kind else []
        raw[key] = values[0] if feature.shape == () and values else values
    return raw


def _to_feature(value: Value | Sequence[Value]) -> tf.train.Feature:
    import tensorflow as tf

    values = [value] if isinstance(value, (bytes, int, float)) else value
    if not values:
        return tf.train.Feature()
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))
