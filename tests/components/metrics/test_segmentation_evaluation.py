import base64
import io
import json
import math
import re

import numpy as np
import pydantic
import pytest
from PIL import Image

from components.config import ConfigError
from components.features import Feature
from components.metrics.segmentation import SegmentationEvaluation
from components.protocols import Evaluation
from components.reference import Reference

EVALUATION = SegmentationEvaluation()
SPACING = (2.0, 1.0, 1.0)


def volume(*rows: str) -> np.ndarray:
    """Labels of one slice, a digit a voxel."""
    return np.array([[[int(digit) for digit in row] for row in rows]], np.uint8)


def raw(labels: np.ndarray, case: str = "volume-3") -> dict:
    image = np.zeros(labels.shape, "<i2")
    return {
        "image": image.tobytes(),
        "shape": list(labels.shape),
        "spacing_mm": list(SPACING),
        "label": labels.tobytes(),
        "case": case.encode(),
        "patient": b"3",
    }


def answer(labels: np.ndarray) -> dict:
    return {"label": labels, "volumes_ml": np.zeros(2, np.float32)}


# Liver: 2 in common of 3 and 2. Tumour: 1 of 1 and 2.
FIRST = raw(volume("111200")), answer(volume("011220"))
# No tumour in either; of the liver 1 of 1 and 1.
SECOND = raw(volume("0100")), answer(volume("0100"))
# A tumour that is missed, another one that is said.
THIRD = raw(volume("120000")), answer(volume("100002"))
SUMS = sum(EVALUATION.sums(*case) for case in (FIRST, SECOND, THIRD))


def test_it_is_an_evaluation_that_may_bless_by_what_is_better_if_higher():
    assert isinstance(EVALUATION, Evaluation)
    assert EVALUATION.numbers == (
        "mean_dice",
        "dice_liver",
        "dice_tumour",
        "global_dice_liver",
        "global_dice_tumour",
        "surface_dice_liver",
        "surface_dice_tumour",
        "lesion_f1_tumour",
        "lesion_precision_tumour",
        "lesion_recall_tumour",
    )
    assert set(EVALUATION.metrics) - set(EVALUATION.numbers) == {
        "surface_distance_mm_liver",
        "surface_distance_mm_tumour",
        "volume_error_ml_liver",
        "volume_error_ml_tumour",
        "volume_bias_ml_liver",
        "volume_bias_ml_tumour",
        "voxel_accuracy",
    }


def label_feature(*names: str) -> dict[str, Feature]:
    return {"label": Feature(dtype="bytes", names=names, served=False)}


def test_its_classes_are_those_of_the_source():
    fitted = EVALUATION.fitted_to(label_feature("nothing", "left kidney", "cyst", "stone"), None)
    assert [name for name in fitted.numbers if name.startswith("dice")] == [
        "dice_left kidney", "dice_cyst", "dice_stone"
    ]  # fmt: skip
    assert [name for name in fitted.metrics if name.startswith("lesion_f1")] == ["lesion_f1_stone"]


@pytest.mark.parametrize(
    "settings",
    [
        {"lesion_classes": ("tumor",)},
        {"largest_component": ("tumor",)},
        {"parts": {"liver": ("tumor",)}},
        {"parts": {"tumor": ("liver",)}},
    ],
)
def test_a_class_that_the_source_lacks_is_refused(settings):
    (key,) = settings
    with pytest.raises(
        ConfigError, match=rf"evaluation\.{key}: unknown class 'tumor'; did you mean 'tumour'"
    ):
        SegmentationEvaluation(**settings).fitted_to(label_feature("background", "liver", "tumour"), None)


def test_a_tolerance_is_above_zero():
    with pytest.raises(pydantic.ValidationError, match="greater than 0"):
        SegmentationEvaluation(surface_tolerance_mm=0)


def test_it_travels_by_its_settings():
    evaluation = SegmentationEvaluation(parts={"liver": ("tumour",)}, lesion_classes=())
    loaded = Reference(**json.loads(Reference.to(evaluation).model_dump_json())).load(Evaluation)
    assert loaded == evaluation


