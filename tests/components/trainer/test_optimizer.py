"""Schedules by hand, and which weights decay."""

from typing import Any

import numpy as np
import pytest

from components.train_config import TrainConfig


def rate(config: TrainConfig, step: int, num_steps: int = 100) -> float:
    from components.trainer.optimizer import make_schedule

    schedule = make_schedule(config, num_steps)
    return float(schedule(step)) if callable(schedule) else float(schedule)


def test_a_constant_rate_stays() -> None:
    assert rate(TrainConfig(learning_rate=0.1), 0) == rate(TrainConfig(learning_rate=0.1), 99) == 0.1


@pytest.mark.parametrize(("step", "expected"), [(0, 0.0), (5, 0.5), (10, 1.0), (55, 0.5), (100, 0.0)])
def test_the_rate_warms_up_and_then_falls_to_zero(step: int, expected: float) -> None:
    config = TrainConfig(learning_rate=1.0, warmup_fraction=0.1, schedule="linear")
    assert rate(config, step) == pytest.approx(expected, abs=1e-6)


def test_a_polynomial_falls_to_zero_by_its_power() -> None:
    config = TrainConfig(learning_rate=0.01, schedule="polynomial")
    expected = [0.01, 0.01 * 0.5**0.9, 0.01 * 0.01**0.9, 0.0]
    assert [rate(config, step) for step in (0, 50, 99, 100)] == pytest.approx(expected, abs=1e-8)
    # A tenth of the steps goes before it.
    config = TrainConfig(learning_rate=1.0, schedule="polynomial", power=2, warmup_fraction=0.1)
    assert [rate(config, step) for step in (5, 10, 55)] == pytest.approx([0.5, 1.0, 0.25])


def test_a_cosine_is_half_way_down_in_the_middle() -> None:
    config = TrainConfig(learning_rate=1.0, schedule="cosine")
    assert [rate(config, step) for step in (0, 50, 100)] == pytest.approx([1.0, 0.5, 0.0], abs=1e-6)


def test_an_exponential_decay_follows_its_own_steps() -> None:
    config = TrainConfig(learning_rate=1.0, schedule="exponential", decay_rate=0.96, decay_steps=10)
    assert rate(config, 20) == pytest.approx(0.96**2)


