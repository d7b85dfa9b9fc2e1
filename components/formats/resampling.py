"""Volumes on grids of other spacings, with extents aligned: the centres of voxels lie half a voxel inside.

Along an axis from n_in to n_out voxels, output i is at (i + 0.5) * n_in / n_out - 0.5 of the input, as
tf.image.resize and skimage have it; what lies beyond the first and the last centre has their values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.formats.nifti import Box

Shape = tuple[int, int, int]

# Of a grid that a volume comes to: more than any scan has, and what unit or spacing may make of a small one.
MAX_VOXELS: Final = 1 << 31
# And for each voxel that it has, where ten along each axis are more than anybody resamples to.
MAX_GROWTH: Final = 1000
# Voxels of the input that are held as float32 at once: few, since memory of 32 MiB and more is asked of the
# system anew each time, which takes longer than to resample.
_BLOCK_VOXELS: Final = 1 << 22


class _Axis(NamedTuple):
    """Where some outputs along an axis are: between two neighbours each, the second of some weight."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    weight: NDArray[np.float32]

    def at(self, outputs: slice) -> _Axis:
        """The same of some of the outputs."""
        return _Axis(self.low[outputs], self.high[outputs], self.weight[outputs])


def new_shape(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> Shape:
    """Returns how many voxels of another spacing have the extent of a volume; at least 1 along each axis.

    new_shape((30, 101, 122), (3, 3, 3), (1.5, 3, 6)) -> (60, 101, 61)
    """
    depth, height, width = (
        max(1, math.floor(size * old / new + 0.5))
        for size, old, new in zip(shape, spacing, target, strict=True)
    )
    return depth, height, width


def most_voxels(count: int) -> int:
    """Returns how many voxels a volume of so many may come to."""
    return min(MAX_VOXELS, MAX_GROWTH * count)


def linear(voxels: NDArray[Any], shape: Sequence[int]) -> NDArray[np.int16]:
    """Returns a volume [depth, height, width] at `shape`: trilinear, rounded to int16."""
    return linear_box(lambda box: voxels[box.slices], voxels.shape, shape, whole(shape))


def nearest(labels: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """Returns a volume [depth, height, width] at `shape`: each voxel as the nearest one, of the same type."""
    return nearest_box(lambda box: labels[box.slices], labels.shape, shape, whole(shape))


def linear_box(
    read: Callable[[Box], NDArray[Any]], shape_in: Sequence[int], shape_out: Sequence[int], box: Box
) -> NDArray[np.int16]:
    """Returns a box of what `linear` returns; `read` gives boxes of the input, in order."""
    axes = [_between(*sizes) for sizes in zip(shape_in, shape_out, box.start, box.stop, strict=True)]
    # What shrinks most comes first, so that the others have less to do.
    order = sorted(range(len(axes)), key=lambda number: shape_out[number] / shape_in[number])
    found = np.empty([len(axis.low) for axis in axes], np.int16)
    for planes in _planes(axes[0], _spanned(axes)):
        taken = [axes[0].at(planes), *axes[1:]]
        part = _spanned(taken)
        values = read(part)
        for number in order:
            values = _interpolated(values, number, taken[number], part.start[number])
        found[planes] = np.rint(values) if values.dtype.kind == "f" else values
    return found


def nearest_box(
    read: Callable[[Box], NDArray[Any]], shape_in: Sequence[int], shape_out: Sequence[int], box: Box
) -> NDArray[Any]:
    """Returns a box of what `nearest` returns; `read` gives boxes of the input, in order."""
    axes = [_nearest(*sizes) for sizes in zip(shape_in, shape_out, box.start, box.stop, strict=True)]
    parts = []
    for planes in _planes(axes[0], _spanned(axes)):
        taken = [axes[0].at(planes), *axes[1:]]
        part = _spanned(taken)
        labels = read(part)
        for number, axis in enumerate(taken):
            labels = _taken(labels, number, axis.low - part.start[number])
        parts.append(labels)
    return np.concatenate(parts)


def whole(shape: Sequence[int]) -> Box:
    """Returns the box of all voxels."""
    depth, height, width = (int(size) for size in shape)
    return Box((0, 0, 0), (depth, height, width))


def _between(n_in: int, n_out: int, start: int, stop: int) -> _Axis:
    at = np.clip((np.arange(start, stop) + 0.5) * n_in / n_out - 0.5, 0, n_in - 1)
    low = np.floor(at).astype(np.int64)
    return _Axis(low, np.minimum(low + 1, n_in - 1), (at - low).astype(np.float32))


def _nearest(n_in: int, n_out: int, start: int, stop: int) -> _Axis:
    # (i + 0.5) * n_in / n_out in integers, which no rounding moves.
    places = (2 * np.arange(start, stop) + 1) * n_in // (2 * n_out)
    return _Axis(places, places, np.zeros(len(places), np.float32))


def _spanned(axes: Sequence[_Axis]) -> Box:
    """Returns the box of the input that these outputs lie in."""
    start = tuple(int(axis.low[0]) for axis in axes)
    stop = tuple(int(_last(axis)) + 1 for axis in axes)
    return Box(start, stop)  # type: ignore[arg-type]


def _last(axis: _Axis) -> int:
    # A neighbour of no weight is not read.
    return int(axis.high[-1] if axis.weight[-1] else axis.low[-1])


def _planes(depth: _Axis, source: Box) -> Iterator[slice]:
    """Yields slices of the outputs along depth whose inputs fit into a block."""
    (first, *lows), (last, *highs) = source.start, source.stop
    plane = math.prod(high - low for low, high in zip(lows, highs, strict=True))
    per_output = max(1.0, (last - first) / len(depth.low))
    step = max(1, int(_BLOCK_VOXELS / plane / per_output))
    yield from (slice(start, start + step) for start in range(0, len(depth.low), step))


def _interpolated(values: NDArray[Any], number: int, axis: _Axis, start: int) -> NDArray[Any]:
    """Returns voxels at other places along one axis, of which the first has the index `start`."""
    if not axis.weight.any():
        return _taken(values, number, axis.low - start)
    # A neighbour of no weight may lie beyond.
    places = np.minimum(axis.high - start, values.shape[number] - 1)
    if len(places) > values.shape[number] // 2:
        values = values.astype(np.float32, copy=False)
    low = _taken(values, number, axis.low - start).astype(np.float32, copy=False)
    high = values.take(places, number).astype(np.float32, copy=False)
    high -= low
    high *= axis.weight.reshape([-1 if each == number else 1 for each in range(values.ndim)])
    high += low
    return high


def _taken(values: NDArray[Any], number: int, places: NDArray[np.int64]) -> NDArray[Any]:
    """Returns some of the voxels along an axis; a view of all."""
    if len(places) == values.shape[number] and places[-1] - places[0] == len(places) - 1:
        return values
    return values.take(places, number)
