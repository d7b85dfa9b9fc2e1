"""Batches: every example once an epoch, the same stream for any number of workers and any start."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.features import EXAMPLE_WEIGHT, IMAGE, TOKEN_IDS
from components.trainer.input_pipeline import EvalStream, ExampleFiles, TrainingStream
from components.trainer.records import Records, unpacked
from components.windows.padding import pad

COUNT, BATCH = 22, 4


@pytest.fixture(scope="module")
def files(write_examples: Callable[..., ExampleFiles]) -> ExampleFiles:
    return write_examples(COUNT, num_files=3)


@pytest.fixture(scope="module")
def records(files: ExampleFiles) -> Iterator[Records]:
    with unpacked(files.files, COUNT) as records:
        yield records


@pytest.fixture
def training(files: ExampleFiles, records: Records) -> Callable[..., TrainingStream]:
    return lambda seed=1: TrainingStream(records, files, BATCH, seed)


def context(workers: int = 1, worker: int = 0, replicas: int = 1) -> Any:
    import tensorflow as tf

    return tf.distribute.InputContext(workers, worker, workers * replicas)


def images(stream: TrainingStream | EvalStream, *where: Any) -> list[Any]:
    return [batch[IMAGE].numpy() for batch in stream.batches(*where)]


def test_an_epoch_shows_every_example_at_most_once_in_an_order_of_its_own(training: Any) -> None:
    stream = training()
    epochs = [np.concatenate(images(stream, start, context())) for start in (0, 5)]
    assert stream.steps_per_epoch == 5
    assert [len(epoch) for epoch in epochs] == [20, 20]
    assert all(len(np.unique(epoch, axis=0)) == 20 for epoch in epochs)
    assert not np.array_equal(*epochs)
    assert not np.array_equal(epochs[0], np.concatenate(images(training(seed=2), 0, context())))


def test_a_stream_can_be_entered_at_any_step(training: Any) -> None:
    whole = images(training(), 5, context())
    for skipped in range(5):
        resumed = images(training(), 5 + skipped, context())
        np.testing.assert_array_equal(np.stack(resumed), np.stack(whole[skipped:]))


@pytest.mark.parametrize(("workers", "replicas"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_workers_and_replicas_share_each_global_batch(training: Any, workers: int, replicas: int) -> None:
    whole = images(training(), 0, context())
    parts = [images(training(), 0, context(workers, worker, replicas)) for worker in range(workers)]
    for step, batch in enumerate(whole):
        own = [part[step * replicas : (step + 1) * replicas] for part in parts]
        np.testing.assert_array_equal(np.concatenate([array for part in own for array in part]), batch)


def test_evaluation_sees_every_example_once_and_weighs_the_filling_with_zero(files: ExampleFiles) -> None:
    stream = EvalStream(files, 8)
    batches = list(stream.batches(context()))
    assert [len(batch[IMAGE]) for batch in batches] == [8, 8, 8]
    weights = np.concatenate([batch[EXAMPLE_WEIGHT].numpy() for batch in batches])
    assert weights.tolist() == [1.0] * COUNT + [0.0] * 2
    real = np.concatenate([batch[IMAGE].numpy() for batch in batches])[:COUNT]
    assert len(np.unique(real, axis=0)) == COUNT


def write_lengths(path: Path, lengths: Sequence[int]) -> ExampleFiles:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        for length in lengths:
            values = tf.train.Int64List(value=range(1, length + 1))
            features = {TOKEN_IDS: tf.train.Feature(int64_list=values)}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    spec = {TOKEN_IDS: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)}
    return ExampleFiles([str(path)], spec, len(lengths), pad_to_multiple_of=4)


def test_variable_lengths_are_padded_with_zeros_to_a_multiple(tmp_path: Path) -> None:
    stream = EvalStream(write_lengths(tmp_path / "examples.gz", [2, 3, 5, 1, 0, 0]), 2)
    batches = [batch[TOKEN_IDS].numpy().tolist() for batch in stream.batches(context())]
    assert batches == [
        [[1, 2, 0, 0], [1, 2, 3, 0]],
        [[1, 2, 3, 4, 5, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]],
        # No dimension of size 0: layers do not expect one.
        [[0, 0, 0, 0], [0, 0, 0, 0]],
    ]


def test_replicas_pad_their_own_part(tmp_path: Path) -> None:
    stream = EvalStream(write_lengths(tmp_path / "examples.gz", [2, 3, 5, 1]), 4)
    batches = stream.batches(context(replicas=2))
    assert [batch[TOKEN_IDS].shape for batch in batches] == [(2, 4), (2, 8)]


def test_sparse_features_are_padded_like_ragged_ones() -> None:
    import tensorflow as tf

    sparse = tf.sparse.from_dense([[7, 31], [5, 0]])
    assert pad({TOKEN_IDS: sparse}, 4)[TOKEN_IDS].numpy().tolist() == [[7, 31, 0, 0], [5, 0, 0, 0]]
