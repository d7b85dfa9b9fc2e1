"""Lesions: the pieces of a mask that hang together over faces, edges or corners of voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


class Lesions(NamedTuple):
    """How many there are, and of how many the other mask has nothing."""

    labelled: int
    missed: int
    answered: int
    false: int


def compare_lesions(label: Mask, answer: Mask) -> Lesions:
    """Returns the lesions of two masks, bool[d, h, w]; one voxel of overlap is enough to be found."""
    labelled, found = _overlapping(label, answer)
    answered, right = _overlapping(answer, label)
    return Lesions(labelled, labelled - found, answered, answered - right)


def largest_component(mask: Mask) -> Mask:
    """Returns the largest piece of a mask, the first of equally large ones; nothing of an empty mask."""
    pieces, count = _pieces(mask)
    sizes = np.bincount(pieces[mask], minlength=2)
    return pieces == sizes.argmax() if count else mask


def _overlapping(mask: Mask, other: Mask) -> tuple[int, int]:
    """Returns the number of pieces of a mask, and that of those which another one overlaps."""
    pieces, count = _pieces(mask)
    return int(count), len(np.unique(pieces[mask & other]))


def _pieces(mask: Mask) -> tuple[NDArray[np.int32], int]:
    """Returns the number of the piece that each voxel is in, from 1; 0 for none; and how many there are."""
    from scipy import ndimage

    return ndimage.label(mask, np.ones((3, 3, 3), bool))
