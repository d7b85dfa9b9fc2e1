"""The U-Net's shapes, its number of weights by hand, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic
import pytest

from components.features import LOGITS
from components.models.unet import NNUNET_3D, UNET_2D, UNet


def small(**settings: Any) -> UNet:
    return UNet(**{"patch_size": (8, 8, 8), "filters": (2, 4, 8), "num_classes": 3, **settings})


def conv(fan: int, filters: int, voxels: int, bias: bool = False) -> int:
    return fan * filters * voxels + (filters if bias else 0)


def block(fan: int, filters: int, voxels: int) -> int:
    # Two convolutions, and offset, scale, mean and variance of each channel after each.
    return conv(fan, filters, voxels) + conv(filters, filters, voxels) + 2 * 4 * filters


def test_the_number_of_weights_is_that_of_the_drawing() -> None:
    # 3³ voxels a convolution; up: 2³ with a bias, and twice as many channels go into its block.
    down = block(1, 2, 27) + block(2, 4, 27) + block(4, 8, 27)
    up = conv(8, 4, 8, True) + block(8, 4, 27) + conv(4, 2, 8, True) + block(4, 2, 27)
    assert small().network().count_params() == down + up + conv(2, 3, 1, True)


def test_the_2d_network_of_the_paper_has_31_million_weights() -> None:
    names = (64, 128, 256, 512, 1024)
    down = sum(block(fan, filters, 9) for fan, filters in zip((1, *names), names))  # noqa: B905
    up = sum(conv(2 * n, n, 4, True) + block(2 * n, n, 9) for n in names[:-1])
    assert UNET_2D.network().count_params() == down + up + conv(64, 3, 1, True) == 31_048_387


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"spatial_dims": 2, "patch_size": (8, 16)},
        {"normalization": "instance", "activation": "leaky_relu"},
        {"normalization": "group", "num_groups": 2},
        {"normalization": "none", "dropout_rate": 0.5},
        {"residual_encoder": True},
        {"upsampling": "nearest"},
        {"patch_size": (2, 8, 8), "strides": ((1, 2, 2), (2, 2, 2))},
    ],
    ids=lambda settings: "-".join(settings) or "default",
)
def test_logits_have_the_shape_of_the_patch(settings: dict[str, Any]) -> None:
    config = small(**settings)
    logits = config.network()({"image": np.zeros((2, *config.patch_size), np.float32)})
    assert logits.shape == (2, *config.patch_size, 3)
    assert np.isfinite(np.asarray(logits)).all()


def test_coarser_levels_have_logits_of_their_own_under_deep_supervision() -> None:
    config = small(deep_supervision=True, filters=(2, 4, 8, 8), strides=((1, 2, 2), (2, 2, 2), (2, 2, 2)))
    outputs = config.network()({"image": np.zeros((1, 8, 8, 8), np.float32)})
    assert {name: tuple(each.shape[1:4]) for name, each in outputs.items()} == {
        LOGITS: (8, 8, 8), "logits_1": (8, 4, 4), "logits_2": (4, 2, 2)
    }  # fmt: skip
    assert config.outputs == (LOGITS, "logits_1", "logits_2")
    assert len(NNUNET_3D.outputs) == 4


def test_what_is_far_away_is_seen_as_well_as_what_is_near() -> None:
    import keras

    keras.utils.set_random_seed(1)
    network = small(normalization="none").network()
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 8)).astype(np.float32)
    changed = image.copy()
    changed[0, 0, 0, 0] += 5
    difference = np.abs(np.asarray(network({"image": image})) - np.asarray(network({"image": changed})))
    assert difference[0, 0, 0, 0].max() > 0
    assert difference[0, 7, 7, 7].max() > 0


@pytest.mark.parametrize("normalization", ["instance", "group"])
def test_scans_of_a_batch_do_not_change_each_other(normalization: str) -> None:
    network = small(normalization=normalization, num_groups=2).network()
    batch = np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype(np.float32)
    alone = np.asarray(network({"image": batch[:1]}, training=True))
    assert np.allclose(np.asarray(network({"image": batch}, training=True))[:1], alone, atol=1e-5)


def test_logits_are_float32_under_mixed_precision() -> None:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = small().network()
    finally:
        keras.config.set_dtype_policy(before)
    assert network.output.dtype == "float32"
    assert network.get_layer("down_0_conv_0").compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch_size": (8, 8, 10)}, r"patch_size\[2\]: expected a multiple of 4, such as 8, got 10"),
        ({"patch_size": (1, 8, 8)}, r"patch_size\[0\]: expected a multiple of 4, such as 4, got 1"),
        ({"patch_size": (8, 8)}, r"patch_size: expected 3 numbers, got \[8, 8\]"),
        ({"strides": ((2, 2, 2),)}, "strides: expected 2, one less than filters, got 1"),
        ({"strides": ((2, 2), (2, 2))}, r"strides: expected 3 numbers, got \[2, 2\]"),
        ({"normalization": "group", "num_groups": 3}, "filters: expected multiples of num_groups 3, got 2"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        small(**settings)
