"""Dropout's masks on several replicas."""

from typing import Any

import numpy as np

ROWS, SIZE = 4, 64


def masks(strategy_name: str, steps: int = 2) -> Any:
    """Returns float32[steps, rows, size]: dropout of equal rows; replicas follow one another."""
    import keras
    import tensorflow as tf

    from components.trainer.replica_seeds import draw_by_replica
    from components.trainer.strategies import make_strategy

    strategy = make_strategy(strategy_name)
    with strategy.scope():
        model = keras.Sequential([keras.Input((SIZE,)), keras.layers.Dropout(0.5, seed=7)])
        draw_by_replica(model)
    rows = tf.ones([ROWS // strategy.num_replicas_in_sync, SIZE])
    step = tf.function(lambda: strategy.run(lambda: model(rows, training=True)))
    return [np.concatenate(strategy.experimental_local_results(step())) for _ in range(steps)]


def test_each_replica_drops_others() -> None:
    for step in masks("mirrored"):
        first, second = np.split(step, 2)
        assert not np.array_equal(first, second)
        # About half of 128 values each.
        assert 0.3 < (first == 0).mean() < 0.7
        assert 0.3 < (second == 0).mean() < 0.7


def test_each_step_drops_others() -> None:
    first, second = masks("mirrored")
    assert not np.array_equal(first, second)


def test_one_device_and_the_first_replica_drop_as_before() -> None:
    import keras

    generator = keras.random.SeedGenerator(7)
    half = np.ones([ROWS // 2, SIZE], np.float32)
    for step in masks("mirrored"):
        expected = keras.random.dropout(half, 0.5, seed=generator)
        np.testing.assert_array_equal(step[: ROWS // 2], expected)
    generator = keras.random.SeedGenerator(7)
    for step in masks("one_device"):
        np.testing.assert_array_equal(
            step, keras.random.dropout(np.ones([ROWS, SIZE], np.float32), 0.5, seed=generator)
        )
