"""Which voxels of a volume a patch has, axis by axis, in a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf


class Axes(NamedTuple):
    """What belongs to each voxel of some patches along depth, height and width: [patches, size] each."""

    depth: Any
    height: Any
    width: Any

    def joined(self, join: Callable[[Any, Any], Any]) -> Any:
        """Returns [patches, depth, height, width]: of all three, what `join` makes of two."""
        planes, rows = self.depth[:, :, None, None], self.height[:, None, :, None]
        return join(join(planes, rows), self.width[:, None, None, :])

    def inside(self, grids: Any) -> Axes:
        """Returns which of these voxels lie in the volumes of int64[patches, 3] voxels: bool."""
        return Axes(*((each >= 0) & (each < grids[:, axis, None]) for axis, each in enumerate(self)))

    def clipped(self, grids: Any) -> Axes:
        """Returns the nearest voxels in the volumes of int64[patches, 3] voxels."""
        return Axes(*(tf.clip_by_value(each, 0, grids[:, axis, None] - 1) for axis, each in enumerate(self)))

    def flat(self, grids: Any, starts: Any) -> Any:
        """Returns where these voxels are in flat volumes that start at int64[patches]: int64[patches, …]."""
        planes, rows, columns = self.clipped(grids)
        height, width = grids[:, 1, None], grids[:, 2, None]
        return Axes(starts[:, None] + planes * height * width, rows * width, columns).joined(tf.add)


def voxels(places: Any, patch: Sequence[int]) -> Axes:
    """Returns where the voxels of patches are; the last one is first along an axis that is mirrored."""
    found = []
    for axis, size in enumerate(patch):
        offsets = tf.range(size, dtype=tf.int64)
        mirrored = places[:, -1:] // 2 ** (len(patch) - 1 - axis) % 2 == 1
        found.append(places[:, axis + 1, None] + tf.where(mirrored, size - 1 - offsets, offsets))
    return Axes(*found)
