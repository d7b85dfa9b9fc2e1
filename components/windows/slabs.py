"""Class scores of the windows of large volumes to labels, of which only a slab is in memory.

Windows come example by example and from plane 0 on. What lies before the planes of the next one is finished:
it is resampled to the example's own grid, and of each voxel only the class with the highest score is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import tensorflow as tf

from components.features import GRID, LABEL, SHAPE
from components.formats.resampling import MAX_VOXELS
from components.windows.patch_voxels import Axes
from components.windows.resampling import Between, bounded, linear_plane

Tensors = Mapping[str, Any]

# float64[n, num_classes]: voxels of each class; NaN once a score is no number.
VOXELS: Final = "voxels"
# float32[voxels of the slab, num_classes], whose planes take turns, and which of the grid is its first one.
_SCORES, _FIRST = "scores", "first"
# Which example the slab is of, and how many of its planes have labels.
_ROW, _DONE = "row", "done"


def start(features: Tensors, depth: int, num_classes: int) -> dict[str, Any]:
    """Returns the state before any window; they are of `depth` planes."""
    shapes, grids = features[SHAPE], features[GRID]
    largest = tf.reduce_max(shapes, axis=0)
    # One more than a window has: the last finished plane is a neighbour of voxels that are not finished.
    planes = tf.minimum(tf.reduce_max(grids[:, 0]), depth) + 1
    voxels = planes * tf.reduce_max(grids[:, 1] * grids[:, 2])
    count = tf.shape(shapes, tf.int64)[0]
    return {
        _SCORES: tf.zeros(tf.stack([voxels, num_classes])),
        _FIRST: tf.constant(-1, tf.int64),
        _ROW: tf.constant(0, tf.int64),
        _DONE: tf.constant(0, tf.int64),
        LABEL: tf.zeros(_all_planes(count, largest), tf.uint8),
        VOXELS: tf.zeros(tf.stack([count, num_classes]), tf.float64),
        SHAPE: shapes,
        GRID: grids,
    }


def _all_planes(count: Any, largest: Any) -> Any:
    """Returns the size of the planes of all examples, each filled up to the largest: int64[3]."""
    planes = tf.concat([[count * largest[0]], largest[1:]], axis=0)
    words = f"{MAX_VOXELS:,} voxels in a batch, each volume filled up to the largest"
    return bounded(planes[tf.newaxis], MAX_VOXELS, words)[0]


def added(state: Tensors, places: Any, voxels: Axes, scores: Any) -> dict[str, Any]:
    """Returns the state with scores of windows, float32[windows, depth, height, width, num_classes].

    Places are int64[windows, 2 + k]: row and first plane come first.
    """

    def add(window: Any, state: Tensors) -> tuple[Any, dict[str, Any]]:
        state = _moved(state, places[window, 0], tf.maximum(places[window, 1], 0) - 1)
        index = _indices(state, *(each[window] for each in voxels))
        flat = tf.reshape(scores[window], [-1, scores.shape[-1]])
        return window + 1, {**state, _SCORES: tf.tensor_scatter_nd_add(state[_SCORES], index, flat)}

    count = tf.shape(places)[0]
    _, state = tf.while_loop(
        lambda window, _: window < count, add, (tf.constant(0), dict(state)), parallel_iterations=1
    )
    return dict(state)


def _indices(state: Tensors, planes: Any, rows: Any, columns: Any) -> Any:
    """Returns where voxels of a window are in the slab: int64[voxels, 1]."""
    _, height, width = tf.unstack(state[GRID][state[_ROW]])
    places = planes % _num_planes(state)
    index = (places[:, None, None] * height + rows[:, None]) * width + columns
    return tf.reshape(index, [-1, 1])


def finished(state: Tensors) -> dict[str, Any]:
    """Returns `label` uint8[n, depth, height, width] and VOXELS, once all windows have been added."""
    state = _labelled(state, state[GRID][state[_ROW]][0])
    largest = tf.reduce_max(state[SHAPE], axis=0)
    return {LABEL: tf.reshape(state[LABEL], tf.concat([[-1], largest], axis=0)), VOXELS: state[VOXELS]}


def _moved(state: Tensors, row: Any, first: Any) -> dict[str, Any]:
    """Returns the state whose slab begins at plane `first` of an example; the same one where it does."""
    stays = row == state[_ROW]
    state = _labelled(state, tf.where(stays, first + 1, state[GRID][state[_ROW]][0]))
    # Not before all labels are there, or the slab would be copied.
    with tf.control_dependencies([state[LABEL], state[VOXELS]]):
        scores = _emptied(state, tf.where(stays, first, state[_FIRST] + _num_planes(state)))
    done = tf.where(stays, state[_DONE], 0)
    return {**state, _SCORES: scores, _FIRST: first, _ROW: row, _DONE: done}


def _emptied(state: Tensors, stop: Any) -> Any:
    """Returns the scores with 0 in all planes of the slab before `stop`."""
    count, size = _num_planes(state), _plane_size(state)

    def empty(plane: Any, scores: Any) -> tuple[Any, Any]:
        index = (plane % count * size + tf.range(size))[:, None]
        return plane + 1, tf.tensor_scatter_nd_update(scores, index, tf.zeros([size, scores.shape[-1]]))

    return tf.while_loop(lambda plane, _: plane < stop, empty, (state[_FIRST], state[_SCORES]))[1]


def _labelled(state: Tensors, stop: Any) -> dict[str, Any]:
    """Returns the state with labels of all voxels whose neighbours on the grid lie before plane `stop`."""
    row = state[_ROW]
    grid, shape = state[GRID][row], state[SHAPE][row]
    first = row * tf.reduce_max(state[SHAPE][:, 0])

    def write(index: Any, label: Any, voxels: Any) -> tuple[Any, Any, Any]:
        at = Between.of(index, grid[0], shape[0])
        low, high = (_plane(state, each) for each in (at.low, at.high))
        scores = linear_plane(low, high, at.share, shape[1:])
        highest = tf.argmax(scores, axis=-1, output_type=tf.int32)
        filled = _filled_up(tf.cast(highest, tf.uint8), tf.shape(label)[1:])
        return (
            index + 1,
            tf.tensor_scatter_nd_update(label, [[first + index]], filled[None]),
            tf.tensor_scatter_nd_add(voxels, [[row]], _counted(highest, scores)[None]),
        )

    end = _num_between(stop, grid[0], shape[0])
    done, label, voxels = tf.while_loop(
        lambda index, *_: index < end, write, (state[_DONE], state[LABEL], state[VOXELS])
    )
    return {**state, _DONE: done, LABEL: label, VOXELS: voxels}


def _plane(state: Tensors, plane: Any) -> Any:
    """Returns the scores of a plane in the slab: float32[height, width, num_classes]."""
    scores, size = state[_SCORES], _plane_size(state)
    start = plane % _num_planes(state) * size
    _, height, width = tf.unstack(state[GRID][state[_ROW]])
    return tf.reshape(scores[start : start + size], tf.stack([height, width, scores.shape[-1]]))


def _num_planes(state: Tensors) -> Any:
    """Returns how many planes the slab has room for; plane i is in place i modulo that."""
    # Of a batch, only the largest plane fills the slab.
    return tf.shape(state[_SCORES], tf.int64)[0] // _plane_size(state)


def _plane_size(state: Tensors) -> Any:
    return tf.reduce_prod(state[GRID][state[_ROW]][1:])


def _filled_up(plane: Any, size: Any) -> Any:
    """Returns a plane with 0 where it is smaller than int32[2] voxels."""
    missing = size - tf.shape(plane)
    return tf.pad(plane, tf.stack([tf.zeros_like(missing), missing], axis=1))


def _num_between(stop: Any, size_in: Any, size_out: Any) -> Any:
    """Returns how many voxels of an axis have all their neighbours on one of `size_in` before `stop`."""
    # Voxel i is at ((2 * i + 1) * size_in / size_out - 1) / 2: all for which that is below stop - 1.
    below = -(((1 - 2 * stop) * size_out + size_in) // (2 * size_in))
    return tf.where(stop == size_in, size_out, tf.clip_by_value(below, 0, size_out))


def _counted(classes: Any, scores: Any) -> Any:
    """Returns float64[num_classes]: voxels of each class, or NaN where a score is no number."""
    count = scores.shape[-1]
    counts = tf.math.bincount(tf.reshape(classes, [-1]), minlength=count, maxlength=count, dtype=tf.float64)
    is_finite = tf.reduce_all(tf.math.is_finite(scores))
    return tf.where(is_finite, counts, tf.constant(float("nan"), tf.float64))
