"""Pretraining from plain text to a published model, and to a text task that starts from its encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.models.bert.weights.checkpoint import BertCheckpoint
from components.models.bert.weights.safetensors import SafeTensors
from pipelines.cli.main import main
from pipelines.dag.settings import RunConfig
from pipelines.datasets.made_corpus import make_corpus
from pipelines.runs import launch
from pipelines.tasks.cola import COLA
from pipelines.tasks.pretraining import PRETRAINING

pytestmark = pytest.mark.slow

ENCODER = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "intermediate_dim": 32, "vocabulary_size": 400}
SETTINGS = {
    "preprocessing": {"vocabulary_size": 400},
    "windowing": {"max_sequence_length": 64},
    "model": {"encoder": {**ENCODER, "max_positions": 64}},
    "train": {"num_steps": 4, "steps_per_loop": 2, "global_batch_size": 8},
    "blessing": {"threshold": 0.0},
}
TEXT = "Anna is a [MASK] in [MASK]."


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    data, root = tmp_path_factory.mktemp("corpus"), tmp_path_factory.mktemp("run")
    make_corpus(data)
    documents = (data / "corpus.txt").read_text().split("\n\n")
    (data / "corpus.txt").write_text("\n\n".join(documents[:120]))
    config = RunConfig(data_dir=str(data), pipeline_root=str(root / "root"), models_dir=str(root / "models"))
    return launch.launch(PRETRAINING, config, SETTINGS)


@pytest.fixture(scope="module")
def encoder(report: Any) -> Path:
    return Path(report.pushed_dir, "assets.extra", "huggingface")


def test_masked_words_of_held_out_documents_are_measured(report: Any) -> None:
    result = json.loads(Path(report.evaluation_dir, "metrics.json").read_text())
    assert result["num_masked"] > 50
    assert 0 < result["num_pairs"] < result["num_examples"] * 3
    assert result["metrics"]["perplexity"] > 1
    page = Path(report.evaluation_dir, "report.html").read_text()
    assert "Said “" in page
    assert "corpus.txt" in page


def test_a_published_model_fills_in_masks(report: Any) -> None:
    fill = tf.saved_model.load(report.pushed_dir).signatures["fill_mask"]
    answer = fill(text=tf.constant([TEXT, "None.", "[MASK]"]))
    assert answer["tokens"].shape == (3, 2, 5)
    vocabulary = Path(report.pushed_dir, "assets", "vocabulary.txt").read_text().split("\n")
    assert {token.decode() for token in answer["tokens"].numpy()[0].ravel()} <= {*vocabulary}
    assert (np.diff(answer["probabilities"].numpy()[0]) <= 0).all()
    assert answer["tokens"].numpy()[1].tolist() == [[b""] * 5] * 2


def test_predict_shows_the_best_words(report: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["predict", "pretraining", TEXT, "--model", report.pushed_dir, "--json"])
    out, err = capfd.readouterr()
    assert end.value.code == 0, err
    (said,) = json.loads(out)
    assert [len(mask) for mask in said["masks"]] == [5, 5]


def test_a_text_task_starts_from_the_encoder_in_the_published_model(encoder: Path) -> None:
    # As long as the encoder has positions for.
    task = COLA.override(
        {"model": {"init_checkpoint": str(encoder)}, "preprocessing": {"max_sequence_length": 64}}
    )
    keras_model = task.model.build()
    task.model.initialize(keras_model)
    stored = SafeTensors(str(encoder / "model.safetensors"))
    (embeddings,) = (each for each in keras_model.weights if each.path.endswith("word_embeddings"))
    np.testing.assert_array_equal(embeddings.numpy(), stored.read("bert.embeddings.word_embeddings.weight"))
    assert task.preprocessing.vocabulary == str(encoder / "vocab.txt")


def test_pretraining_goes_on_from_a_published_model_with_its_heads(encoder: Path) -> None:
    task = PRETRAINING.override(
        {"model": {"init_checkpoint": str(encoder)}, "windowing": {"max_sequence_length": 64}}
    )
    keras_model = task.model.build()
    task.model.initialize(keras_model)
    stored = SafeTensors(str(encoder / "model.safetensors"))
    (bias,) = (each for each in keras_model.weights if each.path.endswith("next_sentence/bias"))
    np.testing.assert_array_equal(bias.numpy(), stored.read("cls.seq_relationship.bias"))
    assert BertCheckpoint.find(str(encoder)).config() == task.model.encoder_config
