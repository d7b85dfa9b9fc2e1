"""TFRecords to batches: the same global batches in the same order on any number of replicas and workers.

Every worker reads the whole stream and keeps its part of each global batch. That costs reading, and
buys that a run depends neither on the number of workers nor on where it was interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from components.features import EXAMPLE_WEIGHT
from components.windows.padding import pad

# Fixed, since the order of the records depends on it: tf.data's AUTOTUNE would follow the number of cores.
_PARALLEL_READS = 4


class ExampleFiles(NamedTuple):
    """GZIP TFRecord files of one split and what is in each record."""

    files: Sequence[str]
    feature_spec: dict[str, Any]
    # Features of variable length are padded to a multiple of this: few shapes, and little padding.
    pad_to_multiple_of: int = 32


def count_examples(files: Sequence[str]) -> int:
    """Returns the number of records, by reading them once."""
    return int(_read(files).reduce(tf.constant(0, tf.int64), lambda count, _: count + 1))


class TrainingStream(NamedTuple):
    """Shuffled epochs, each cut into full global batches."""

    examples: ExampleFiles
    num_examples: int
    global_batch_size: int
    seed: int
    shuffle_buffer_size: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        return self.num_examples // self.global_batch_size

    def batches(self, start_step: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Returns per-replica batches from optimizer step `start_step` to its epoch's end, for one worker."""
        epoch, skipped = divmod(start_step, self.steps_per_epoch)
        # The order of an epoch depends on nothing but the seed and its number: any can be entered directly.
        seed = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0])
        records = _read(self.examples.files)
        shuffled = records.shuffle(self.shuffle_buffer_size or self.num_examples, seed)
        batches = shuffled.batch(self.global_batch_size, drop_remainder=True)
        # skip() comes before parsing: a resumed run only decompresses what it leaves out.
        weighted = batches.skip(skipped).map(lambda batch: (batch, tf.ones(self.global_batch_size)))
        return _share_of_worker(weighted, self.global_batch_size, self.examples, context)


class EvalStream(NamedTuple):
    """Every example once; the last batch is filled up with examples of weight 0."""

    examples: ExampleFiles
    num_examples: int
    global_batch_size: int

    @property
    def num_batches(self) -> int:
        return -(-self.num_examples // self.global_batch_size)

    def batches(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Returns per-replica batches for one worker."""
        missing = self.num_batches * self.global_batch_size - self.num_examples
        records = _read(self.examples.files)
        real = records.map(lambda record: (record, 1.0))
        filling = records.take(1).repeat(missing).map(lambda record: (record, 0.0))
        batches = real.concatenate(filling).batch(self.global_batch_size, drop_remainder=True)
        return _share_of_worker(batches, self.global_batch_size, self.examples, context)


def _read(files: Sequence[str]) -> tf.data.Dataset:
    dataset = tf.data.Dataset.from_tensor_slices(sorted(files))
    return dataset.interleave(
        lambda file: tf.data.TFRecordDataset(file, compression_type="GZIP"),
        cycle_length=min(len(files), _PARALLEL_READS),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _share_of_worker(
    batches: tf.data.Dataset, global_batch_size: int, examples: ExampleFiles, context: Any
) -> tf.data.Dataset:
    """Returns this worker's part of each global batch, cut into the batches of its replicas and parsed."""
    per_worker = global_batch_size // context.num_input_pipelines
    start = context.input_pipeline_id * per_worker
    per_replica = context.get_per_replica_batch_size(global_batch_size)
    if per_worker != global_batch_size:
        batches = batches.map(lambda *parts: tuple(p[start : start + per_worker] for p in parts))
    if per_replica != per_worker:
        batches = batches.unbatch().batch(per_replica, drop_remainder=True)

    def parse(records: Any, weights: Any) -> dict[str, Any]:
        features = tf.io.parse_example(records, examples.feature_spec)
        return {**pad(features, examples.pad_to_multiple_of), EXAMPLE_WEIGHT: weights}

    return batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
