import numpy as np

from components.metrics.lesions import Lesions, compare_lesions, largest_component


def mask(*rows: str) -> np.ndarray:
    """A mask of one slice, drawn with #."""
    return np.array([[[letter == "#" for letter in row] for row in rows]])


def test_lesions_are_found_missed_and_false():
    label = mask("##..#", "##...", "....#")
    # One voxel of the first; nothing of the two on the right; one piece where no lesion is.
    answer = mask("#....", "#....", "..#..")
    assert compare_lesions(label, answer) == Lesions(labelled=3, missed=2, answered=2, false=1)


def test_one_piece_of_an_answer_may_find_several_lesions():
    assert compare_lesions(mask("#.#.#"), mask("###..")) == Lesions(3, 1, 1, 0)
    assert compare_lesions(mask("###.."), mask("#.#.#")) == Lesions(1, 0, 3, 1)


def test_voxels_that_touch_at_an_edge_or_a_corner_are_one_lesion():
    assert compare_lesions(mask("#.", ".#"), mask("..", "..")).labelled == 1
    corner = np.zeros((2, 2, 2), bool)
    corner[0, 0, 0] = corner[1, 1, 1] = True
    assert compare_lesions(corner, corner) == Lesions(1, 0, 1, 0)


def test_empty_masks_have_no_lesions():
    nothing = mask("....")
    assert compare_lesions(nothing, nothing) == Lesions(0, 0, 0, 0)
    assert compare_lesions(nothing, mask("#..#")) == Lesions(0, 0, 2, 2)
    assert compare_lesions(mask("#..#"), nothing) == Lesions(2, 2, 0, 0)


def test_the_largest_component_is_kept():
    assert np.array_equal(largest_component(mask("#.##", "#..#", "....")), mask("..##", "...#", "...."))


def test_of_equally_large_components_the_first_is_kept():
    assert np.array_equal(largest_component(mask("##.##")), mask("##..."))


def test_nothing_is_kept_of_nothing():
    assert not largest_component(mask("....")).any()
