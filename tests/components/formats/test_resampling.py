"""Volumes on other grids: by the formula written out voxel by voxel, and as SciPy has them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from components.formats import resampling
from components.formats.nifti import Box
from components.formats.resampling import linear, linear_box, nearest, nearest_box, new_shape

SHAPES = [(5, 6, 7), (10, 3, 7), (1, 13, 2), (4, 9, 21)]


def scan(shape: tuple[int, int, int] = (5, 6, 7)) -> Any:
    return np.random.default_rng(7).integers(-1024, 3072, shape).astype(np.int16)


def by_the_formula(voxels: Any, shape: tuple[int, int, int]) -> Any:
    """Each output by itself, in float64, from its eight neighbours."""
    found = np.zeros(shape)
    for index in np.ndindex(shape):
        corners = []
        for i, n_in, n_out in zip(index, voxels.shape, shape, strict=True):
            at = min(max((i + 0.5) * n_in / n_out - 0.5, 0), n_in - 1)
            low = math.floor(at)
            corners.append([(low, 1 - (at - low)), (min(low + 1, n_in - 1), at - low)])
        for corner in itertools.product(*corners):
            places, weights = zip(*corner, strict=True)
            found[index] += math.prod(weights) * voxels[places]
    return found


def test_a_shape_keeps_the_extent() -> None:
    assert new_shape((30, 101, 122), (3, 3, 3), (1.5, 3, 6)) == (60, 101, 61)
    # 5 × 0.7 / 1.4 = 2.5 is rounded up, and nothing becomes empty.
    assert new_shape((5, 1, 2), (0.7, 1, 1), (1.4, 5, 5)) == (3, 1, 1)


def test_two_voxels_become_four_by_hand() -> None:
    # Outputs at -0.25, 0.25, 0.75 and 1.25 of the inputs 0 and 100.
    line = np.array([0, 100], np.int16).reshape(1, 1, 2)
    assert linear(line, (1, 1, 4)).ravel().tolist() == [0, 25, 75, 100]
    assert nearest(line, (1, 1, 4)).ravel().tolist() == [0, 0, 100, 100]
    # Outputs at 0.5 and 2.5 of four.
    four = np.array([0, 10, 20, 30], np.int16).reshape(1, 4, 1)
    assert linear(four, (1, 2, 1)).ravel().tolist() == [5, 25]
    assert nearest(four, (1, 2, 1)).ravel().tolist() == [10, 30]


@pytest.mark.parametrize("shape", SHAPES)
def test_images_are_what_the_formula_says(shape: tuple[int, int, int]) -> None:
    found = linear(scan(), shape)
    assert (found.dtype, found.shape) == (np.int16, shape)
    # Half a unit of rounding, and float32's share.
    assert np.abs(found - by_the_formula(scan(), shape)).max() <= 0.501


@pytest.mark.parametrize("shape", SHAPES)
def test_images_are_what_scipy_makes_of_them(shape: tuple[int, int, int]) -> None:
    zoom = [n_out / n_in for n_in, n_out in zip((5, 6, 7), shape, strict=True)]
    found = ndimage.zoom(scan().astype(float), zoom, order=1, mode="nearest", grid_mode=True)
    assert np.abs(linear(scan(), shape) - found).max() <= 0.501


@pytest.mark.parametrize("shape", SHAPES)
def test_labels_are_the_nearest_ones(shape: tuple[int, int, int]) -> None:
    labels = np.random.default_rng(3).integers(0, 3, (5, 6, 7)).astype(np.uint8)
    places = [
        [int((i + 0.5) * n_in / n_out) for i in range(n_out)]
        for n_in, n_out in zip(labels.shape, shape, strict=True)
    ]
    found = nearest(labels, shape)
    assert found.dtype == np.uint8
    assert np.array_equal(found, labels[np.ix_(*places)])


def test_the_same_grid_changes_nothing() -> None:
    assert np.array_equal(linear(scan(), (5, 6, 7)), scan())
    assert np.array_equal(nearest(scan(), (5, 6, 7)), scan())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_box_is_a_part_of_the_whole_and_little_is_read_at_once(
    shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two planes of the input at once.
    monkeypatch.setattr(resampling, "_BLOCK_VOXELS", 2 * 6 * 7)
    read: list[Box] = []

    def voxels(box: Box) -> Any:
        read.append(box)
        return scan()[box.slices]

    box = Box(tuple(size // 3 for size in shape), shape)
    assert np.array_equal(linear_box(voxels, (5, 6, 7), shape, box), linear(scan(), shape)[box.slices])
    assert np.array_equal(nearest_box(voxels, (5, 6, 7), shape, box), nearest(scan(), shape)[box.slices])
    assert all(0 <= low < high <= 7 for each in read for low, high in zip(*each, strict=True))


def test_what_a_box_does_not_touch_is_not_read() -> None:
    read: list[Box] = []

    def voxels(box: Box) -> Any:
        read.append(box)
        return np.zeros([high - low for low, high in zip(*box, strict=True)])

    linear_box(voxels, (10, 10, 10), (20, 5, 10), Box((4, 1, 0), (6, 2, 10)))
    # Depth 1.75 and 2.25, height 2.5.
    assert read == [Box((1, 2, 0), (4, 4, 10))]
