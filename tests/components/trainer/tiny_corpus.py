"""Runs of sentences of a few pieces as they come from the transform graph, and a task that masks them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.features import OTHER_IDS, OTHER_LENGTHS, SENTENCE_IDS, SENTENCE_LENGTHS
from components.formats.vocabulary import SPECIAL_TOKENS, VOCABULARY_ASSET
from components.models.bert.config import BertConfig
from components.models.bert.pretraining import BertPretraining
from components.task import Task
from components.trainer.input_pipeline import ExampleFiles
from components.windows.masking import Masking
from pipelines.tasks import TASKS

FEATURES = (SENTENCE_IDS, SENTENCE_LENGTHS, OTHER_IDS, OTHER_LENGTHS)
NUM_PIECES = 40


def write_runs(path: Path, count: int, seed: int) -> ExampleFiles:
    """Writes pairs of runs of 1 to 8 sentences of 1 to 6 pieces, and the vocabulary beside them."""
    tokens = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(len(SPECIAL_TOKENS), NUM_PIECES))]
    path.with_name(VOCABULARY_ASSET).write_text("\n".join(tokens) + "\n")
    random = np.random.default_rng(seed)
    examples = []
    for _ in range(count):
        values: list[Any] = []
        for _ in range(2):
            lengths = random.integers(1, 7, random.integers(1, 9))
            values += [random.integers(len(SPECIAL_TOKENS), NUM_PIECES, lengths.sum()), lengths]
        examples.append(values)
    return write_examples(path, examples)


def write_examples(path: Path, examples: Sequence[Sequence[Any]]) -> ExampleFiles:
    """Writes examples, each the pieces of a run, its sentences' lengths, and the same of another run."""
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        for values in examples:
            features = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=value))
                for name, value in zip(FEATURES, values, strict=True)
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return ExampleFiles([str(path)], spec(), len(examples))


def spec() -> dict[str, Any]:
    return dict.fromkeys(FEATURES, tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64))


def make_task(folder: Path, dropout_rate: float = 0.0, **train: Any) -> Task:
    """Returns the task with the vocabulary in a folder; keywords are training settings."""
    defaults = {
        "global_batch_size": 8, "learning_rate": 0.01, "num_epochs": 1, "steps_per_loop": 4,
        "strategy": "one_device",
    }  # fmt: skip
    encoder = BertConfig(
        vocabulary_size=NUM_PIECES, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=16,
        max_positions=16, dropout_rate=dropout_rate, attention_dropout_rate=dropout_rate,
    )  # fmt: skip
    task = TASKS["pretraining"].override({"train": {**defaults, **train}})
    windowing = Masking(max_sequence_length=16).with_assets(str(folder))
    return task.model_copy(update={"model": BertPretraining(encoder=encoder), "windowing": windowing})
