"""How a network halves a patch on its way down: thick axes begin late, so that voxels become cubes first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

# The least of an axis at the bottom of the network.
BOTTOM: Final = 4
# How many times as far apart voxels may be along an axis as along the finest one, to be halved with it.
_ALIKE: Final = 2


class Topology(NamedTuple):
    """A patch, along the axes of spacing, and the strides from each level to the next."""

    patch_size: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    @property
    def divisors(self) -> tuple[int, ...]:
        """What the patch is a multiple of, by axis."""
        return tuple(math.prod(axis) for axis in zip(*self.strides, strict=True))


def topology(spacing_mm: Sequence[float], size: Sequence[int]) -> Topology:
    """Returns a patch of at least a size, filled up to what the strides divide.

    topology((5, 1, 1), (16, 64, 60)) -> (16, 64, 64), ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    """
    spacing, sizes = list(spacing_mm), [float(each) for each in size]
    strides = []
    while halved := _halved(spacing, sizes):
        strides.append(tuple(2 if axis in halved else 1 for axis in range(len(spacing))))
        for axis in halved:
            spacing[axis] *= 2
            sizes[axis] = math.ceil(sizes[axis] / 2)
    whole = Topology(tuple(size), tuple(strides))
    divisors = whole.divisors if strides else (1,) * len(spacing)
    filled = (math.ceil(each / divisor) * divisor for each, divisor in zip(size, divisors, strict=True))
    return whole._replace(patch_size=tuple(filled))


def reduced(spacing_mm: Sequence[float], patch: Topology, shape: Sequence[float]) -> Topology | None:
    """Returns the next smaller patch, None for none: cut along the axis that has most of a volume's shape."""
    by_share = sorted(range(len(shape)), key=lambda axis: -patch.patch_size[axis] / shape[axis])
    candidates = (_cut(spacing_mm, patch, axis) for axis in by_share)
    return next((each for each in candidates if each is not None), None)


def _cut(spacing_mm: Sequence[float], patch: Topology, axis: int) -> Topology | None:
    """Returns the patch without one step along an axis; None where no network is left, or no patch."""
    step = patch.divisors[axis]
    if patch.patch_size[axis] - step < BOTTOM:
        return None
    # A smaller patch may have fewer levels, and with them a smaller step.
    finer = topology(spacing_mm, _less(patch.patch_size, axis, step))
    if not finer.strides:
        return None
    cut = topology(spacing_mm, _less(patch.patch_size, axis, finer.divisors[axis]))
    is_smaller = math.prod(cut.patch_size) < math.prod(patch.patch_size)
    return cut if cut.strides and is_smaller else None


def _less(size: Sequence[int], axis: int, step: int) -> list[int]:
    return [each - step * (place == axis) for place, each in enumerate(size)]


def _halved(spacing: Sequence[float], sizes: Sequence[float]) -> list[int]:
    """Returns the axes that the next level halves; none at the bottom."""
    large = [axis for axis, size in enumerate(sizes) if size >= 2 * BOTTOM]
    finest = min((spacing[axis] for axis in large), default=0.0)
    halved = [axis for axis in large if spacing[axis] / finest < _ALIKE]
    # One axis alone is halved as long as that leaves it longer than the others may be.
    return [] if len(halved) == 1 and sizes[halved[0]] < 3 * BOTTOM else halved
