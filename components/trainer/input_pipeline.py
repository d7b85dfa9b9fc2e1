"""Examples to batches: the same global batches in the same order on any number of replicas and workers.

An epoch is a permutation of the records' numbers. Every worker knows all of it and reads its own part, so a
run depends neither on the number of workers nor on where it was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from components.features import EXAMPLE_WEIGHT
from components.trainer.records import Records
from components.trainer.shuffling import permutation
from components.windows.padding import pad


class ExampleFiles(NamedTuple):
    """GZIP TFRecord files of one split, what is in each record, and how many there are."""

    files: Sequence[str]
    feature_spec: dict[str, Any]
    num_examples: int
    # Features of variable length are padded to a multiple of this: few shapes, and little padding.
    pad_to_multiple_of: int = 32
    # What makes features of what is in the records; None: they are features.
    preprocess: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def in_order(self) -> tf.data.Dataset:
        """Returns the serialized examples, one by one."""
        return tf.data.TFRecordDataset(sorted(self.files), compression_type="GZIP")

    def parse(self, records: Any) -> dict[str, Any]:
        """Returns the dense features of a batch of serialized examples."""
        parsed = tf.io.parse_example(records, self.feature_spec)
        return pad(self.preprocess(parsed) if self.preprocess else parsed, self.pad_to_multiple_of)


class Share(NamedTuple):
    """The part of each global batch that one worker trains on, and how its replicas share that."""

    rows: slice
    per_replica: int

    @property
    def num_replicas(self) -> int:
        """The replicas of this worker."""
        return (self.rows.stop - self.rows.start) // self.per_replica


def share_of(global_batch_size: int, context: tf.distribute.InputContext) -> Share:
    """Returns the share of the worker that a context is about."""
    size = global_batch_size // context.num_input_pipelines
    start = context.input_pipeline_id * size
    return Share(slice(start, start + size), context.get_per_replica_batch_size(global_batch_size))


class TrainingStream(NamedTuple):
    """Shuffled epochs, each cut into full global batches."""

    records: Records
    examples: ExampleFiles
    global_batch_size: int
    seed: int

    @property
    def size(self) -> str:
        """How much there is in an epoch, in words."""
        return f"{len(self.records)} training examples"

    @property
    def steps_per_epoch(self) -> int:
        return len(self.records) // self.global_batch_size

    def batches(self, start_step: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Returns per-replica batches from optimizer step `start_step` to its epoch's end, for one worker."""
        # The order of an epoch depends on nothing but the seed and its number: any can be entered directly.
        epoch, start = divmod(start_step, self.steps_per_epoch)
        order = permutation(len(self.records), self.seed, epoch)
        share = share_of(self.global_batch_size, context)

        def read(batch: int, replica: int) -> Any:
            begin = batch * self.global_batch_size + share.rows.start + replica * share.per_replica
            return self.records.read(order[begin : begin + share.per_replica])

        def load(number: Any) -> dict[str, Any]:
            where = [number // share.num_replicas, number % share.num_replicas]
            records = tf.numpy_function(read, where, tf.string, stateful=False)
            features = self.examples.parse(tf.ensure_shape(records, [share.per_replica]))
            return {**features, EXAMPLE_WEIGHT: tf.ones([share.per_replica])}

        numbers = (start * share.num_replicas, self.steps_per_epoch * share.num_replicas)
        return tf.data.Dataset.range(*numbers).map(load, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


class EvalStream(NamedTuple):
    """Every example once; the last batch is filled up with examples of weight 0."""

    examples: ExampleFiles
    global_batch_size: int

    def batches(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Returns per-replica batches for one worker."""
        batches = filled_batches(
            self.examples.in_order(), self.examples.num_examples, self.global_batch_size, context
        )

        def parse(records: Any, weights: Any) -> dict[str, Any]:
            return {**self.examples.parse(records), EXAMPLE_WEIGHT: weights}

        return batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def filled_batches(
    elements: tf.data.Dataset, count: int, global_batch_size: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """Returns per-replica batches of `count` elements and their weights, for one worker.

    The last global batch is filled up with elements of weight 0; an error if there are not `count`.
    """
    counted = elements.apply(tf.data.experimental.assert_cardinality(count))
    real = counted.map(lambda element: (element, 1.0))
    filling = elements.take(1).repeat(-count % global_batch_size).map(lambda element: (element, 0.0))
    batches = real.concatenate(filling).batch(global_batch_size, drop_remainder=True)
    share = share_of(global_batch_size, context)
    own = batches.map(lambda *batch: tf.nest.map_structure(lambda part: part[share.rows], batch))
    return own.rebatch(share.per_replica, drop_remainder=True)
