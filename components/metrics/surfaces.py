"""How far the surfaces of two masks are from each other, in millimetres.

As MONAI has it: the surface of a mask is its voxels of which one of the six neighbours is not in it, and each
of them counts the same. Beyond the array nothing is in a mask. Surface Dice: S. Nikolov et al., Deep learning
to achieve clinically applicable segmentation of head and neck anatomy (arxiv.org/abs/1809.04430), whose
authors weight pieces of a surface by their area.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

# Of the voxels of a box: with fewer, a tree of points takes a third to a tenth of the time of a distance
# transform, which does not grow with them.
_FEW: Final = 1 / 15
_POINTS_OF_LEAF: Final = 32
# Spacings are stored as float32, of which five times 0.4 is more than 2.
_ROUNDING_MM: Final = 1e-5


class Distances(NamedTuple):
    """From each voxel of one surface to the nearest of the other, float64[voxels] in mm, both ways."""

    there: NDArray[Any]
    back: NDArray[Any]

    def robust_mm(self, share: float = 0.95) -> float:
        """Returns what this share of the distances is below; of both ways the greater one."""
        return float(max(np.quantile(self.there, share), np.quantile(self.back, share)))

    def dice(self, tolerance_mm: float) -> float:
        """Returns the share of both surfaces that is no farther from the other one."""
        both = np.concatenate(self)
        return float(np.mean(both <= tolerance_mm + _ROUNDING_MM))


def distances(mask: Mask, other: Mask, spacing_mm: Sequence[float]) -> Distances:
    """Returns the distances between the surfaces of two masks, bool[d, h, w], neither of which is empty.

    Along an axis of one voxel nothing has neighbours: the surface of a mask in a single slice is its contour.
    """
    box = bounding_box(mask | other)
    axes = [axis for axis, size in enumerate(mask.shape) if size > 1] or range(mask.ndim)
    ours, theirs = surface(mask[box], axes), surface(other[box], axes)
    few = np.count_nonzero(ours) + np.count_nonzero(theirs) < _FEW * ours.size
    nearest = _by_tree if few else _by_transform
    return Distances(nearest(ours, theirs, spacing_mm), nearest(theirs, ours, spacing_mm))


def bounding_box(mask: Mask, margin: int = 0) -> tuple[slice, ...]:
    """Returns the smallest box that holds a mask, and a margin within the array; empty for an empty mask."""
    axes = range(mask.ndim)
    lines = [np.flatnonzero(mask.any(axis=tuple(set(axes) - {axis}))) for axis in axes]
    return tuple(
        slice(max(line[0] - margin, 0), line[-1] + 1 + margin) if line.size else slice(0, 0) for line in lines
    )


def surface(mask: Mask, axes: Iterable[int] = (0, 1, 2)) -> Mask:
    """Returns the voxels of a mask that have a neighbour along one of the axes outside of it."""
    around, inner = np.pad(mask, 1), mask.copy()
    for axis in axes:
        for start in (0, 2):
            moved = [slice(1, -1)] * mask.ndim
            moved[axis] = slice(start, start + mask.shape[axis])
            inner &= around[tuple(moved)]
    return mask & ~inner


def _by_tree(surface: Mask, other: Mask, spacing_mm: Sequence[float]) -> NDArray[Any]:
    # Tasks are imported by every command; SciPy takes longer than all of them.
    from scipy.spatial import KDTree

    tree = KDTree(np.argwhere(other) * spacing_mm, leafsize=_POINTS_OF_LEAF)
    return tree.query(np.argwhere(surface) * spacing_mm)[0]


def _by_transform(surface: Mask, other: Mask, spacing_mm: Sequence[float]) -> NDArray[Any]:
    from scipy import ndimage

    return ndimage.distance_transform_edt(~other, sampling=spacing_mm)[surface]
