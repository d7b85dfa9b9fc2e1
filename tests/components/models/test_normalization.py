"""The fused kernel beside Keras' own layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.mark.parametrize("shape", [(3, 2, 4, 6, 5), (3, 4, 6, 5)], ids=["3d", "2d"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 0.05)])
def test_outputs_gradients_and_kept_statistics_are_those_of_keras_own(
    shape: tuple[int, ...], dtype: str, tolerance: float
) -> None:
    import keras
    import tensorflow as tf

    from components.models.normalization import BatchNormalization

    random = np.random.default_rng(0)
    inputs = [random.normal(3, 2, size=shape).astype(np.float32) for _ in range(3)]
    factors = random.normal(size=shape).astype(np.float32)

    def run(kind: Any) -> list[Any]:
        layer = kind(dtype=dtype, momentum=0.5)
        layer.build(shape)
        layer.set_weights([np.arange(1.0, 6), np.arange(5.0), *layer.get_weights()[2:]])
        weights = [variable.value for variable in layer.trainable_variables]

        @tf.function
        def step(given: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(given)
                outputs = layer(given, training=True)
                loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * factors)
            return outputs, *tape.gradient(loss, [given, *weights])

        results = [
            np.asarray(tf.cast(each, tf.float32)) for given in inputs for each in step(tf.constant(given))
        ]
        after = layer(inputs[0], training=False)
        return [*results, *layer.get_weights(), np.asarray(tf.cast(after, tf.float32))]

    for found, expected in zip(run(BatchNormalization), run(keras.layers.BatchNormalization), strict=True):
        np.testing.assert_allclose(found, expected, atol=tolerance * max(1, np.abs(expected).max()))


def test_a_layer_that_is_not_trained_uses_what_it_has_kept() -> None:
    from components.models.normalization import BatchNormalization

    layer = BatchNormalization(trainable=False, epsilon=0)
    given = np.random.default_rng(0).normal(5, size=(2, 2, 2, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(layer(given, training=True), given, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 2, 4, 6, 5), (1, 4, 6, 5)], ids=["3d", "2d"])
@pytest.mark.parametrize(
    ("dtype", "jit_compile", "tolerance"),
    [("float32", False, 1e-4), ("float32", True, 1e-4), ("mixed_bfloat16", False, 0.05)],
)
def test_instances_are_normalized_as_keras_own_layer_does(
    shape: tuple[int, ...], dtype: str, jit_compile: bool, tolerance: float
) -> None:
    import keras
    import tensorflow as tf

    from components.models.normalization import InstanceNormalization

    random = np.random.default_rng(0)
    given = tf.constant(random.normal(3, 2, size=shape).astype(np.float32))
    factors = random.normal(size=shape).astype(np.float32)

    def run(kind: Any) -> list[Any]:
        layer = kind(-1, epsilon=1e-5, dtype=dtype)
        layer.build(shape)
        layer.set_weights([np.arange(1.0, 6), np.arange(5.0)])
        weights = [variable.value for variable in layer.trainable_variables]

        @tf.function(jit_compile=jit_compile)
        def step(given: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(given)
                outputs = layer(given)
                loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * factors)
            return outputs, *tape.gradient(loss, [given, *weights])

        return [np.asarray(tf.cast(each, tf.float32)) for each in step(given)]

    for found, expected in zip(run(InstanceNormalization), run(keras.layers.GroupNormalization), strict=True):
        np.testing.assert_allclose(found, expected, atol=tolerance * max(1, np.abs(expected).max()))
