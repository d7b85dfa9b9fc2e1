"""Examples that are cut into windows, to batches of windows: as in input_pipeline.py, equal for any workers.

Each example is read whole, and its windows wait in a block for those of its neighbours in the epoch; see
shuffling.py for the order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.features import EXAMPLE_WEIGHT
from components.protocols import Varied, Windowing
from components.train_config import TrainConfig
from components.trainer.errors import TrainingFailure
from components.trainer.input_pipeline import ExampleFiles, filled_batches, share_of
from components.trainer.records import Records
from components.trainer.shuffling import WindowEpoch
from components.windows.fold import prepared

# Whole examples in memory at once. Not tf.data's AUTOTUNE, which knows nothing of their size.
_PARALLEL_EXAMPLES = 4
# More than that are not mixed any better.
_MAX_BLOCK_WINDOWS = 4096
# As an epoch draws them when nothing is to change from one evaluation to the next.
_FIXED_SEED = 0


class ExampleWindows(NamedTuple):
    """How serialized examples become the windows that a model trains on."""

    examples: ExampleFiles
    windowing: Windowing

    def count_windows(self, records: tf.data.Dataset) -> NDArray[np.int64]:
        """Returns int64[examples]: how many windows an epoch draws of each of the `records`, [1] each."""
        if self.windowing.drawn_per_example is not None:
            return np.full(self.examples.num_examples, self.windowing.drawn_per_example)

        def count(record: Any) -> Any:
            _, places = self._drawn(record, tf.zeros([2], tf.int64))
            return tf.shape(places, tf.int64)[0]

        counts = records.map(count, _PARALLEL_EXAMPLES)
        return np.fromiter(counts.as_numpy_iterator(), np.int64)

    def all(self, record: Any, seed: Any) -> dict[str, Any]:
        """Returns what is drawn of one serialized example, [1]: [windows, …] each."""
        return self.windowing.take(*self._drawn(record, seed))

    def some(self, record: Any, seed: Any, numbers: Any) -> dict[str, Any]:
        """Returns those of `all` that have these numbers, int64[windows], varied where that is wanted."""
        features, places = self._drawn(record, seed)
        taken = self.windowing.take(features, tf.gather(places, numbers))
        if not isinstance(self.windowing, Varied):
            return taken
        # A seed of its own for each window of an example and an epoch.
        return self.windowing.varied(taken, seed + tf.stack([tf.zeros_like(numbers), numbers], axis=1))

    def _drawn(self, record: Any, seed: Any) -> tuple[dict[str, Any], Any]:
        # As when a model serves: not padded to a multiple.
        features = self.examples._replace(pad_to_multiple_of=1).parse(tf.ensure_shape(record, [1]))
        features = prepared(self.windowing, features)
        return features, self.windowing.drawn(features, seed)


class WindowStream(NamedTuple):
    """Epochs of shuffled windows, each cut into full global batches."""

    records: Records
    windows: ExampleWindows
    counts: NDArray[np.int64]
    global_batch_size: int
    seed: int
    batches_per_block: int

    @property
    def size(self) -> str:
        """How much there is in an epoch, in words."""
        return f"{self.counts.sum()} training windows"

    @property
    def steps_per_epoch(self) -> int:
        return int(self.counts.sum()) // self.global_batch_size

    def batches(self, start_step: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Returns per-replica batches from optimizer step `start_step` to its epoch's end, for one worker."""
        number, start = divmod(start_step, self.steps_per_epoch)
        epoch = WindowEpoch(self.counts, self.global_batch_size, self.batches_per_block, self.seed, number)
        share = share_of(self.global_batch_size, context)

        def part(block: int) -> Any:
            return tuple(epoch.part(block, start, share.rows))

        blocks = tf.data.Dataset.range(start // self.batches_per_block, epoch.num_blocks)
        mixed = blocks.flat_map(lambda block: self._mixed(epoch, part, block)).prefetch(1)
        batches = mixed.rebatch(share.per_replica, drop_remainder=True)
        return batches.map(_equally_weighted).prefetch(2)

    def _mixed(self, epoch: WindowEpoch, part: Callable[[int], Any], block: Any) -> tf.data.Dataset:
        """Returns one element: what a worker needs of a block, in the order of its batches."""
        records, splits, numbers, order = (
            tf.ensure_shape(value, [None])
            for value in tf.numpy_function(part, [block], [tf.int64] * 4, stateful=False)
        )

        def load(record: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
            return self.records.read(np.array([record])), epoch.seed_of(record)

        def take(record: Any, begin: Any, end: Any) -> dict[str, Any]:
            serialized, seed = tf.numpy_function(load, [record], [tf.string, tf.int64], stateful=False)
            return self.windows.some(serialized, tf.ensure_shape(seed, [2]), numbers[begin:end])

        examples = tf.data.Dataset.from_tensor_slices((records, splits[:-1], splits[1:]))
        windows = examples.map(take, _PARALLEL_EXAMPLES).rebatch(tf.size(numbers, tf.int64))
        return windows.map(lambda features: {name: tf.gather(v, order) for name, v in features.items()})


def window_stream(records: Records, windows: ExampleWindows, config: TrainConfig) -> WindowStream:
    """Returns the stream of windows of unpacked examples; TrainingFailure where there are none."""
    numbers = tf.data.Dataset.range(len(records)).batch(1)
    counts = windows.count_windows(
        numbers.map(lambda number: tf.numpy_function(records.read, [number], tf.string, stateful=False))
    )
    if not counts.any():
        raise TrainingFailure(f"expected windows in {len(records)} training examples, got none")
    fitting = config.window_buffer_mb * 2**20 // _window_bytes(records, windows, int(counts.argmax()))
    num_windows = min(fitting, _MAX_BLOCK_WINDOWS)
    return WindowStream(
        records, windows, counts, config.global_batch_size, config.seed,
        max(1, num_windows // config.global_batch_size),
    )  # fmt: skip


class WindowEvalStream(NamedTuple):
    """The windows that are drawn of every example; the last batch is filled up with windows of weight 0."""

    windows: ExampleWindows
    num_windows: int
    global_batch_size: int

    def batches(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Returns per-replica batches for one worker."""

        def take(number: Any, record: Any) -> dict[str, Any]:
            return self.windows.all(record, tf.stack([_FIXED_SEED, number]))

        examples = self.windows.examples.in_order().batch(1).enumerate().map(take, _PARALLEL_EXAMPLES)
        batches = filled_batches(examples.unbatch(), self.num_windows, self.global_batch_size, context)
        return batches.map(lambda features, weights: {**features, EXAMPLE_WEIGHT: weights}).prefetch(2)


def window_eval_stream(windows: ExampleWindows, global_batch_size: int) -> WindowEvalStream:
    """Returns the stream of windows of an evaluation's examples."""
    num_windows = int(windows.count_windows(windows.examples.in_order().batch(1)).sum())
    return WindowEvalStream(windows, num_windows, global_batch_size)


def _window_bytes(records: Records, windows: ExampleWindows, number: int) -> int:
    """Returns the size of one window, of an example that has some."""
    taken = windows.all(tf.constant(records.read(np.array([number]))), tf.zeros([2], tf.int64))
    return sum(np.asarray(value[0]).nbytes for value in taken.values())


def _equally_weighted(features: dict[str, Any]) -> dict[str, Any]:
    size = tf.shape(next(iter(features.values())))[:1]
    return {**features, EXAMPLE_WEIGHT: tf.ones(size)}
