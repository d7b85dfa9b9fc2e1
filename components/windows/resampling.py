"""Volumes on another grid, in a graph: components/formats/resampling.py says how, in NumPy.

Extents are aligned: from n to m voxels along an axis, voxel i is at (i + 0.5) * n / m - 0.5 of the first
grid, or at its border where that is outside. Volumes of a batch lie one after another in one flat tensor, and
are made plane by plane, so that nothing as large as a volume is ever float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from components.features import SHAPE
from components.formats.resampling import MAX_GROWTH, MAX_VOXELS


def new_shape(shape: Any, spacing_mm: Any, target_mm: Sequence[float]) -> Any:
    """Returns the voxels along each axis of the same extent: int64[n, 3] of int64[n, 3].

    InvalidArgumentError for volumes of more than MAX_VOXELS, or MAX_GROWTH times as many as before.
    """
    shape = tf.cast(shape, tf.float64)
    extent = shape * tf.cast(spacing_mm, tf.float64)
    sizes = tf.maximum(tf.floor(extent / tf.constant(target_mm, tf.float64) + 0.5), 1)
    unit = f" of {'×'.join(f'{each:g}' for each in target_mm)} mm"
    sizes = bounded(sizes, MAX_VOXELS, f"{MAX_VOXELS:,} voxels{unit}")
    most = MAX_GROWTH * tf.reduce_prod(shape, axis=1)
    return bounded(sizes, most, f"{MAX_GROWTH:,} voxels{unit} for each one")


def bounded(sizes: Any, most: Any, words: str) -> Any:
    """Returns sizes of volumes, [n, 3], as int64; InvalidArgumentError for more voxels than `most` in one."""
    # Of floats, since products may be more than an integer holds.
    sizes = tf.cast(sizes, tf.float64)
    is_bounded = tf.reduce_prod(sizes, axis=1) <= most
    others = tf.strings.as_string(tf.boolean_mask(sizes, ~is_bounded), precision=0)
    got = tf.strings.reduce_join(tf.strings.reduce_join(others, axis=1, separator="×"), separator=", ")
    message = tf.strings.join([f"{SHAPE}: expected at most {words}, got ", got])
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(is_bounded), [message])]):
        return tf.cast(sizes, tf.int64)


def starts(shapes: Any) -> Any:
    """Returns where each volume of int64[n, 3] starts in the flat tensor of all: int64[n]."""
    return tf.cumsum(tf.reduce_prod(shapes, axis=1), exclusive=True)


class Between(NamedTuple):
    """Two voxels of an axis that a voxel of another grid lies between, and the share of the second one."""

    low: Any
    high: Any
    share: Any

    @classmethod
    def of(cls, voxels: Any, size_in: Any, size_out: Any) -> Between:
        """Returns what voxels of an axis that gets `size_out` lie between; all int64."""
        # Whole numbers, in which a position is exact.
        parts = 2 * size_out
        at = tf.clip_by_value((2 * voxels + 1) * size_in - size_out, 0, (size_in - 1) * parts)
        share = tf.cast(at % parts, tf.float64) / tf.cast(parts, tf.float64)
        return cls(at // parts, tf.minimum(at // parts + 1, size_in - 1), tf.cast(share, tf.float32))


def nearest(voxels: Any, size_in: Any, size_out: Any) -> Any:
    """Returns the voxel of an axis of `size_in` that each voxel of one of `size_out` lies in; all int64."""
    return (2 * voxels + 1) * size_in // (2 * size_out)


def linear_plane(low: Any, high: Any, share: Any, size: Any) -> Any:
    """Returns float32[*size, …] between two planes float32[height, width, …]; `share` is the second one's.

    `size` is int64[2].
    """
    plane = low + (high - low) * share
    for axis in (0, 1):
        across = Between.of(tf.range(size[axis]), tf.shape(plane, tf.int64)[axis], size[axis])
        first, second = (tf.gather(plane, at, axis=axis) for at in (across.low, across.high))
        shares = tf.reshape(across.share, [-1] + [1] * (len(plane.shape) - 1 - axis))
        plane = first + (second - first) * shares
    return plane


def resampled_images(flat: Any, shapes: Any, targets: Any) -> Any:
    """Returns flat int16 volumes of int64[n, 3] voxels with those of `targets`: linear, rounded."""

    def plane(planes: Any, index: Any, target: Any) -> Any:
        at = Between.of(index, tf.shape(planes, tf.int64)[0], target[0])
        low, high = (tf.cast(planes[each], tf.float32) for each in (at.low, at.high))
        return tf.cast(tf.round(linear_plane(low, high, at.share, target[1:])), tf.int16)

    return _resampled(flat, shapes, targets, plane)


def resampled_labels(flat: Any, shapes: Any, targets: Any) -> Any:
    """Returns the same of flat uint8 labels: each voxel has that of the one that it lies in."""

    def plane(planes: Any, index: Any, target: Any) -> Any:
        shape = tf.shape(planes, tf.int64)
        rows, columns = (nearest(tf.range(target[axis]), shape[axis], target[axis]) for axis in (1, 2))
        return tf.gather(tf.gather(planes[nearest(index, shape[0], target[0])], rows), columns, axis=1)

    return _resampled(flat, shapes, targets, plane)


def unraveled(indices: Any, shapes: Any) -> Any:
    """Returns depth, row and column of voxels of flat volumes: int64[…, 3] of int64[…] and int64[…, 3]."""
    _, height, width = tf.unstack(shapes, axis=-1)
    return tf.stack([indices // (height * width), indices // width % height, indices % width], axis=-1)


def moved_voxels(indices: Any, shapes: Any, targets: Any) -> Any:
    """Returns where voxels of flat volumes, int64[n, any], lie in flat ones of `targets` voxels."""
    sizes, target_sizes = shapes[:, None], targets[:, None]
    places = nearest(unraveled(indices, sizes), target_sizes, sizes)
    return (places[..., 0] * target_sizes[..., 1] + places[..., 1]) * target_sizes[..., 2] + places[..., 2]


def _resampled(flat: Any, shapes: Any, targets: Any, plane: Callable[[Any, Any, Any], Any]) -> Any:
    """Returns volumes of the planes that `plane` makes of one, the index of a plane and the target."""
    rows = tf.repeat(tf.range(tf.shape(targets, tf.int64)[0]), targets[:, 0])
    indices = tf.ragged.range(targets[:, 0]).values
    begins = starts(shapes)

    def write(position: Any, written: Any) -> tuple[Any, Any]:
        row = rows[position]
        end = begins[row] + tf.reduce_prod(shapes[row])
        made = plane(tf.reshape(flat[begins[row] : end], shapes[row]), indices[position], targets[row])
        return position + 1, written.write(position, tf.reshape(made, [-1]))

    def loop() -> Any:
        planes = tf.TensorArray(flat.dtype, tf.size(rows), infer_shape=False, element_shape=[None])
        _, written = tf.while_loop(lambda position, _: position < tf.size(rows), write, (0, planes))
        return written.concat()

    return tf.cond(tf.reduce_all(shapes == targets), lambda: flat, loop)
