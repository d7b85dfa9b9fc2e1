import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.metrics import surfaces
from components.metrics.surfaces import Distances, bounding_box, distances, surface


def box(shape, *parts: tuple[slice, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for part in parts:
        mask[part] = True
    return mask


def voxels(shape, *indices: tuple[int, int, int]) -> np.ndarray:
    return box(shape, *indices)


def test_the_surface_of_a_cube_is_all_but_its_middle():
    cube = box((5, 5, 5), np.s_[1:4, 1:4, 1:4])
    assert np.array_equal(surface(cube), cube & ~voxels((5, 5, 5), (2, 2, 2)))


def test_beyond_the_array_nothing_is_in_a_mask():
    # A mask that fills its array has the array's six sides.
    assert np.count_nonzero(surface(np.ones((3, 4, 5), bool))) == 3 * 4 * 5 - 1 * 2 * 3
    assert surface(np.ones((1, 4, 5), bool)).all()


def test_a_box_around_a_mask():
    assert bounding_box(voxels((4, 5, 6), (1, 4, 2), (2, 0, 2))) == np.s_[1:3, 0:5, 2:3]
    assert np.zeros((4, 5, 6), bool)[bounding_box(np.zeros((4, 5, 6), bool))].size == 0


def test_a_box_has_its_margin_where_the_array_goes_on():
    assert bounding_box(voxels((4, 5, 6), (1, 4, 2)), margin=1) == np.s_[0:3, 3:6, 1:4]
    assert np.zeros((4, 5, 6), bool)[bounding_box(voxels((4, 5, 6), (1, 4, 2)), margin=1)].shape == (3, 2, 3)


def test_a_mask_in_a_single_slice_has_a_contour():
    square = np.s_[0, 1:4, 1:4]
    # All of 3 × 3 but the middle.
    alone = box((1, 5, 5), square)
    assert len(distances(alone, alone, (5.0, 1.0, 1.0)).there) == 8
    # Where there are other slices, above and below it is nothing of it.
    one_of_two = box((2, 5, 5), square)
    assert len(distances(one_of_two, one_of_two, (5.0, 1.0, 1.0)).there) == 9
    one_voxel = np.ones((1, 1, 1), bool)
    assert distances(one_voxel, one_voxel, (5.0, 1.0, 1.0)).there.tolist() == [0.0]


def test_distances_are_in_millimetres_along_each_axis():
    first = voxels((3, 3, 5), (0, 0, 0))
    # 1 × 5 mm, 2 × 2 mm and 4 × 0.5 mm: the root of 25 + 16 + 4.
    found = distances(first, voxels((3, 3, 5), (1, 2, 4)), (5.0, 2.0, 0.5))
    assert found.there == pytest.approx([math.sqrt(45)])
    assert found.back == pytest.approx([math.sqrt(45)])


def test_distances_are_to_the_nearest_voxel_and_differ_by_direction():
    # From 0 to 1 is 1 mm; back from 1 and 4 it is 1 and 4.
    found = distances(voxels((1, 1, 6), (0, 0, 0)), voxels((1, 1, 6), (0, 0, 1), (0, 0, 4)), (1.0, 1.0, 1.0))
    assert found.there.tolist() == [1.0]
    assert found.back.tolist() == [1.0, 4.0]


def test_surfaces_within_a_mask_are_apart():
    # A cube of 5 in one of 7: each side is one voxel further out, 2 mm along depth and 1 mm else.
    outer, inner = box((7, 7, 7), np.s_[:, :, :]), box((7, 7, 7), np.s_[1:6, 1:6, 1:6])
    found = distances(outer, inner, (2.0, 1.0, 1.0))
    # Most of the inner one is 1 mm from a side; of top and bottom 3 × 3 voxels each are 2 mm from any.
    assert sorted(set(found.back.tolist())) == [1.0, 2.0]
    assert np.count_nonzero(found.back == 2.0) == 2 * 3 * 3
    # Corners of the outer one: the root of 4 + 1 + 1.
    assert found.there.max() == pytest.approx(math.sqrt(6))


def test_95_percent_are_nearer_in_the_worse_direction():
    # Sorted, the value at 0.95 × 19 = 18.05: 0.05 of the way from 0 to 10.
    assert Distances(np.array([0.0] * 19 + [10.0]), np.zeros(3)).robust_mm() == pytest.approx(0.5)
    assert Distances(np.zeros(3), np.array([4.0])).robust_mm() == 4.0


def test_surface_dice_is_the_share_of_both_that_is_near():
    apart = Distances(np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.5]))
    assert apart.dice(2.0) == pytest.approx(3 / 5)
    assert apart.dice(2.5) == pytest.approx(4 / 5)


