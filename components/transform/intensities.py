"""What intensities a train split has: counts of each value, and mean, deviation and percentiles of them."""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf
import tensorflow_transform as tft

# Of int16.
_LOWEST: Final = -32768
_NUM_VALUES: Final = 65536
# That an example is known by. A prime number, so that steps of equal length do not follow rows or planes.
_MOST_VOXELS: Final = 10_007


def learn_normalization(images: Any, labels: Any | None, percentiles: tuple[float, float]) -> Any:
    """Returns mean, deviation and both percentiles, float32[4], of the whole split's foreground.

    `images` and `labels`, string[batch], are bytes of int16 and uint8. Foreground is what has another label
    than 0; where the split has none, or no labels, all voxels count. Of an example up to 10,007 voxels do,
    equally far apart. The values are whole numbers, so their counts are all there is to know, and a worker
    keeps a megabyte of them.
    """
    counts = tft.sum(_counts(images, labels)[tf.newaxis], reduce_instance_dims=False)
    of_all, of_foreground = tf.unstack(tf.reshape(counts, (2, _NUM_VALUES)))
    return normalization_of(tf.where(tf.reduce_any(of_foreground > 0), of_foreground, of_all), percentiles)


def _counts(images: Any, labels: Any | None) -> Any:
    """Returns how often each value is there, int64[2, 65536]: in all voxels, and in the foreground."""
    if labels is None:
        labels = tf.zeros_like(images)
    none = tf.zeros((2, _NUM_VALUES), tf.int64)
    return tf.foldl(lambda sums, example: sums + _counts_of_one(*example), (images, labels), none)


def _counts_of_one(image: Any, label: Any) -> Any:
    voxels = tf.io.decode_raw(image, tf.int16)
    foreground = tf.where(tf.io.decode_raw(label, tf.uint8))[:, 0]
    places = _spread(tf.size(voxels, tf.int64)), tf.gather(foreground, _spread(tf.size(foreground, tf.int64)))
    return tf.stack([_histogram(tf.gather(voxels, each)) for each in places])


def _spread(size: Any) -> Any:
    """Returns up to 10,007 of the numbers from 0 to before `size`, equally far apart."""
    number = tf.minimum(size, _MOST_VOXELS)
    return tf.range(number) * size // tf.maximum(number, 1)


def _histogram(values: Any) -> Any:
    places = tf.cast(values, tf.int32) - _LOWEST
    return tf.math.bincount(places, minlength=_NUM_VALUES, maxlength=_NUM_VALUES, dtype=tf.int64)


def normalization_of(counts: Any, percentiles: tuple[float, float]) -> Any:
    """Returns mean, deviation (never 0) and both percentiles, float32[4], of counts int64[65536]."""
    values = tf.range(_LOWEST, _LOWEST + _NUM_VALUES, dtype=tf.float64)
    weights = tf.cast(counts, tf.float64) / tf.cast(tf.maximum(tf.reduce_sum(counts), 1), tf.float64)
    mean = tf.reduce_sum(weights * values)
    deviation = tf.sqrt(tf.reduce_sum(weights * (values - mean) ** 2))
    bounds = [_percentile(counts, each) for each in percentiles]
    return tf.cast(tf.stack([mean, tf.where(deviation > 0, deviation, 1), *bounds]), tf.float32)


def _percentile(counts: Any, percentile: float) -> Any:
    """Returns the lowest value, float64, that so many percent of the voxels do not exceed."""
    below = tf.cumsum(counts)
    wanted = tf.math.ceil(tf.cast(below[-1], tf.float64) * percentile / 100)
    place = tf.searchsorted(below, tf.cast(tf.maximum(wanted, 1), tf.int64)[tf.newaxis])[0]
    return tf.cast(place + _LOWEST, tf.float64)
