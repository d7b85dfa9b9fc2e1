"""Batches: every example once an epoch, the same stream for any number of workers and any start."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.features import EXAMPLE_WEIGHT, IMAGE
from components.trainer.input_pipeline import EvalStream, ExampleFiles, TrainingStream, count_examples

COUNT, BATCH = 22, 4


@pytest.fixture(scope="module")
def files(write_examples: Callable[..., ExampleFiles]) -> ExampleFiles:
    return write_examples(COUNT, num_files=3)


def context(workers: int = 1, worker: int = 0, replicas: int = 1) -> Any:
    import tensorflow as tf

    return tf.distribute.InputContext(workers, worker, workers * replicas)


def images(stream: TrainingStream | EvalStream, *where: Any) -> list[Any]:
    return [batch[IMAGE].numpy() for batch in stream.batches(*where)]


def training(files: ExampleFiles, seed: int = 1) -> TrainingStream:
    return TrainingStream(files, COUNT, BATCH, seed)


def test_records_are_counted(files: ExampleFiles) -> None:
    assert count_examples(files.files) == COUNT


def test_an_epoch_shows_every_example_at_most_once_in_an_order_of_its_own(files: ExampleFiles) -> None:
    stream = training(files)
    epochs = [np.concatenate(images(stream, start, context())) for start in (0, 5)]
    assert stream.steps_per_epoch == 5
    assert [len(epoch) for epoch in epochs] == [20, 20]
    assert all(len(np.unique(epoch, axis=0)) == 20 for epoch in epochs)
    assert not np.array_equal(*epochs)
    assert not np.array_equal(epochs[0], np.concatenate(images(training(files, seed=2), 0, context())))


def test_a_stream_can_be_entered_at_any_step(files: ExampleFiles) -> None:
    whole = images(training(files), 5, context())
    for skipped in range(5):
        resumed = images(training(files), 5 + skipped, context())
        np.testing.assert_array_equal(np.stack(resumed), np.stack(whole[skipped:]))


@pytest.mark.parametrize(("workers", "replicas"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_workers_and_replicas_share_each_global_batch(
    files: ExampleFiles, workers: int, replicas: int
) -> None:
    whole = images(training(files), 0, context())
    parts = [images(training(files), 0, context(workers, worker, replicas)) for worker in range(workers)]
    for step, batch in enumerate(whole):
        own = [part[step * replicas : (step + 1) * replicas] for part in parts]
        np.testing.assert_array_equal(np.concatenate([array for part in own for array in part]), batch)


def test_evaluation_sees_every_example_once_and_weighs_the_filling_with_zero(files: ExampleFiles) -> None:
    stream = EvalStream(files, COUNT, 8)
    batches = list(stream.batches(context()))
    assert [len(batch[IMAGE]) for batch in batches] == [8, 8, 8]
    weights = np.concatenate([batch[EXAMPLE_WEIGHT].numpy() for batch in batches])
    assert weights.tolist() == [1.0] * COUNT + [0.0] * 2
    real = np.concatenate([batch[IMAGE].numpy() for batch in batches])[:COUNT]
    assert len(np.unique(real, axis=0)) == COUNT
