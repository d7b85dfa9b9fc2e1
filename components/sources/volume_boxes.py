"""A scan and its mask to boxes on the working grid: all voxels are looked at, then a row of boxes is read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.formats.errors import FormatError
from components.formats.nifti import Box
from components.formats.resampling import Shape, linear_box, nearest_box
from components.sources.volume_files import VoxelFile

# Between air and water, in Hounsfield units: what is above it is the patient, and the table.
BODY_HU: Final = -500
# The highest intensity of most CT scanners: 12 bits from -1024.
MAX_HU: Final = 3071
# Indices of voxels that an example has at most.
MAX_FOREGROUND: Final = 4096
_UNKNOWN: Final = 255
_MAX_SHOWN: Final = 10


class LabelIds(NamedTuple):
    """The class of each value that a mask has."""

    classes: Mapping[int, int]

    def of(self, voxels: NDArray[Any]) -> NDArray[np.uint8]:
        """Returns classes; 255 for a value that has none."""
        found = np.full(voxels.shape, _UNKNOWN, np.uint8)
        for value, label in self.classes.items():
            found[voxels == value] = label
        return found


class Extents(NamedTuple):
    """What all voxels of a case say."""

    # The boxes, on the own grid, around what is no background, and around the body; None for nothing.
    foreground: Box | None
    body: Box | None
    # The share of the voxels whose intensity is above that of a CT, and above the window.
    too_bright: float


class Cut(NamedTuple):
    """A box of the working grid."""

    box: Box
    # int16 and uint8 [depth, height, width].
    image: NDArray[np.int16]
    label: NDArray[np.uint8]


class Pair(NamedTuple):
    """A scan and its mask on one grid, and how their voxels are taken."""

    scan: VoxelFile
    mask: VoxelFile
    ids: LabelIds
    # Lowest and highest intensity.
    window: tuple[int, int]

    def extents(self) -> Extents:
        """Returns what all voxels say; raises FormatError for one that is no number or has no class."""
        body = foreground = None
        num_bright, most = 0, max(MAX_HU, self.window[1])
        for box, voxels in self.scan.blocks():
            body = _joined(body, _bounds(box, voxels > BODY_HU))
            num_bright += int(np.count_nonzero(voxels > most))
        present: set[float] = set()
        for box, voxels in self.mask.blocks():
            labels = self.ids.of(voxels)
            foreground = _joined(foreground, _bounds(box, labels > 0))
            if (labels == _UNKNOWN).any():
                present.update(np.unique(voxels).tolist())
        if present:
            raise FormatError(self._wrong_values(present))
        return Extents(foreground, body, num_bright / math.prod(self.scan.shape))

    def cuts(self, shape: Shape, boxes: Sequence[Box]) -> Iterator[Cut]:
        """Yields boxes of the volume at `shape`; those side by side are resampled at once."""
        for _, row in itertools.groupby(boxes, key=lambda box: (box.start[0], box.stop[0])):
            inside = list(row)
            around = _around(inside)
            image = linear_box(self._intensities, self.scan.shape, shape, around)
            label = nearest_box(lambda box: self.ids.of(self.mask.read(box)), self.mask.shape, shape, around)
            for box in inside:
                part = tuple(
                    slice(low - start, high - start)
                    for low, high, start in zip(box.start, box.stop, around.start, strict=True)
                )
                yield Cut(box, image[part], label[part])

    def _intensities(self, box: Box) -> NDArray[Any]:
        # Of a type that unsigned voxels can be compared with, and that makes those of 16 bits no larger.
        return np.clip(self.scan.read(box), *np.array(self.window, np.int16))

    def _wrong_values(self, present: set[float]) -> str:
        got = ", ".join(f"{value:g}" for value in sorted(present)[:_MAX_SHOWN])
        more = ", …" if len(present) > _MAX_SHOWN else ""
        wrong = next(value for value in sorted(present) if value not in self.ids.classes)
        says = f"source.label_values, or source.label_mapping={{{wrong:g}: …}}, says what they are"
        hint = (
            says
            if float(wrong).is_integer()
            else "labels are whole numbers, also of a mask that was resampled"
        )
        expected = ", ".join(map(str, self.ids.classes))
        return f"{self.mask.path}: expected labels {expected}, got {got}{more}; {hint}"


def tiles(region: Box, size: Sequence[int], stride: Sequence[int]) -> list[Box]:
    """Returns boxes of a size that cover a region, the last ones at its end; smaller where it is smaller."""
    axes = [
        [(first, min(first + length, stop)) for first in _starts(start, stop, length, step)]
        for start, stop, length, step in zip(region.start, region.stop, size, stride, strict=True)
    ]
    return [Box((z[0], y[0], x[0]), (z[1], y[1], x[1])) for z, y, x in itertools.product(*axes)]


def on_grid(box: Box, shape_in: Shape, shape_out: Shape, margin: Sequence[int], least: Sequence[int]) -> Box:
    """Returns a box on another grid, wider by a margin and at least so large, as far as the volume goes."""
    bounds = [
        _widened(math.floor(start * n_out / n_in) - more, math.ceil(stop * n_out / n_in) + more, size, n_out)
        for start, stop, n_in, n_out, more, size in zip(
            box.start, box.stop, shape_in, shape_out, margin, least, strict=True
        )
    ]
    (z, y, x) = bounds
    return Box((z[0], y[0], x[0]), (z[1], y[1], x[1]))


def foreground_indices(label: NDArray[np.uint8], seed: int) -> list[int]:
    """Returns flat indices of voxels of classes above 0, at most 4096, in a random order.

    Every class that is there has as many; one of too few voxels has them several times.
    """
    flat = label.ravel()
    found = [np.flatnonzero(flat == each) for each in range(1, int(flat.max(initial=0)) + 1)]
    found = [each for each in found if len(each)]
    if not found:
        return []
    generator = np.random.default_rng(seed)
    count = min(MAX_FOREGROUND // len(found), max(map(len, found)))
    drawn = [np.resize(generator.permutation(each), count) for each in found]
    indices: list[int] = generator.permutation(np.concatenate(drawn)).tolist()
    return indices


def _starts(start: int, stop: int, length: int, step: int) -> list[int]:
    last = max(start, stop - length)
    return [*range(start, last, step), last]


def _widened(low: int, high: int, least: int, size: int) -> tuple[int, int]:
    missing = max(0, least - (high - low))
    low, high = low - missing // 2, high + missing - missing // 2
    # What does not fit on one side goes to the other.
    low, high = low - max(0, high - size), high - min(0, low)
    return max(0, low), min(size, high)


def _bounds(box: Box, mask: NDArray[np.bool_]) -> Box | None:
    """Returns the box around what is true, of the volume that `box` is a part of."""
    bounds = []
    for axis, offset in enumerate(box.start):
        others = tuple(each for each in range(mask.ndim) if each != axis)
        places = np.flatnonzero(mask.any(axis=others))
        if not len(places):
            return None
        bounds.append((offset + int(places[0]), offset + int(places[-1]) + 1))
    (z, y, x) = bounds
    return Box((z[0], y[0], x[0]), (z[1], y[1], x[1]))


def _joined(first: Box | None, second: Box | None) -> Box | None:
    if first is None or second is None:
        return first or second
    return _around([first, second])


def _around(boxes: Sequence[Box]) -> Box:
    (a, b, c) = (min(sizes) for sizes in zip(*(box.start for box in boxes), strict=True))
    (d, e, f) = (max(sizes) for sizes in zip(*(box.stop for box in boxes), strict=True))
    return Box((a, b, c), (d, e, f))
