"""Dynamic loss scaling."""

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


def test_a_step_that_overflows_changes_no_weight() -> None:
    import keras
    import tensorflow as tf

    from components.features import EXAMPLE_WEIGHT, IMAGE, LABEL
    from components.models.mnist_cnn import MnistCnn
    from components.models.precision import dtype_policy
    from components.train_config import TrainConfig
    from components.trainer.loop import CompiledLoop
    from components.trainer.loss_scale import LossScale
    from components.trainer.optimizer import make_optimizer
    from components.trainer.strategies import make_strategy

    strategy = make_strategy("mirrored")
    config, model = (
        TrainConfig(dtype="mixed_float16"),
        MnistCnn(image_shape=(4, 4), filters=(1, 1), hidden_dim=2),
    )
    with strategy.scope(), dtype_policy(config.dtype):
        keras_model = model.build()
        optimizer = make_optimizer(config, 10, keras_model.trainable_variables)
        loss_scale = LossScale()
    batch = {
        IMAGE: tf.fill([2, 4, 4], float("inf")),
        LABEL: tf.zeros([2], tf.int64),
        EXAMPLE_WEIGHT: tf.ones([2]),
    }
    datasets = strategy.distribute_datasets_from_function(
        lambda context: tf.data.Dataset.from_tensors(batch).repeat()
    )
    before = keras_model.get_weights()
    loop = CompiledLoop(strategy, keras_model, optimizer, model, config, loss_scale)
    loop.run(iter(datasets), 2)
    for old, new in zip(before, keras_model.get_weights(), strict=True):
        assert (old == new).all()
    assert float(loss_scale.scale.numpy()) == 2.0**13
    assert int(keras.ops.convert_to_numpy(optimizer.iterations)) == 0
