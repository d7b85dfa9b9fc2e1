from pathlib import Path

import numpy as np
import pytest

from components.features import (
    ANSWER_STARTS,
    ANSWERS,
    END_POSITIONS,
    EXAMPLE_WEIGHT,
    PADDING_MASK,
    SEGMENT_IDS,
    START_POSITIONS,
    TOKEN_IDS,
    Feature,
)
from components.models.bert.classifier import BertClassifier
from components.models.bert.config import BertConfig
from components.models.bert.spans import BertSpans
from components.models.errors import ModelError
from components.protocols import Model

TINY = BertConfig(vocabulary_size=11, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=12)


def test_it_is_a_model_with_two_logits_a_token() -> None:
    model = BertSpans(encoder=TINY)
    assert isinstance(model, Model)
    inputs = {key: np.ones((2, 5), np.int32) for key in (TOKEN_IDS, SEGMENT_IDS, PADDING_MASK)}
    assert model.build()(inputs).shape == (2, 5, 2)


def test_the_loss_is_the_mean_of_start_and_end_worked_by_hand() -> None:
    # Probabilities of the start 1/4 and 3/4, of the end 1/2 and 1/2.
    logits = np.log(np.array([[[0.25, 0.5], [0.75, 0.5]]], np.float32))
    features = {START_POSITIONS: np.array([1]), END_POSITIONS: np.array([0])}
    loss = np.asarray(BertSpans(encoder=TINY).losses(features, logits)["span"])
    np.testing.assert_allclose(loss, [-(np.log(0.75) + np.log(0.5)) / 2], rtol=1e-5)


def test_a_window_counts_as_found_by_both_ends_and_its_weight() -> None:
    logits = np.zeros((3, 4, 2), np.float32)
    logits[:, 2, 0] = logits[:, 3, 1] = 1
    features = {
        START_POSITIONS: np.array([2, 2, 2]),
        END_POSITIONS: np.array([3, 1, 3]),
        EXAMPLE_WEIGHT: np.array([1, 1, 0], np.float32),
    }
    metric = BertSpans(encoder=TINY).metrics()["window_exact"]
    assert metric.result(np.asarray(metric.update(features, logits))) == 0.5


def test_what_has_no_answers_cannot_be_learned() -> None:
    text = Feature(dtype="bytes")
    BertSpans(encoder=TINY).check_features({ANSWERS: text, ANSWER_STARTS: text})
    with pytest.raises(ValueError, match="expected the raw feature 'answers', got question"):
        BertSpans(encoder=TINY).check_features({"question": text})
    with pytest.raises(ModelError, match="expected Spans"):
        BertSpans(encoder=TINY).answers(None, {})


def test_a_checkpoint_with_a_pooler_is_loaded_without_it(tmp_path: Path) -> None:
    classifier = BertClassifier(encoder=TINY, save_as=("huggingface", "google"))
    trained = classifier.build()
    classifier.save_weights(trained, str(tmp_path))
    for kind in ("huggingface", "google"):
        model = BertSpans(init_checkpoint=str(tmp_path / "assets.extra" / kind))
        keras_model = model.build()
        model.initialize(keras_model)
        name = "layer_0/intermediate/kernel"
        (expected,) = [weight for weight in trained.weights if weight.path == name]
        (got,) = [weight for weight in keras_model.weights if weight.path == name]
        np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))
