"""Patches through the trainer's compiled loop: they are learned, however a batch is cut up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from components.features import EXAMPLE_WEIGHT, IMAGE, LABEL
from components.models.segmentation import Segmentation
from components.train_config import TrainConfig
from components.trainer.errors import TrainConfigError


def batch(size: int, spatial_dims: int) -> dict[str, Any]:
    """Returns noise with a bright box of class 1 in it, and in it a dark one of class 2 in every other."""
    random = np.random.default_rng(0)
    label = np.zeros((size, *(8,) * spatial_dims), np.uint8)
    for number in range(size):
        label[(number, *(slice(1, 7),) * spatial_dims)] = 1
        if number % 2:
            label[(number, *(slice(3, 5),) * spatial_dims)] = 2
    image = random.normal(size=label.shape) * 0.1 + np.array([0.0, 1.0, -1.0])[label]
    return {IMAGE: image.astype(np.float32), LABEL: label, EXAMPLE_WEIGHT: np.ones(size, np.float32)}


def trained(model: Segmentation, steps: int, **settings: Any) -> tuple[list[NDArray[Any]], dict[str, float]]:
    """Returns the weights after some steps on one batch, and the metrics of it."""
    import keras
    import tensorflow as tf

    from components.models.precision import dtype_policy
    from components.trainer.loop import CompiledLoop
    from components.trainer.optimizer import make_optimizer
    from components.trainer.strategies import make_strategy

    config = TrainConfig(**{"global_batch_size": 4, "learning_rate": 0.01, **settings})
    keras.utils.set_random_seed(1)
    strategy = make_strategy(config.strategy)
    with strategy.scope(), dtype_policy(config.dtype):
        network = model.build()
        optimizer = make_optimizer(config, steps, network.trainable_variables)
    loop = CompiledLoop(strategy, network, optimizer, model, config, None)
    examples = batch(config.global_batch_size, model.spatial_dims)
    batches = strategy.distribute_datasets_from_function(
        lambda context: tf.data.Dataset.from_tensors(examples).repeat()
    )
    loop.run(iter(batches), steps)
    metrics = loop.evaluate([next(iter(batches))])
    return [np.asarray(weight) for weight in network.weights], metrics


def small(**settings: Any) -> Segmentation:
    dims = settings.get("spatial_dims", 3)
    return Segmentation(
        **{"patch_size": (8,) * dims, "filters": (4, 8), "normalization": "instance", **settings}
    )


@pytest.mark.parametrize(
    ("settings", "train"),
    [
        ({"spatial_dims": 2}, {}),
        ({"deep_supervision": True, "filters": (4, 8, 8)}, {}),
        ({"loss": "dice", "include_background": False}, {}),
        ({"loss": "adaptive_dice"}, {}),
        (
            {"loss": "cross_entropy", "class_weights": (1.0, 1.0, 20.0)},
            {"dtype": "mixed_bfloat16", "jit_compile": True},
        ),
    ],
    ids=["2d", "deep", "dice", "adaptive_dice", "weighted-bfloat16-xla"],
)
def test_a_box_in_a_box_is_found(settings: dict[str, Any], train: dict[str, Any]) -> None:
    _, metrics = trained(small(**settings), 80, **train)
    assert min(metrics["dice"], metrics["dice_1"], metrics["dice_2"]) > 0.9
    assert 0 < metrics["loss"] < 0.5


def test_few_bits_that_a_device_cannot_pool_in_are_refused_in_one_line() -> None:
    message = (
        "train.dtype: expected float32, or train.jit_compile=true beside it, got mixed_float16: "
        "TensorFlow has no MaxPool3D for it on this device"
    )
    with pytest.raises(TrainConfigError) as caught:
        trained(small(), 1, dtype="mixed_float16")
    assert str(caught.value) == message
    _, metrics = trained(small(), 1, dtype="mixed_float16", jit_compile=True)
    assert np.isfinite(metrics["loss"])


@pytest.mark.parametrize("settings", [{}, {"deep_supervision": True, "class_weights": (1.0, 2.0, 3.0)}])
def test_a_batch_in_parts_gives_the_same_weights(settings: dict[str, Any]) -> None:
    # SGD, since Adam would turn rounding of a gradient near 0 into a step.
    train = {"optimizer": "sgd", "learning_rate": 0.1}
    whole, expected = trained(small(**settings), 3, **train)
    parts, metrics = trained(small(**settings), 3, **train, gradient_accumulation_steps=4)
    for weight, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-5)
    assert metrics == pytest.approx(expected, rel=1e-4)
