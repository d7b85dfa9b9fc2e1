"""Volumes as NumPy saves arrays, [depth, height, width] as everything here; their spacing has to be told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from components.formats.errors import FormatError, unreadable
from components.formats.nifti import Box, check_finite

SUFFIX: Final = ".npy"
_NUM_AXES: Final = 3
# Voxels that are read at once where all are looked at.
_BLOCK_VOXELS: Final = 1 << 22


class NpyVolume:
    """A file whose header was read and found right; voxels are read when they are asked for.

    Its axes go from the feet to the head, from the back to the front, and from left to right. Raises
    FormatError where it is no array of numbers, or has another number of axes than three.
    """

    def __init__(self, path: Path, spacing_mm: Sequence[float]) -> None:
        self.path = path
        depth, height, width = spacing_mm
        # Millimetres between voxels along depth, height and width.
        self.spacing_mm = (float(depth), float(height), float(width))
        self._voxels = _mapped(path)
        depth_voxels, height_voxels, width_voxels = _checked(path, self._voxels).shape
        self.shape = (depth_voxels, height_voxels, width_voxels)

    def read(self, box: Box) -> NDArray[Any]:
        """Returns the voxels of a box; raises FormatError for one that is not finite."""
        return check_finite(self.path, np.array(self._voxels[box.slices]), box.start)

    def blocks(self) -> Iterator[tuple[Box, NDArray[Any]]]:
        """Yields all voxels once, block by block; raises FormatError for one that is not finite."""
        depth = self.shape[0]
        step = max(1, _BLOCK_VOXELS * depth // math.prod(self.shape))
        for first in range(0, depth, step):
            box = Box((0, 0, 0), self.shape).cut(0, first, min(first + step, depth))
            yield box, self.read(box)

    def check_matches(self, scan: NpyVolume) -> None:
        """Raises FormatError unless this mask has the shape of a scan."""
        if self.shape != scan.shape:
            expected = f"{_times(scan.shape)} voxels as {scan.path.name} has"
            raise FormatError(f"{self.path}: expected {expected}, got {_times(self.shape)}")


def _mapped(path: Path) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, EOFError) as error:
        said = " ".join(str(error).split())
        raise FormatError(f"{path}: expected an array of numbers, got: {said}") from error
    return found


def _checked(path: Path, voxels: NDArray[Any]) -> NDArray[Any]:
    if not isinstance(voxels, np.ndarray) or voxels.dtype.kind not in "biuf":
        raise FormatError(
            f"{path}: expected a number for each voxel, got {getattr(voxels, 'dtype', 'several arrays')}"
        )
    if voxels.ndim != _NUM_AXES or not voxels.size:
        raise FormatError(f"{path}: expected three axes, got {_times(voxels.shape)} voxels")
    return voxels


def _times(sizes: Sequence[int]) -> str:
    return "×".join(map(str, sizes)) or "0"