def test_weight_decay_spares_biases_and_norms() -> None:
    import keras

    from components.trainer.optimizer import make_optimizer

    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2, bias_initializer="ones"), keras.layers.LayerNormalization()]
    )
    config = TrainConfig(optimizer="adamw", learning_rate=0.5, weight_decay=0.1)
    optimizer = make_optimizer(config, 10, model.trainable_variables)
    before = [variable.numpy() for variable in model.trainable_variables]
    optimizer.apply([np.zeros_like(value) for value in before], model.trainable_variables)
    kernel, *others = [variable.numpy() for variable in model.trainable_variables]
    # With a zero gradient only the decay moves a weight: w - rate · decay · w.
    np.testing.assert_allclose(kernel, before[0] * (1 - 0.5 * 0.1), rtol=1e-6)
    for value, old in zip(others, before[1:], strict=True):
        np.testing.assert_array_equal(value, old)


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_a_weight_follows_its_own_learning_rate(strategy: str) -> None:
    import keras
    import tensorflow as tf

    from components.trainer.optimizer import make_optimizer
    from components.trainer.strategies import make_strategy

    distribution = make_strategy(strategy)
    with distribution.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(2)])
        config = TrainConfig(optimizer="adamw", learning_rate=0.5, weight_decay=0.1)
        variables = model.trainable_variables
        multipliers = {variables[0].path: 0.1, variables[1].path: 0.0}
        optimizer = make_optimizer(config, 10, variables, multipliers)
    before = [variable.numpy() for variable in variables]
    gradients = [tf.ones_like(value) for value in before]
    distribution.run(tf.function(lambda: optimizer.apply(gradients, variables)))
    # Adam's first step is the rate itself against the sign of the gradient; it comes after the decay.
    for variable, old, rate, decay in zip(
        variables, before, [0.05, 0.0, 0.5, 0.5], [0.1, 0.0, 0.1, 0.0], strict=True
    ):
        np.testing.assert_allclose(variable.numpy(), old * (1 - rate * decay) - rate, atol=1e-5)


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_many_steps_are_those_of_keras_own_adam(strategy: str) -> None:
    import keras
    import tensorflow as tf

    from components.trainer.optimizer import make_optimizer
    from components.trainer.strategies import make_strategy

    random = np.random.default_rng(0)
    start = [random.normal(size=shape).astype("float32") for shape in ((3, 2), (2,))]
    steps = [[random.normal(size=value.shape).astype("float32") for value in start] for _ in range(20)]
    config = TrainConfig(
        optimizer="adamw", learning_rate=0.1, weight_decay=0.01, weight_decay_exclude=(), epsilon=1e-6,
        schedule="linear",
    )  # fmt: skip
    distribution = make_strategy(strategy)
    with distribution.scope():
        variables = [keras.Variable(value) for value in start]
        optimizer = make_optimizer(config, 20, variables)
    update = tf.function(lambda gradients: optimizer.apply(gradients, variables))
    expected = [keras.Variable(value) for value in start]
    own = keras.optimizers.AdamW(
        keras.optimizers.schedules.PolynomialDecay(0.1, 20, 0.0), weight_decay=0.01, epsilon=1e-6
    )
    for gradients in steps:
        distribution.run(update, args=([tf.constant(gradient) for gradient in gradients],))
        own.apply(gradients, expected)
    for variable, other in zip(variables, expected, strict=True):
        # 1 - 0.999, in float32 here and in float64 there, differs by 5e-5 of itself; a step is 0.1 at most.
        np.testing.assert_allclose(variable.numpy(), other.numpy(), atol=2e-5)


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_many_steps_are_those_of_keras_own_nesterov_momentum(strategy: str) -> None:
    import keras
    import tensorflow as tf

    from components.trainer.optimizer import make_optimizer
    from components.trainer.strategies import make_strategy

    random = np.random.default_rng(0)
    start = random.normal(size=(3, 2)).astype("float32")
    config = TrainConfig(
        optimizer="sgd", learning_rate=0.01, momentum=0.99, nesterov=True, schedule="polynomial"
    )
    distribution = make_strategy(strategy)
    with distribution.scope():
        variable = keras.Variable(start)
        optimizer = make_optimizer(config, 20, [variable])
    update = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    expected = keras.Variable(start)
    schedule = keras.optimizers.schedules.PolynomialDecay(0.01, 20, 0.0, power=0.9)
    own = keras.optimizers.SGD(schedule, momentum=0.99, nesterov=True)
    # By hand, too: m = 0.99 m - rate g; w += 0.99 m - rate g.
    weight, velocity = start.astype(np.float64), np.zeros_like(start, np.float64)
    for step in range(20):
        gradient = random.normal(size=start.shape).astype("float32")
        distribution.run(update, args=(tf.constant(gradient),))
        own.apply([gradient], [expected])
        down = 0.01 * (1 - step / 20) ** 0.9 * gradient
        velocity = 0.99 * velocity - down
        weight += 0.99 * velocity - down
    np.testing.assert_allclose(variable.numpy(), expected.numpy(), atol=1e-6)
    np.testing.assert_allclose(variable.numpy(), weight, atol=1e-5)


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_lamb_adapts_each_step_to_the_size_of_the_weight(strategy: str) -> None:
    import keras
    import tensorflow as tf

    from components.trainer.optimizer import make_optimizer
    from components.trainer.strategies import make_strategy

    # One begins with 0, one has no gradient, and a bias neither decays nor is adapted.
    start = {"kernel": [3.0, -4.0], "slow": [2.0, 0.0], "zero": [0.0, 0.0], "still": [1.0, 1.0],
             "bias": [0.5, 0.5]}  # fmt: skip
    steps = [
        {"kernel": [0.1, 0.3], "slow": [1.0, -1.0], "zero": [0.2, 0.0], "still": [0.0, 0.0],
         "bias": [2.0, 0.1]},
        {"kernel": [-0.2, 0.1], "slow": [0.5, 2.0], "zero": [0.1, 0.3], "still": [0.0, 0.0],
         "bias": [1.0, 0.3]},
    ]  # fmt: skip
    rates = {"slow": 0.25}
    config = TrainConfig(optimizer="lamb", learning_rate=0.1, weight_decay=0.01, epsilon=1e-6)
    distribution = make_strategy(strategy)
    with distribution.scope():
        variables = [keras.Variable(np.array(value, np.float32), name=name) for name, value in start.items()]
        optimizer = make_optimizer(config, 10, variables, rates)
    update = tf.function(lambda gradients: optimizer.apply(gradients, variables))
    for gradients in steps:
        distribution.run(update, args=([tf.constant(gradients[name]) for name in start],))
    for variable, name in zip(variables, start, strict=True):
        expected = lamb(start[name], [step[name] for step in steps], name != "bias", rates.get(name, 1.0))
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, err_msg=name)
    # By hand: both moments of the first step divide to the gradient's sign, to which 0.01 of the weight is
    # added: (1.03, 0.96); 5 / 1.408 of it, times 0.1.
    first = lamb(start["kernel"], [steps[0]["kernel"]], True, 1.0)
    np.testing.assert_allclose(first, [3 - 0.36577, -4 - 0.34091], atol=1e-4)


def lamb(weight: list[float], gradients: list[list[float]], adapts: bool, multiplier: float) -> Any:
    """Returns the weight after updates with a rate of 0.1, a decay of 0.01 and an epsilon of 1e-6."""
    w, m, v = np.array(weight), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate(gradients, start=1):
        g = np.array(gradient)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        r = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-6)
        if not adapts:
            w = w - 0.1 * multiplier * r
            continue
        r = r + 0.01 * w
        norm, update_norm = np.linalg.norm(w), np.linalg.norm(r)
        ratio = norm / update_norm if norm > 0 and update_norm > 0 else 1.0
        w = w - 0.1 * multiplier * ratio * r
    return w


def test_looking_ahead_takes_a_momentum() -> None:
    with pytest.raises(ValueError, match="nesterov: expected a momentum above 0, got 0"):
        TrainConfig(optimizer="sgd", nesterov=True)
    assert TrainConfig(optimizer="adam", nesterov=True).nesterov
