"""What the Trainer node does: train, export, keep the logs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import NamedTuple

import tensorflow as tf
import tensorflow_transform as tft

from components.task import Task
from components.trainer.export import export
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.train import train

NUM_WARMUP_EXAMPLES = 8


class TrainerFiles(NamedTuple):
    """What the Trainer reads and writes; file patterns and directories."""

    train_examples: Iterable[str]
    eval_examples: Iterable[str]
    raw_examples: Iterable[str]
    transform_graph: str
    model_dir: str
    log_dir: str
    # Checkpoints of an unfinished run, found again by the next attempt at the same training.
    working_dir: str


def run(task: Task, files: TrainerFiles) -> None:
    """Trains a task and writes a servable model to `model_dir`."""
    transform = tft.TFTransformOutput(files.transform_graph)
    spec = transform.transformed_feature_spec()
    result = train(
        task,
        ExampleFiles(_glob(files.train_examples), spec),
        ExampleFiles(_glob(files.eval_examples), spec),
        files.working_dir,
        files.log_dir,
    )
    results = {
        "task": task.name,
        "metrics": dict(result.metrics),
        "num_steps": result.num_steps,
        "train": task.train.model_dump(mode="json"),
    }
    if result.is_chief:
        examples = _first_records(_glob(files.raw_examples), NUM_WARMUP_EXAMPLES)
        export(task, result.weights, transform, examples, results, files.model_dir)
        with tf.io.gfile.GFile(os.path.join(files.log_dir, "results.json"), "w") as file:
            file.write(json.dumps(results, indent=2))
        # Training is over: another attempt at it is meant to start from the beginning.
        tf.io.gfile.rmtree(files.working_dir)


def _glob(patterns: Iterable[str]) -> list[str]:
    return sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern))


def _first_records(files: list[str], count: int) -> list[bytes]:
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP").take(count)
    return list(dataset.as_numpy_iterator())
