"""Training on masked sequences: few runs are learned by heart."""

from pathlib import Path
from typing import Any

import pytest
from tiny_corpus import NUM_PIECES, make_task, write_runs

from components.models.bert.config import BertConfig
from components.models.bert.pretraining import BertPretraining
from components.task import Task
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.train import TrainResult, train

ENCODER = BertConfig(
    vocabulary_size=NUM_PIECES, hidden_dim=32, num_layers=2, num_heads=2, intermediate_dim=64,
    max_positions=16, dropout_rate=0.0, attention_dropout_rate=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> ExampleFiles:
    return write_runs(tmp_path_factory.mktemp("runs") / "0.gz", 10, 0)


def by_heart(runs: ExampleFiles, **train_settings: Any) -> Task:
    """The task with one set of masks for all epochs, which the evaluation has, too."""
    task = make_task(Path(runs.files[0]).parent, global_batch_size=8, **train_settings)
    windowing = task.windowing.model_copy(update={"dupe_factor": 1})  # type: ignore[union-attr]
    return task.model_copy(update={"windowing": windowing, "model": BertPretraining(encoder=ENCODER)})


def trained(task: Task, runs: ExampleFiles, folder: Path) -> TrainResult:
    return train(task, runs, runs, str(folder), str(folder))


def test_few_runs_are_learned_by_heart(runs: ExampleFiles, tmp_path: Path) -> None:
    task = by_heart(runs, num_steps=250, steps_per_loop=50, learning_rate=0.005, clip_norm=1.0)
    metrics = trained(task, runs, tmp_path).metrics
    assert metrics["masked_lm_accuracy"] > 0.95
    assert metrics["next_sentence_accuracy"] > 0.95
