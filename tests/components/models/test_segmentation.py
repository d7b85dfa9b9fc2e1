"""Losses and metrics of voxels, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pydantic
import pytest
from numpy.typing import NDArray

from components.features import EXAMPLE_WEIGHT, IMAGE, LABEL, LOGITS, Feature
from components.models.errors import ModelError
from components.models.segmentation import Segmentation
from components.protocols import Model

LOSSES = ("dice_cross_entropy", "dice", "adaptive_dice", "cross_entropy")
# Two patches of four voxels; class 2 is nowhere in the first one.
LABELS = np.array([[[0, 1], [1, 0]], [[2, 2], [0, 1]]], np.uint8)
# Of the classes by voxel: half and a quarter twice, which of them is the half.
HALVES = np.array([[[0, 0], [1, 0]], [[2, 0], [0, 1]]])
LOGITS_2D = np.log(0.25 + 0.25 * np.eye(3, dtype=np.float32)[HALVES])


def small(**settings: Any) -> Segmentation:
    return Segmentation(
        **{"spatial_dims": 2, "patch_size": (2, 2), "filters": (2, 4), "normalization": "none", **settings}
    )


def features(labels: NDArray[Any] = LABELS, weights: tuple[float, ...] = (1.0, 1.0)) -> dict[str, Any]:
    return {LABEL: labels, EXAMPLE_WEIGHT: np.array(weights, np.float32)}


def terms(model: Segmentation, given: dict[str, Any], outputs: Any) -> dict[str, float]:
    """Returns the terms of a loss as the trainer makes them."""
    weights = {name: np.asarray(value) for name, value in model.loss_weights(given).items()}
    losses = {name: np.asarray(value) for name, value in model.losses(given, outputs).items()}
    assert {name: value.shape for name, value in weights.items()} == {n: v.shape for n, v in losses.items()}
    assert tuple(losses) == model.loss_terms
    assert {value.dtype for value in (*weights.values(), *losses.values())} == {np.dtype(np.float32)}
    return {name: float((losses[name] * weights[name]).sum() / weights[name].sum()) for name in losses}


def test_it_is_a_model_of_the_network() -> None:
    model = small()
    assert isinstance(model, Model)
    # Both are logged and summed by their names.
    assert not set(model.loss_terms) & model.metrics().keys()
    assert model.build()({IMAGE: np.zeros((1, 2, 2), np.float32)}).shape == (1, 2, 2, 3)
    with pytest.raises(ModelError, match="windowing: expected Patches"):
        model.answers(None, {})


# Of patch 1: overlaps 1, ¾, 0 with 2, 2, 0 voxels of the labels and 1¾, 1¼, 1 of the probabilities;
# of patch 2: ½, ½, ¾ with 1, 1, 2 and 1½, 1¼, 1¼. Dice is (2 · overlap + 1) / (both + 1).
DICE = np.array([[3 / 4.75, 2.5 / 4.25, 1 / 2], [2 / 3.5, 2 / 3.25, 2.5 / 4.25]])


def test_the_loss_of_dice_is_the_mean_over_patches_and_classes() -> None:
    assert terms(small(loss="dice"), features(), LOGITS_2D) == {
        "dice_loss": pytest.approx(1 - DICE.mean(), rel=1e-5)
    }


def test_a_class_that_is_badly_found_counts_more_in_adaptive_dice() -> None:
    # 1 - Σ d·e^-d / (n·e^-1)
    expected = 1 - (DICE * np.exp(-DICE)).sum() / (6 * math.exp(-1))
    assert terms(small(loss="adaptive_dice"), features(), LOGITS_2D) == {
        "dice_loss": pytest.approx(expected, rel=1e-5)
    }


def test_cross_entropy_is_the_mean_over_voxels() -> None:
    # 3 of 4 and 3 of 4 voxels have ½ on their class, the other ones ¼.
    expected = (6 * math.log(2) + 2 * math.log(4)) / 8
    assert terms(small(loss="cross_entropy"), features(), LOGITS_2D) == {
        "cross_entropy": pytest.approx(expected, rel=1e-5)
    }


def test_the_default_is_dice_and_cross_entropy() -> None:
    expected = terms(small(loss="dice"), features(), LOGITS_2D)
    expected |= terms(small(loss="cross_entropy"), features(), LOGITS_2D)
    assert terms(small(), features(), LOGITS_2D) == pytest.approx(expected)


def test_a_patch_that_only_fills_up_the_batch_does_not_count() -> None:
    assert terms(small(), features(weights=(0.0, 1.0)), LOGITS_2D) == pytest.approx(
        {"dice_loss": 1 - DICE[1].mean(), "cross_entropy": (3 * math.log(2) + math.log(4)) / 4}, rel=1e-5
    )


def test_classes_count_by_their_weights_in_both_terms() -> None:
    # Voxels of class 1: ¼ ½ ½, and of class 2, which count 3 times: ½ ¼.
    expected = {
        "dice_loss": 1 - (DICE[:, 1].sum() + 3 * DICE[:, 2].sum()) / 8,
        "cross_entropy": (2 + 1 + 1 + 3 * (1 + 2)) * math.log(2) / (3 + 3 * 2),
    }
    model = small(class_weights=(0.0, 1.0, 3.0))
    assert terms(model, features(), LOGITS_2D) == pytest.approx(expected, rel=1e-5)


def test_the_background_can_be_left_out_of_dice() -> None:
    model = small(loss="dice", include_background=False)
    assert terms(model, features(), LOGITS_2D)["dice_loss"] == pytest.approx(1 - DICE[:, 1:].mean(), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_background_alone_costs_nothing_where_it_is_found(loss: Any) -> None:
    empty = np.zeros((1, 2, 2), np.uint8)
    found = 100 * np.eye(3, dtype=np.float32)[empty]
    for weights in (None, (0.0, 1.0, 1.0)):
        model = small(loss=loss, class_weights=weights)
        losses = model.losses(features(empty), found)
        assert all(np.abs(np.asarray(value)).max() < 1e-6 for value in losses.values())


@pytest.mark.parametrize("loss", LOSSES)
def test_perfect_and_perfectly_wrong_answers_have_finite_losses(loss: Any) -> None:
    for shift, (low, high) in ((0, (0, 1e-6)), (1, (0.3, 2000))):
        logits = 1000 * np.eye(3, dtype=np.float32)[(LABELS + shift) % 3]
        found = terms(small(loss=loss), features(), logits)
        assert all(low <= value + 1e-9 and value <= high for value in found.values())


def test_losses_are_float32_of_logits_of_half_precision() -> None:
    halves = small().losses(features(), LOGITS_2D.astype(np.float16))
    for name, value in small().losses(features(), LOGITS_2D).items():
        assert np.asarray(halves[name]).dtype == np.float32
        np.testing.assert_allclose(halves[name], value, rtol=2e-3)


def test_coarser_outputs_weigh_half_and_learn_the_nearest_labels() -> None:
    model = small(
        patch_size=(4, 8), filters=(2, 2, 2), strides=((1, 2), (2, 2)), deep_supervision=True, loss="dice"
    )
    labels = np.zeros((1, 4, 8), np.uint8)
    # Half of 8 are the columns 1, 3, 5, 7; of both of 2 the nearest, too.
    labels[0, :, 1::2] = np.arange(4).reshape(4, 1) % 3
    outputs = {
        LOGITS: 100 * np.eye(3, dtype=np.float32)[(labels + 1) % 3],
        "logits_1": 100 * np.eye(3, dtype=np.float32)[labels[:, :, 1::2]],
    }
    given = features(labels, (1.0,))
    # The second output is right, the first one everywhere wrong: 2/3 of its loss.
    alone = small(patch_size=(4, 8), loss="dice").losses(given, outputs[LOGITS])["dice_loss"]
    np.testing.assert_allclose(
        model.losses(given, outputs)["dice_loss"], 2 / 3 * np.asarray(alone), rtol=1e-5
    )


def test_a_volume_has_the_losses_of_the_image_that_it_repeats() -> None:
    volume = Segmentation(patch_size=(2, 2, 2), filters=(2, 4), loss="cross_entropy")
    given = features(np.stack([LABELS, LABELS], axis=1))
    losses = volume.losses(given, np.stack([LOGITS_2D, LOGITS_2D], axis=1))
    expected = small(loss="cross_entropy").losses(features(), LOGITS_2D)
    np.testing.assert_allclose(losses["cross_entropy"], expected["cross_entropy"], rtol=1e-5)


def measured(name: str, *batches: tuple[dict[str, Any], Any]) -> float:
    metric = small().metrics()[name]
    return metric.result(sum(np.asarray(metric.update(*batch)).astype(np.float64) for batch in batches))


def test_dice_of_a_class_is_of_all_voxels_of_all_patches() -> None:
    # Class 1 is there 2 + 1 times, found 1 + 1 times, each of them rightly; class 2: 2, 1, 1.
    batches = [(features(LABELS[:1], (1.0,)), LOGITS_2D[:1]), (features(LABELS[1:], (1.0,)), LOGITS_2D[1:])]
    assert measured("dice_1", *batches) == pytest.approx(2 * 2 / 5)
    assert measured("dice_2", *batches) == pytest.approx(2 * 1 / 3)
    assert measured("dice", *batches) == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert "dice_0" not in small().metrics()


def test_a_class_that_is_neither_there_nor_found_has_no_dice() -> None:
    first = features(weights=(1.0, 0.0)), LOGITS_2D
    assert math.isnan(measured("dice_2", first))
    assert measured("dice", first) == measured("dice_1", first) == pytest.approx(2 / 3)
    assert math.isnan(measured("dice", (features(weights=(0.0, 0.0)), LOGITS_2D)))


def test_dice_is_of_the_finest_output() -> None:
    assert measured("dice", (features(), {LOGITS: LOGITS_2D})) == measured("dice", (features(), LOGITS_2D))


def test_there_are_as_many_classes_as_names_of_the_label() -> None:
    label = Feature(dtype="bytes", names=("background", "liver"))
    small(num_classes=2).check_features({LABEL: label})
    with pytest.raises(
        ValueError, match=r"^model.num_classes: expected 2, one a label \(background, liver\), got 3$"
    ):
        small().check_features({LABEL: label})
    with pytest.raises(ValueError, match="expected the raw feature 'label', got image"):
        small().check_features({IMAGE: Feature(dtype="bytes")})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_weights": (1.0, 2.0)}, "class_weights: expected 3, one a class, got 2"),
        ({"class_weights": (0.0, 0.0, 0.0)}, "class_weights: expected one above 0"),
        ({"class_weights": (1.0, 0.0, 0.0), "include_background": False}, "expected one above 0"),
    ],
)
def test_weights_that_weigh_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        small(**settings)