def test_spacings_that_are_stored_as_float32_reach_the_tolerance():
    # Five voxels of 0.4 mm are 2 mm.
    spacing = (1.0, 1.0, float(np.float32(0.4)))
    found = distances(voxels((1, 1, 6), (0, 0, 0)), voxels((1, 1, 6), (0, 0, 5)), spacing)
    assert found.there[0] > 2.0
    assert found.dice(2.0) == 1.0
    assert found.dice(1.99) == 0.0


def brute_force(mask: np.ndarray, other: np.ndarray, spacing: tuple[float, ...]) -> list[float]:
    """Distances between surfaces, pair by pair."""

    def border(one):
        inside = {tuple(index) for index in np.argwhere(one).tolist()}
        steps = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
        steps = [step for step in steps if max(one.shape) == 1 or one.shape[np.flatnonzero(step)[0]] > 1]
        return [
            index
            for index in sorted(inside)
            if any(tuple(map(sum, zip(index, step, strict=True))) not in inside for step in steps)
        ]

    return [
        min(
            math.sqrt(sum(((a - b) * mm) ** 2 for a, b, mm in zip(here, there, spacing, strict=True)))
            for there in border(other)
        )
        for here in border(mask)
    ]


spacings = st.tuples(*[st.sampled_from([0.4, 0.7, 1.0, 2.5, 5.0])] * 3)


@st.composite
def pairs(draw, smallest=1):
    shape = draw(st.tuples(*[st.integers(smallest, 6)] * 3))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    both = [rng.random(shape) < draw(st.sampled_from([0.05, 0.5, 0.95])) for _ in range(2)]
    for mask in both:
        mask[tuple(rng.integers(shape))] = True
    return both


@settings(max_examples=100, deadline=None)
@given(pairs(), spacings)
def test_distances_are_those_of_an_independent_search(masks, spacing):
    found = distances(*masks, spacing)
    assert found.there == pytest.approx(brute_force(*masks, spacing))
    assert found.back == pytest.approx(brute_force(*masks[::-1], spacing))


@settings(max_examples=50, deadline=None)
@given(pairs(smallest=2), spacings, st.tuples(*[st.integers(0, 3)] * 6))
def test_swapping_and_shifting_masks_changes_nothing(masks, spacing, margins):
    there, back = distances(*masks, spacing)
    swapped = distances(*masks[::-1], spacing)
    assert (swapped.robust_mm(), swapped.dice(2.0)) == (
        pytest.approx(Distances(there, back).robust_mm()),
        pytest.approx(Distances(there, back).dice(2.0)),
    )
    around = [(margins[axis], margins[axis + 3]) for axis in range(3)]
    shifted = distances(*(np.pad(mask, around) for mask in masks), spacing)
    assert shifted.there == pytest.approx(there)
    assert shifted.back == pytest.approx(back)


@pytest.mark.parametrize("few", [0.0, 1.0])
def test_few_and_many_voxels_are_measured_alike(monkeypatch, few):
    monkeypatch.setattr(surfaces, "_FEW", few)
    rng = np.random.default_rng(0)
    masks = [rng.random((12, 20, 20)) < 0.1 for _ in range(2)]
    spacing = (3.0, 0.7, 0.7)
    found = distances(*masks, spacing)
    assert found.there == pytest.approx(brute_force(*masks, spacing))