def test_results_worked_by_hand():
    results = EVALUATION.results(SUMS)
    assert tuple(results) == EVALUATION.metrics
    # Means over cases: 2 × 2 / 5, 1 and 1; 2 × 1 / 3 and 0, the second case without a tumour left out.
    assert results["dice_liver"] == pytest.approx((4 / 5 + 1 + 1) / 3)
    assert results["dice_tumour"] == pytest.approx((2 / 3 + 0) / 2)
    assert results["mean_dice"] == pytest.approx((2.8 / 3 + 1 / 3) / 2)
    # All voxels at once: 2 × 4 of 5 + 4, and 2 × 1 of 2 + 3.
    assert results["global_dice_liver"] == pytest.approx(8 / 9)
    assert results["global_dice_tumour"] == pytest.approx(2 / 5)
    # Between the ends of the first liver, 0 2 and 1 2, it is 1 0 both ways: at 0.95 it is 0.95. The first
    # tumour's distances are 0 1, and the third's is 4.
    assert results["surface_distance_mm_liver"] == pytest.approx(0.95 / 3)
    assert results["surface_distance_mm_tumour"] == pytest.approx((0.95 + 4) / 2)
    assert results["surface_dice_liver"] == 1.0
    assert results["surface_dice_tumour"] == pytest.approx((1 + 0) / 2)
    # Voxels of 2 mm³: one less of the liver once, one more of the tumour once.
    assert results["volume_error_ml_liver"] == pytest.approx(0.002 / 3)
    assert results["volume_bias_ml_liver"] == pytest.approx(-0.002 / 3)
    assert results["volume_bias_ml_tumour"] == pytest.approx(0.002 / 2)
    # Found is the first of two, and of two that were said one is right.
    assert results["lesion_recall_tumour"] == results["lesion_precision_tumour"] == 0.5
    assert results["lesion_f1_tumour"] == 0.5
    # 4 of 6, 4 of 4, 4 of 6.
    assert results["voxel_accuracy"] == pytest.approx(12 / 16)


def test_what_does_not_exist_is_not_a_number():
    nothing = EVALUATION.results(np.zeros_like(SUMS))
    assert all(math.isnan(value) for value in nothing.values())
    # Where one class has cases alone, the mean is that class's.
    assert EVALUATION.results(EVALUATION.sums(*SECOND))["mean_dice"] == 1.0


def test_an_answer_may_be_filled_up_to_a_larger_volume():
    labels = FIRST[1]["label"]
    larger = np.pad(labels, [(0, 2), (0, 1), (0, 3)])
    np.testing.assert_array_equal(EVALUATION.sums(FIRST[0], answer(larger)), EVALUATION.sums(*FIRST))


def test_an_answer_that_is_too_small_is_refused_by_the_case():
    with pytest.raises(
        ValueError, match=r"volume-3: expected an answer of \(1, 1, 6\) voxels, got \(1, 1, 5\)"
    ):
        EVALUATION.sums(FIRST[0], answer(FIRST[1]["label"][..., :5]))


def test_a_tumour_may_count_as_a_part_of_the_liver():
    evaluation = SegmentationEvaluation(parts={"liver": ("tumour",)})
    results = evaluation.results(evaluation.sums(*FIRST))
    # Voxels 0 to 3 beside 1 to 4: 2 × 3 of 8.
    assert results["dice_liver"] == pytest.approx(6 / 8)
    assert results["dice_tumour"] == pytest.approx(2 / 3)


def test_largest_components_are_measured_beside_the_answer_as_it_is():
    evaluation = SegmentationEvaluation(largest_component=("liver",))
    sums = evaluation.sums(raw(volume("111000")), answer(volume("111001")))
    # 2 × 3 of 3 + 4.
    assert evaluation.results(sums)["dice_liver"] == pytest.approx(6 / 7)
    cleaned = evaluation.details(sums)["largest_component"]["liver"]
    assert cleaned["dice"] == 1.0
    assert cleaned["surface_distance_mm"] == 0.0
    html = {section.title: section.html for section in evaluation.sections(sums)}
    assert "<td>liver, as answered</td><td>0.8571</td>" in html["With the largest component alone"]
    assert "<td>liver, largest</td><td>1.0000</td>" in html["With the largest component alone"]


