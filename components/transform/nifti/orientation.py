"""Which axis of a file goes along which one of the body, and volumes turned from one to the other."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import tensorflow as tf

# Depth, height and width go to the head, the front and the right, which affines name the other way round.
_TURNED: Final = (2, 1, 0)
_NUM_AXES: Final = 3


class Orientation(NamedTuple):
    """Of depth, height and width, int32[3]: the file's axis, and 1, or -1 where that goes the other way."""

    file_axes: Any
    steps: Any


def orientation_of(affine: Any) -> Orientation:
    """Returns the orientation of an affine, float64[3, 3], whose columns are steps along the file's axes.

    nibabel's `io_orientation`: of the rotation that is nearest to the affine, the column with the largest
    entry chooses first, and rows that are taken count no longer.
    """
    scaled = affine / tf.norm(affine, axis=0)
    _, left, right = tf.linalg.svd(scaled)
    rotation = tf.matmul(left, right, transpose_b=True)
    file_axes = tf.argsort(-tf.reduce_max(rotation**2, axis=0), stable=True)
    is_free = tf.ones(_NUM_AXES, tf.float64)
    places, steps = [], []
    for file_axis in tf.unstack(file_axes, _NUM_AXES):
        column = rotation[:, file_axis] * is_free
        place = tf.argmax(tf.abs(column))
        is_free *= 1 - tf.one_hot(place, _NUM_AXES, dtype=tf.float64)
        places.append(place)
        steps.append(tf.where(column[place] < 0, -1, 1))
    in_order = tf.gather(tf.argsort(places), _TURNED)
    return Orientation(tf.gather(file_axes, in_order), tf.gather(steps, in_order))


def to_canonical(voxels: Any, orientation: Orientation) -> Any:
    """Returns [depth, height, width] of voxels as they lie in a file, whose last axis is the file's first."""
    return _in_steps(tf.transpose(voxels, _NUM_AXES - 1 - orientation.file_axes), orientation.steps)


def to_file_axes(voxels: Any, orientation: Orientation) -> Any:
    """Returns [depth, height, width] in the file's own axes, the first one first."""
    return tf.transpose(
        _in_steps(voxels, orientation.steps), tf.math.invert_permutation(orientation.file_axes)
    )


def _in_steps(voxels: Any, steps: Any) -> Any:
    return tf.reverse(voxels, tf.where(steps < 0)[:, 0])
