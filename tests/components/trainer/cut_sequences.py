"""A task with windows for tests: long sequences cut into short overlapping ones, and a model of those."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.config import Config
from components.features import EXAMPLE_WEIGHT
from components.protocols import StreamingMetric
from components.task import Task
from components.trainer.input_pipeline import ExampleFiles
from pipelines.tasks import TASKS

LENGTH, STRIDE = 8, 4
VALUES, TARGETS = "values", "targets"


class Cuts(Config):
    """Windows of LENGTH values that begin every STRIDE values; an epoch moves them a little.

    Of a Windowing it has what training needs.
    """

    drawn_per_example: int | None = None

    def fitted_to(self, preprocessing: Any) -> Any:
        return self

    def drawn(self, features: Mapping[str, Any], seed: Any) -> Any:
        # 0 fills up an empty sequence: it has no windows.
        length = tf.reduce_sum(tf.cast(features[VALUES] != 0, tf.int64))
        begins = tf.range(0, length, STRIDE) if self.drawn_per_example is None else self._fixed()
        begins += seed[1] % STRIDE
        return tf.stack([tf.zeros_like(begins), begins], axis=1)

    def _fixed(self) -> Any:
        return tf.range(self.drawn_per_example, dtype=tf.int64) * STRIDE

    def take(self, features: Mapping[str, Any], places: Any) -> dict[str, Any]:
        positions = places[:, 1:] + tf.range(LENGTH, dtype=tf.int64)
        return {name: _values_at(features[name][0], positions) for name in (VALUES, TARGETS)}


def _values_at(sequence: Any, positions: Any) -> Any:
    """Returns 0 beyond the end."""
    padded = tf.pad(sequence, [[0, LENGTH + 3 * STRIDE + 20]])
    return tf.ensure_shape(tf.gather(padded, positions), [None, LENGTH])


class Running(Config):
    """Predicts the targets of a window."""

    dropout_rate: float = 0.0
    pretrained: bool = False
    loss_terms: tuple[str, ...] = ("squared_error",)

    def build(self) -> keras.Model:
        values = keras.Input((LENGTH,), name=VALUES)
        hidden = keras.layers.Dropout(self.dropout_rate)(keras.layers.Dense(6, "tanh")(values))
        return keras.Model({VALUES: values}, keras.layers.Dense(LENGTH)(hidden))

    def initialize(self, keras_model: keras.Model) -> None:
        """Random weights are all there are."""

    def learning_rate_multipliers(self, keras_model: keras.Model) -> dict[str, float]:
        return {}

    def loss_weights(self, features: Mapping[str, Any]) -> dict[str, Any]:
        return {"squared_error": features[EXAMPLE_WEIGHT]}

    def losses(self, features: Mapping[str, Any], outputs: Any) -> dict[str, Any]:
        return {"squared_error": tf.reduce_mean((outputs - features[TARGETS]) ** 2, axis=1)}

    def metrics(self) -> dict[str, StreamingMetric]:
        return {"windows": StreamingMetric(_count, lambda sums: float(sums[0]))}


def _count(features: Mapping[str, Any], outputs: Any) -> Any:
    return tf.reduce_sum(features[EXAMPLE_WEIGHT], keepdims=True)


def make_task(dropout_rate: float = 0.0, **train: Any) -> Task:
    """Returns the task; keywords are training settings."""
    defaults = {"global_batch_size": 8, "learning_rate": 0.01, "steps_per_loop": 2, "strategy": "one_device"}
    task = TASKS["mnist"].override({"train": {**defaults, **train}})
    return task.model_copy(update={"model": Running(dropout_rate=dropout_rate), "windowing": Cuts()})


def make_sequences(lengths: list[int], seed: int = 0) -> list[dict[str, Any]]:
    """Returns sequences of values that are never 0; a target is the sum of the value and the next one."""
    random = np.random.default_rng(seed)
    values = [random.random(length).astype(np.float32) + 0.1 for length in lengths]
    return [{VALUES: each, TARGETS: each + np.roll(each, -1)} for each in values]


def spec() -> dict[str, Any]:
    return dict.fromkeys((VALUES, TARGETS), tf.io.RaggedFeature(tf.float32, row_splits_dtype=tf.int64))


def write_sequences(path: Path, sequences: list[dict[str, Any]]) -> ExampleFiles:
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        for sequence in sequences:
            features = {
                name: tf.train.Feature(float_list=tf.train.FloatList(value=values))
                for name, values in sequence.items()
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return ExampleFiles([str(path)], spec(), len(sequences))
