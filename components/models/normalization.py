"""Batch and instance normalization of volumes by the kernel that TensorFlow has for images."""

from __future__ import annotations

import math
from typing import Any

import keras


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' own, but trained by one operation there and one back, where Keras has one for each term.

    Other backends than TensorFlow fuse the terms themselves.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not training or not self.trainable or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        # The kernel takes [batch, height, width, channels]; which voxel is where makes no difference.
        sizes = tf.shape(inputs)
        image = tf.reshape(
            inputs, [sizes[0], math.prod(inputs.shape[1:-2]), inputs.shape[-2], inputs.shape[-1]]
        )
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            image, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        count = tf.cast(tf.size(inputs, tf.int64) // inputs.shape[-1], variance.dtype)
        # The kernel answers with the estimate for a population, Keras keeps that of the batch.
        for kept, new in ((self.moving_mean, mean), (self.moving_variance, variance * (count - 1) / count)):
            kept.assign(kept * self.momentum + new * (1 - self.momentum))
        return tf.reshape(outputs, sizes)


class InstanceNormalization(keras.layers.GroupNormalization):
    """Keras' own with a group a channel, by the same operation, example by example."""

    def call(self, inputs: Any) -> Any:
        if keras.backend.backend() != "tensorflow":
            return super().call(inputs)
        import tensorflow as tf

        size, channels = math.prod(inputs.shape[1:-1]), inputs.shape[-1]
        # The kernel wants them in float32 also where it is given less.
        gamma, beta = (tf.cast(each.value, tf.float32) for each in (self.gamma, self.beta))

        def normalized(example: Any) -> Any:
            # The statistics of one example are those of a batch of one.
            outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
                tf.reshape(example, [1, size, 1, channels]),
                gamma, beta, epsilon=self.epsilon, is_training=True,
            )  # fmt: skip
            return tf.reshape(outputs, example.shape)

        return tf.map_fn(
            normalized, inputs, fn_output_signature=tf.TensorSpec(inputs.shape[1:], inputs.dtype)
        )