def test_what_has_one_component_is_as_good_without_the_others():
    evaluation = SegmentationEvaluation(largest_component=("tumour", "liver"))
    sums = evaluation.sums(*FIRST)
    details = evaluation.details(sums)
    assert details["largest_component"]["tumour"]["dice"] == pytest.approx(2 / 3)
    assert details["largest_component"]["liver"]["dice"] == pytest.approx(4 / 5)


def test_details_are_json_and_hold_the_sums_by_class():
    details = json.loads(json.dumps(EVALUATION.details(SUMS)))
    assert details["class_names"] == ["background", "liver", "tumour"]
    assert details["surface_tolerance_mm"] == 2.0
    tumour = details["sums_by_class"]["tumour"]
    assert [tumour[key] for key in ("cases", "in_both", "only_labelled", "only_answered")] == [3, 2, 0, 0]
    assert [tumour[key] for key in ("lesions", "missed_lesions", "answered_lesions", "false_lesions")] == [
        2, 1, 2, 1
    ]  # fmt: skip


def test_a_report_tells_of_classes_empty_masks_and_lesions():
    html = {section.title: section.html for section in EVALUATION.sections(SUMS)}
    assert "<td>liver</td><td>0.9333</td><td>0.8889</td><td>1.0000</td>" in html["Classes"]
    assert "within 2 mm" in html["Classes"]
    assert (
        "<td>tumour</td><td>3</td><td>2</td><td>0</td><td>0</td><td>1</td>" in html["Cases without a class"]
    )
    # Lesions, found, missed; said, false.
    assert "<td>tumour</td><td>2</td><td>1</td><td>1</td><td>2</td><td>1</td>" in html["Lesions"]
    assert html["With the largest component alone"] == ""
    without = SegmentationEvaluation(lesion_classes=())
    assert {section.title: section.html for section in without.sections(SUMS)}["Lesions"] == ""


def test_badness_is_what_the_mean_dice_of_the_case_lacks():
    assert EVALUATION.badness(*SECOND) == 0.0
    # Without the tumour, which is in neither: 1 - 1. Liver 0.8 and tumour 2/3.
    assert EVALUATION.badness(*FIRST) == pytest.approx(1 - (0.8 + 2 / 3) / 2)
    nothing = volume("0000")
    assert EVALUATION.badness(raw(nothing), answer(nothing)) == 0.0


def test_a_case_is_shown_by_its_name_its_planes_and_its_classes():
    html = EVALUATION.show(raw(volume("111200"), case="a<b"), FIRST[1])
    assert "<strong>a&lt;b</strong>" in html
    png = base64.b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', html)[1])
    pixels = np.array(Image.open(io.BytesIO(png)))
    # Of both a contour, of the first class.
    assert (pixels == (86, 180, 233)).all(axis=-1).any()
    assert (pixels == (240, 228, 66)).all(axis=-1).any()
    assert "<td>liver</td><td>0.8000</td><td>1.0000</td><td>0.9500</td>" in html


def test_one_slice_of_several_is_not_a_volume_of_one():
    square = volume("00000", "01110", "01110", "01110", "00000")
    evaluation = SegmentationEvaluation(surface_tolerance_mm=0.5)
    # The contours of squares in columns 1 to 3 and 2 to 4 have four voxels of eight in common, in columns
    # 2 and 3 of the first and last row. Among other slices whole squares are surfaces: six of nine.
    for labels, expected in ((square, 4 / 8), (np.concatenate([square, 0 * square]), 6 / 9)):
        sums = evaluation.sums(raw(labels), answer(np.roll(labels, 1, axis=2)))
        assert evaluation.results(sums)["surface_dice_liver"] == pytest.approx(expected)


def test_an_empty_volume_can_be_measured():
    nothing = volume("0000")
    sums = EVALUATION.sums(raw(nothing), answer(nothing))
    assert EVALUATION.results(sums)["voxel_accuracy"] == 1.0
    assert math.isnan(EVALUATION.results(sums)["mean_dice"])
