import math

import numpy as np
import pytest

from components.metrics.masks import MaskSums, compare_masks, dice

SPACING = (2.0, 1.0, 1.0)


def line(text: str) -> np.ndarray:
    """A mask of one row, drawn with #."""
    return np.array([[[letter == "#" for letter in text]]])


def added(*cases: MaskSums) -> MaskSums:
    return MaskSums(*np.sum(cases, axis=0))


def test_dice_worked_by_hand():
    # 2 in common of 3 and of 4.
    assert dice(line("###..."), line(".####.")) == pytest.approx(4 / 7)
    assert dice(line("##"), line("##")) == 1.0
    assert dice(line("#."), line(".#")) == 0.0
    assert dice(line("##"), line("..")) == 0.0
    assert math.isnan(dice(line(".."), line("..")))


def test_one_case_worked_by_hand():
    # Voxels of 2 mm³; label 0 1 2, answer 1 2 3 4. From the ends 0 and 2 to the ends 1 and 4 it is 1 mm each,
    # and 1 and 2 mm back.
    sums = compare_masks(line("###..."), line(".####."), SPACING, tolerance_mm=1.0, with_lesions=True)
    assert sums == MaskSums(
        cases=1,
        in_both=1,
        dice=pytest.approx(4 / 7),
        # All but the one that is 2 mm away.
        surface_dice=pytest.approx(3 / 4),
        volume_error_ml=pytest.approx(0.002),
        volume_bias_ml=pytest.approx(0.002),
        # Of 1 2 the value at 0.95.
        surface_distance_mm=pytest.approx(1.95),
        labelled_voxels=3,
        answered_voxels=4,
        common_voxels=2,
        lesions=1,
        answered_lesions=1,
    )


def test_masks_that_are_both_empty_are_counted_and_say_nothing():
    nothing = compare_masks(line("..."), line("..."), SPACING)
    assert nothing == MaskSums(cases=1)
    assert nothing.in_neither == 1
    assert all(math.isnan(value) for value in nothing.metrics.values())
    perfect = compare_masks(line("#.."), line("#.."), SPACING)
    assert added(nothing, perfect).metrics["dice"] == 1.0


@pytest.mark.parametrize(("label", "answer"), [("##.", "..."), ("...", "##.")])
def test_one_empty_mask_is_no_overlap_and_no_distance(label, answer):
    missing = compare_masks(line(label), line(answer), SPACING)
    assert (missing.only_labelled, missing.only_answered) == (float("#" in label), float("#" in answer))
    assert (missing.metrics["dice"], missing.metrics["surface_dice"]) == (0.0, 0.0)
    assert math.isnan(missing.metrics["surface_distance_mm"])
    assert missing.metrics["volume_error_ml"] == pytest.approx(0.004)
    assert missing.metrics["volume_bias_ml"] == pytest.approx(0.004 if "#" in answer else -0.004)
    perfect = compare_masks(line("###"), line("###"), SPACING)
    both = added(missing, perfect)
    # Means over two cases; the distance is that of one.
    assert (both.metrics["dice"], both.metrics["surface_dice"]) == (0.5, 0.5)
    assert both.metrics["surface_distance_mm"] == 0.0
    # 2 × 3 of 2 + 6.
    assert both.metrics["global_dice"] == pytest.approx(6 / 8)


def test_volume_errors_of_opposite_sign_are_no_bias():
    sums = added(
        compare_masks(line("##.."), line("###."), SPACING), compare_masks(line("##.."), line("#..."), SPACING)
    )
    assert sums.metrics["volume_error_ml"] == pytest.approx(0.002)
    assert sums.metrics["volume_bias_ml"] == 0.0


@pytest.mark.parametrize(
    ("label", "answer", "expected"),
    [
        # (precision, recall, F1): 1 of 2 pieces is right, 1 of 3 lesions found.
        ("#.#.#..", "#.....#", (1 / 2, 1 / 3, 0.4)),
        ("#......", ".......", (None, 0.0, 0.0)),
        (".......", "#......", (0.0, None, 0.0)),
        (".......", ".......", (None, None, None)),
        ("#......", ".....#.", (0.0, 0.0, 0.0)),
    ],
)
def test_lesion_detection_worked_by_hand(label, answer, expected):
    metrics = compare_masks(line(label), line(answer), SPACING, with_lesions=True).metrics
    found = [metrics[f"lesion_{name}"] for name in ("precision", "recall", "f1")]
    assert [None if math.isnan(value) else value for value in found] == [
        None if value is None else pytest.approx(value) for value in expected
    ]
