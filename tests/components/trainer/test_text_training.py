"""Texts of different lengths: the same numbers however batches are cut and padded; several seeds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.features import LABEL, PADDING_MASK, SEGMENT_IDS, TOKEN_IDS
from components.models.bert.classifier import BertClassifier
from components.models.bert.config import BertConfig
from components.task import Task
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.run import train_seeds
from components.trainer.train import TrainResult, train
from pipelines.tasks import TASKS

TINY = BertConfig(
    vocabulary_size=100, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=16,
    dropout_rate=0.0, attention_dropout_rate=0.0,
)  # fmt: skip


def write_texts(path: Path, count: int, seed: int, multiple: int = 4) -> ExampleFiles:
    """Writes texts of 1 to 12 tokens whose label is whether token 7 is among them."""
    import tensorflow as tf

    random = np.random.default_rng(seed)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        for _ in range(count):
            tokens = random.integers(8, 20, random.integers(1, 13))
            label = int(random.integers(2))
            if label:
                tokens[random.integers(len(tokens))] = 7
            features = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=values))
                for name, values in (
                    (TOKEN_IDS, tokens),
                    (SEGMENT_IDS, np.zeros_like(tokens)),
                    (PADDING_MASK, np.ones_like(tokens)),
                    (LABEL, [label]),
                )
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    ragged = tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)
    spec = dict.fromkeys((TOKEN_IDS, SEGMENT_IDS, PADDING_MASK), ragged)
    return ExampleFiles([str(path)], {**spec, LABEL: tf.io.FixedLenFeature([], tf.int64)}, count, multiple)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExampleFiles, ExampleFiles]:
    folder = tmp_path_factory.mktemp("texts")
    return write_texts(folder / "train.gz", 48, 0), write_texts(folder / "eval.gz", 30, 1)


def make_task(**settings: Any) -> Task:
    defaults = {"global_batch_size": 8, "learning_rate": 0.01, "num_epochs": 1, "strategy": "one_device"}
    task = TASKS["cola"].override(
        {"train": {**defaults, **settings}, "preprocessing": {"vocabulary_size": TINY.vocabulary_size}}
    )
    return task.model_copy(update={"model": BertClassifier(encoder=TINY, dropout_rate=0.0)})


@pytest.fixture
def run(
    files: tuple[ExampleFiles, ExampleFiles], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., TrainResult]:
    def run_task(pad_to: int = 4, **settings: Any) -> TrainResult:
        folder = str(tmp_path_factory.mktemp("run"))
        padded = [part._replace(pad_to_multiple_of=pad_to) for part in files]
        return train(make_task(**settings), *padded, folder, folder)

    return run_task


def assert_same(first: TrainResult, second: TrainResult) -> None:
    assert first.num_steps == second.num_steps == 6
    for one, other in zip(first.weights, second.weights, strict=True):
        # Adam divides by the size of gradients that are nearly 0: what rounds differently moves by more.
        np.testing.assert_allclose(one, other, atol=2e-4)


def test_the_numbers_do_not_depend_on_padding_replicas_or_micro_batches(run: Any) -> None:
    whole = run()
    assert_same(whole, run(pad_to=16))
    assert_same(whole, run(strategy="mirrored"))
    assert_same(whole, run(gradient_accumulation_steps=4))


def test_the_model_of_median_quality_is_kept(
    files: tuple[ExampleFiles, ExampleFiles], tmp_path: Path
) -> None:
    task = make_task(num_seeds=3, seed=5, num_epochs=2)
    result, report = train_seeds(task, *files, str(tmp_path / "working"), str(tmp_path / "logs"))
    assert list(report.values) == [5, 6, 7]
    assert report.metric == "matthews_corrcoef"
    assert report.mean == pytest.approx(np.mean(list(report.values.values())))
    assert report.standard_deviation == pytest.approx(np.std(list(report.values.values()), ddof=1))
    assert (
        result.metrics["matthews_corrcoef"]
        == report.values[report.kept]
        == np.median(list(report.values.values()))
    )
    alone = train(
        make_task(seed=report.kept, num_epochs=2), *files, str(tmp_path / "alone"), str(tmp_path / "l")
    )
    for one, other in zip(result.weights, alone.weights, strict=True):
        np.testing.assert_array_equal(one, other)
