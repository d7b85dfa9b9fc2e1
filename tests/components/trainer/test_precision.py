"""Dynamic loss scaling."""

import math
from typing import Any, NamedTuple

import pytest


def test_the_scale_halves_on_overflow_and_doubles_after_enough_finite_steps() -> None:
    import tensorflow as tf

    from components.trainer.loss_scale import LossScale

    scale = LossScale(initial=8.0, growth_steps=3)
    seen = []
    for finite in (True, True, False, True, True, True, True):
        scale.update(tf.constant(finite))
        seen.append(float(scale.scale.numpy()))
    # The overflow starts the count of finite steps again.
    assert seen == [8.0, 8.0, 4.0, 4.0, 4.0, 8.0, 8.0]


def test_the_scale_never_falls_under_one() -> None:
    import tensorflow as tf

    from components.trainer.loss_scale import LossScale

    scale = LossScale(initial=1.5)
    for _ in range(3):
        scale.update(tf.constant(False))
    assert float(scale.scale.numpy()) == 1.0


def test_the_dtype_policy_is_put_back() -> None:
    import keras

    from components.models.precision import dtype_policy

    before = keras.config.dtype_policy().name
    with pytest.raises(ZeroDivisionError), dtype_policy("mixed_bfloat16"):
        raise ZeroDivisionError
    assert keras.config.dtype_policy().name == before


class Case(NamedTuple):
    """A loop over images of our choice on two replicas, in float16."""

    loop: Any
    strategy: Any
    keras_model: Any
    optimizer: Any
    loss_scale: Any

    def run(self, *brightness: float) -> Any:
        """Runs a step for each brightness of an image."""
        import tensorflow as tf

        from components.features import EXAMPLE_WEIGHT, IMAGE, LABEL

        batches = tf.data.Dataset.from_tensor_slices(list(brightness)).map(
            lambda value: {
                IMAGE: tf.fill([2, 4, 4], value),
                LABEL: tf.zeros([2], tf.int64),
                EXAMPLE_WEIGHT: tf.ones([2]),
            }
        )
        # The two replicas take turns.
        datasets = self.strategy.distribute_datasets_from_function(
            lambda context: batches.flat_map(lambda batch: tf.data.Dataset.from_tensors(batch).repeat(2))
        )
        return self.loop.run(iter(datasets), len(brightness))


@pytest.fixture
def case() -> Case:
    import keras

    from components.models.mnist_cnn import MnistCnn
    from components.models.precision import dtype_policy
    from components.train_config import TrainConfig
    from components.trainer.loop import CompiledLoop
    from components.trainer.loss_scale import LossScale
    from components.trainer.optimizer import make_optimizer
    from components.trainer.strategies import make_strategy

    strategy = make_strategy("mirrored")
    config = TrainConfig(dtype="mixed_float16")
    model = MnistCnn(image_shape=(4, 4), filters=(1, 1), hidden_dim=2, dropout_rate=0.0)
    keras.utils.set_random_seed(0)
    with strategy.scope(), dtype_policy(config.dtype):
        keras_model = model.build()
        optimizer = make_optimizer(config, 10, keras_model.trainable_variables)
        loss_scale = LossScale()
    loop = CompiledLoop(strategy, keras_model, optimizer, model, config, loss_scale)
    return Case(loop, strategy, keras_model, optimizer, loss_scale)


INF = float("inf")


def test_a_step_that_overflows_changes_no_weight(case: Case) -> None:
    import keras

    before = case.keras_model.get_weights()
    result = case.run(INF, INF)
    for old, new in zip(before, case.keras_model.get_weights(), strict=True):
        assert (old == new).all()
    assert float(case.loss_scale.scale.numpy()) == 2.0**13
    assert int(keras.ops.convert_to_numpy(case.optimizer.iterations)) == 0
    assert result.skipped_steps == 2
    assert math.isnan(result.losses["loss"])


def test_a_skipped_step_counts_in_no_mean(case: Case) -> None:
    weights = case.keras_model.get_weights()
    alone = case.run(0.5)
    case.keras_model.set_weights(weights)
    mixed = case.run(INF, 0.5, INF)
    assert (alone.skipped_steps, mixed.skipped_steps) == (0, 2)
    assert mixed.losses == pytest.approx(alone.losses)
    assert mixed.losses["loss"] == mixed.losses["cross_entropy"] > 0
    assert mixed.gradient_norm == pytest.approx(alone.gradient_norm, rel=1e-2)
