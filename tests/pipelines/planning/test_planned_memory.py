"""What training takes of memory: by hand, and against Keras' own count of weights."""

from typing import Any

import pytest

from components.models.segmentation import Segmentation
from components.models.unet import UNet
from components.train_config import TrainConfig
from pipelines.planning import memory

SMALL: dict[str, Any] = {"patch_size": (8, 8, 8), "filters": (2, 4), "num_groups": 2}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"normalization": "instance", "upsampling": "nearest"},
        {"normalization": "none", "convolutions": 3},
        {"normalization": "group", "residual_encoder": True},
        {"filters": (2, 4, 6), "deep_supervision": True, "strides": ((1, 2, 2), (2, 2, 2))},
        {"spatial_dims": 2, "patch_size": (8, 8)},
    ],
)
def test_every_weight_is_counted(settings: dict[str, Any]) -> None:
    model = UNet(**SMALL | settings)
    counted = sum(each.num_weights for each in memory._convolutions(model))
    assert counted == model.network().count_params()


def test_outputs_of_all_convolutions_are_counted() -> None:
    # Of 8³ = 512 and 4³ = 64 voxels: two with 2 and two with 4 filters down, then one and two with 2 up,
    # and 3 classes.
    by_hand = [512 * 2, 512 * 2, 64 * 4, 64 * 4, 512 * 2, 512 * 2, 512 * 2, 512 * 3]
    assert [each.num_outputs for each in memory._convolutions(UNet(**SMALL))] == by_hand


def test_memory_grows_by_what_a_patch_takes() -> None:
    model, train = Segmentation(**SMALL), TrainConfig()
    one, two, three = (memory.step_bytes(model, train, count) for count in (1, 2, 3))
    assert three - two == pytest.approx(two - one, abs=2)
    leaky = model.model_copy(update={"activation": "leaky_relu"})
    assert memory.step_bytes(leaky, train, 3) > three
    # Momentum is one number a weight, Adam's are two.
    sgd = train.model_copy(update={"optimizer": "sgd"})
    weights = model.network().count_params()
    assert three - memory.step_bytes(model, sgd, 3) == 4 * weights
