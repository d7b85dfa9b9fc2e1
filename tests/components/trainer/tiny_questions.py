"""Questions of a few pieces as they come from the transform graph, and a task of windows of them."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.features import ANSWER_FIRST, CONTEXT_IDS, QUESTION_IDS
from components.models.bert.config import BertConfig
from components.models.bert.spans import BertSpans
from components.task import Task
from components.trainer.input_pipeline import ExampleFiles
from components.windows.spans import Spans
from pipelines.tasks import TASKS

SPANS = Spans(max_sequence_length=16, stride=4, max_question_length=4)
NUMBERS = ("question_lengths", "context_lengths", ANSWER_FIRST, "answer_last")
PIECES = (QUESTION_IDS, CONTEXT_IDS)


def write_questions(path: Path, count: int, seed: int) -> ExampleFiles:
    """Writes contexts of 1 to 30 pieces, of which a question asks for piece 7, if there is one."""
    random = np.random.default_rng(seed)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        for _ in range(count):
            context = random.integers(8, 40, random.integers(1, 31))
            first = int(random.integers(len(context))) if random.integers(4) else -1
            if first >= 0:
                context[first] = 7
            question = random.integers(8, 40, random.integers(1, 6))
            values = (question, context, [len(question)], [len(context)], [first], [first])
            features = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=value))
                for name, value in zip((*PIECES, *NUMBERS), values, strict=True)
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return ExampleFiles([str(path)], spec(), count)


def spec() -> dict[str, Any]:
    pieces = dict.fromkeys(PIECES, tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64))
    return {**pieces, **dict.fromkeys(NUMBERS, tf.io.FixedLenFeature([], tf.int64))}


def make_task(dropout_rate: float = 0.0, **train: Any) -> Task:
    """Returns the task; keywords are training settings."""
    defaults = {
        "global_batch_size": 8, "learning_rate": 0.01, "num_epochs": 1, "steps_per_loop": 4,
        "strategy": "one_device",
    }  # fmt: skip
    encoder = BertConfig(
        vocabulary_size=40, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=16, max_positions=16,
        dropout_rate=dropout_rate, attention_dropout_rate=dropout_rate,
    )  # fmt: skip
    task = TASKS["squad"].override({"train": {**defaults, **train}})
    return task.model_copy(update={"model": BertSpans(encoder=encoder), "windowing": SPANS})
