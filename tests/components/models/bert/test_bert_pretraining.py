"""The heads of pretraining: logits, losses and gradients, by hand and by other ways of computing them."""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.features import (
    EXAMPLE_WEIGHT,
    IS_NEXT,
    MASKED_IDS,
    MASKED_POSITIONS,
    MASKED_WEIGHTS,
    PADDING_MASK,
    SEGMENT_IDS,
    SENTENCES,
    TOKEN_IDS,
    Feature,
)
from components.models.bert.config import BertConfig
from components.models.bert.encoder import POOLED_OUTPUT, SEQUENCE_OUTPUT
from components.models.bert.pretraining import BertPretraining
from components.models.errors import ModelError
from components.models.precision import dtype_policy
from components.protocols import Model
from components.train_config import TrainConfig
from components.trainer.loop import CompiledLoop
from components.trainer.loss_scale import LossScale
from components.trainer.optimizer import make_optimizer
from components.trainer.strategies import make_strategy

TINY = BertConfig(
    vocabulary_size=9, hidden_dim=4, num_layers=2, num_heads=2, intermediate_dim=3, max_positions=5,
    dropout_rate=0.0, attention_dropout_rate=0.0,
)  # fmt: skip
# The second one has no second text, and one masked token of two places; the third one fills up.
BATCH: dict[str, Any] = {
    TOKEN_IDS: np.array([[2, 5, 3, 4], [2, 3, 0, 0], [2, 5, 3, 4], [2, 4, 4, 3]]),
    SEGMENT_IDS: np.array([[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1]]),
    PADDING_MASK: np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]),
    MASKED_POSITIONS: np.array([[1, 3], [1, 0], [1, 2], [2, 3]]),
    MASKED_IDS: np.array([[6, 7], [7, 0], [6, 7], [5, 7]]),
    MASKED_WEIGHTS: np.array([[1, 1], [1, 0], [1, 1], [1, 1]], np.float32),
    IS_NEXT: np.array([1, -1, 1, 0]),
    EXAMPLE_WEIGHT: np.array([1, 1, 0, 1], np.float32),
}
INPUTS = (TOKEN_IDS, SEGMENT_IDS, PADDING_MASK, MASKED_POSITIONS)


def inputs_of(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: batch[name] for name in INPUTS}


def randomized(keras_model: Any, seed: int = 0) -> Any:
    """Gives all weights values that are neither 0 nor 1."""
    random = np.random.default_rng(seed)
    for weight in keras_model.trainable_variables:
        weight.assign(random.normal(size=weight.shape))
    return keras_model


def make_loop(
    strategy: str = "one_device", model: BertPretraining | None = None, **train: Any
) -> tuple[Any, Any]:
    """Returns a loop and its Keras model, whose weights are always the same at first."""
    model = model or BertPretraining(encoder=TINY)
    settings = {"optimizer": "sgd", "learning_rate": 0.1, "global_batch_size": 4, **train}
    config = TrainConfig(**settings)
    distribution = make_strategy(strategy)
    with distribution.scope(), dtype_policy(config.dtype):
        keras_model = randomized(model.build())
        optimizer = make_optimizer(config, 10, keras_model.trainable_variables)
        scale = LossScale() if config.dtype == "mixed_float16" else None
    return CompiledLoop(distribution, keras_model, optimizer, model, config, scale), keras_model


def run(loop: Any, batch: dict[str, Any], steps: int = 1) -> Any:
    strategy = loop._strategy
    dataset = tf.data.Dataset.from_tensor_slices(batch).repeat().batch(4 // strategy.num_replicas_in_sync)
    return loop.run(iter(strategy.distribute_datasets_from_function(lambda _: dataset)), steps)


def weights(keras_model: Any) -> dict[str, Any]:
    return {weight.path: np.asarray(weight.numpy()) for weight in keras_model.trainable_variables}


def test_it_is_a_model_with_logits_of_every_token_at_masked_positions_and_two_of_a_pair() -> None:
    model = BertPretraining(encoder=TINY)
    assert isinstance(model, Model)
    keras_model = model.build()
    assert {tensor.name for tensor in keras_model.inputs} == set(INPUTS)
    outputs = keras_model(inputs_of(BATCH))
    assert {name: output.shape for name, output in outputs.items()} == {
        "masked_lm": (4, 2, 9), "next_sentence": (4, 2),
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_logits_are_float32_under_mixed_precision(dtype: str) -> None:
    with dtype_policy(dtype):
        keras_model = BertPretraining(encoder=TINY).build()
    assert {output.dtype for output in keras_model.outputs} == {"float32"}
    for output in keras_model(inputs_of(BATCH), training=True).values():
        assert output.dtype == tf.float32
        assert np.isfinite(output).all()


def test_the_table_of_words_is_there_once() -> None:
    paths = [weight.path for weight in BertPretraining(encoder=TINY).build().weights]
    assert len(paths) == len(set(paths))
    assert [path for path in paths if path.startswith(("masked_lm", "next_sentence"))] == [
        "masked_lm/output_bias", "masked_lm/dense/kernel", "masked_lm/dense/bias",
        "masked_lm/layer_norm/gamma", "masked_lm/layer_norm/beta",
        "next_sentence/kernel", "next_sentence/bias",
    ]  # fmt: skip
    assert [path for path in paths if "word_embeddings" in path] == ["embeddings/word_embeddings"]


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_logits_are_those_of_numpy(activation: str) -> None:
    model = BertPretraining(encoder=TINY.model_copy(update={"activation": activation}))
    keras_model = randomized(model.build())
    w = weights(keras_model)
    layer = keras_model.get_layer("layer_1"), keras_model.get_layer("pooler")
    encoder = keras.Model(
        keras_model.input, {SEQUENCE_OUTPUT: layer[0].output, POOLED_OUTPUT: layer[1].output}
    )
    encoded = {name: np.asarray(value) for name, value in encoder(inputs_of(BATCH)).items()}
    outputs = keras_model(inputs_of(BATCH))
    erf = np.vectorize(math.erf)
    for row in range(4):
        hidden = encoded[SEQUENCE_OUTPUT][row][BATCH[MASKED_POSITIONS][row]]
        x = hidden @ w["masked_lm/dense/kernel"] + w["masked_lm/dense/bias"]
        x = x * (1 + erf(x / math.sqrt(2))) / 2 if activation == "gelu" else np.maximum(x, 0)
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        x = x * w["masked_lm/layer_norm/gamma"] + w["masked_lm/layer_norm/beta"]
        logits = x @ w["embeddings/word_embeddings"].T + w["masked_lm/output_bias"]
        np.testing.assert_allclose(outputs["masked_lm"][row], logits, atol=1e-4)
    pairs = encoded[POOLED_OUTPUT] @ w["next_sentence/kernel"] + w["next_sentence/bias"]
    np.testing.assert_allclose(outputs["next_sentence"], pairs, atol=1e-5)


def test_losses_and_weights_are_those_worked_by_hand() -> None:
    model = BertPretraining(encoder=TINY)
    # Probabilities of the tokens 0 and 1 are 1/4 and 3/4; that a text is the next one is 1/5.
    masked = np.broadcast_to(np.log([0.25, 0.75]), (3, 2, 2)).astype(np.float32)
    pairs = np.broadcast_to(np.log([0.2, 0.8]), (3, 2)).astype(np.float32)
    features = {
        MASKED_IDS: np.array([[0, 1], [1, 0], [1, 1]]),
        MASKED_WEIGHTS: np.array([[1, 1], [1, 0], [1, 1]], np.float32),
        IS_NEXT: np.array([1, 0, -1]),
        EXAMPLE_WEIGHT: np.array([1, 0.5, 1], np.float32),
    }
    losses = model.losses(features, {"masked_lm": masked, "next_sentence": pairs})
    sure, unsure = -math.log(0.75), -math.log(0.25)
    np.testing.assert_allclose(losses["masked_lm"], [[unsure, sure], [sure, unsure], [sure, sure]], rtol=1e-5)
    np.testing.assert_allclose(losses["next_sentence"][:2], [-math.log(0.2), -math.log(0.8)], rtol=1e-5)
    assert np.isfinite(losses["next_sentence"]).all()
    found = {term: np.asarray(each).tolist() for term, each in model.loss_weights(features).items()}
    assert found == {"masked_lm": [[1, 1], [0.5, 0], [1, 1]], "next_sentence": [1, 0.5, 0]}


def test_metrics_count_masked_tokens_and_pairs_by_their_weights() -> None:
    masked = np.zeros((4, 2, 9), np.float32)
    masked[:, :, 7] = 1
    pairs = np.tile(np.array([[0, 1]], np.float32), (4, 1))
    metrics = BertPretraining(encoder=TINY).metrics()
    found = {
        name: metric.result(np.asarray(metric.update(BATCH, {"masked_lm": masked, "next_sentence": pairs})))
        for name, metric in metrics.items()
    }
    # Of five masked tokens three are 7; of two pairs one is not the next.
    assert found == {"masked_lm_accuracy": pytest.approx(0.6), "next_sentence_accuracy": 0.5}


def test_a_batch_without_pairs_has_no_loss_of_pairs() -> None:
    batch = {**BATCH, IS_NEXT: np.full(4, -1)}
    loop, keras_model = make_loop()
    evaluated = loop.evaluate([batch])
    assert evaluated["next_sentence"] == 0
    assert evaluated["loss"] == evaluated["masked_lm"] > 0
    assert math.isnan(evaluated["next_sentence_accuracy"])
    before = weights(keras_model)
    losses = run(loop, batch).losses
    assert losses["next_sentence"] == 0
    assert losses["loss"] == losses["masked_lm"] == pytest.approx(evaluated["masked_lm"], rel=1e-5)
    changed = {
        path for path, value in weights(keras_model).items() if not np.array_equal(before[path], value)
    }
    assert {path.split("/")[0] for path in changed} == {"embeddings", "layer_0", "layer_1", "masked_lm"}


def test_one_step_changes_every_part_and_words_that_are_not_read() -> None:
    loop, keras_model = make_loop()
    before = weights(keras_model)
    run(loop, BATCH)
    changed = {
        path for path, value in weights(keras_model).items() if not np.array_equal(before[path], value)
    }
    assert {path.split("/")[0] for path in changed} == {
        "embeddings", "layer_0", "layer_1", "pooler", "masked_lm", "next_sentence",
    }  # fmt: skip
    table = "embeddings/word_embeddings"
    # 8 is no input, but could have been said.
    assert not np.array_equal(before[table][8], weights(keras_model)[table][8])


def test_the_gradient_of_the_table_is_that_of_both_its_uses() -> None:
    loop, keras_model = make_loop(learning_rate=1.0)
    table, before = "embeddings/word_embeddings", weights(keras_model)
    run(loop, BATCH)
    step = before[table] - weights(keras_model)[table]
    model = BertPretraining(encoder=TINY)

    def loss(row: int, column: int, by: float) -> float:
        other = randomized(model.build())
        value = before[table].copy()
        value[row, column] += by
        next(weight for weight in other.weights if weight.path == table).assign(value)
        found, counted = model.losses(BATCH, other(inputs_of(BATCH))), model.loss_weights(BATCH)
        return sum(float(np.sum(found[t] * counted[t]) / np.sum(counted[t])) for t in model.loss_terms)

    for row, column in ((5, 0), (8, 3)):
        slope = (loss(row, column, 1e-2) - loss(row, column, -1e-2)) / 2e-2
        assert step[row, column] == pytest.approx(slope, rel=0.02, abs=1e-3)


@pytest.mark.parametrize(
    "settings",
    [{"gradient_accumulation_steps": 2}, {"strategy": "mirrored"}, {"jit_compile": True}],
    ids=str,
)
def test_numbers_do_not_depend_on_how_a_batch_is_computed(settings: dict[str, Any]) -> None:
    whole, expected = make_loop()
    losses = run(whole, BATCH, 2).losses
    other, keras_model = make_loop(**settings)
    assert run(other, BATCH, 2).losses == pytest.approx(losses, rel=1e-5)
    for path, value in weights(keras_model).items():
        np.testing.assert_allclose(value, weights(expected)[path], atol=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_few_bits_learn_with_lamb_what_float32_learns(dtype: str) -> None:
    settings = {"optimizer": "lamb", "learning_rate": 0.02, "weight_decay": 0.01, "epsilon": 1e-6}
    whole, _ = make_loop(**settings)
    first, expected = (run(whole, BATCH, steps).losses for steps in (1, 20))
    few, keras_model = make_loop(dtype=dtype, **settings)
    losses = run(few, BATCH, 21).losses
    assert expected["loss"] < 0.8 * first["loss"]
    assert losses["loss"] == pytest.approx((first["loss"] + 20 * expected["loss"]) / 21, rel=0.05)
    assert {weight.dtype for weight in keras_model.trainable_variables} == {"float32"}


def test_frozen_embeddings_are_not_trained_by_the_head_either() -> None:
    loop, keras_model = make_loop(model=BertPretraining(encoder=TINY, freeze_layers=1))
    table = keras_model.get_layer("embeddings").word_embeddings
    before = table.numpy()
    run(loop, BATCH)
    np.testing.assert_array_equal(table.numpy(), before)
    assert {path.split("/")[0] for path in weights(keras_model)} == {
        "layer_1", "pooler", "masked_lm", "next_sentence",
    }  # fmt: skip


def test_learning_rates_fall_below_the_heads() -> None:
    model = BertPretraining(encoder=TINY, layer_decay=0.5)
    multipliers = model.learning_rate_multipliers(model.build())
    assert multipliers["masked_lm/output_bias"] == multipliers["next_sentence/kernel"] == 1
    assert multipliers["embeddings/word_embeddings"] == 0.125


def test_what_has_no_sentences_cannot_be_learned() -> None:
    BertPretraining(encoder=TINY).check_features({SENTENCES: Feature(dtype="bytes")})
    with pytest.raises(ValueError, match="expected the raw feature 'sentences', got label"):
        BertPretraining(encoder=TINY).check_features({"label": Feature(dtype="int64")})
    with pytest.raises(ModelError, match="expected Masking"):
        BertPretraining(encoder=TINY).answers(None, {})


def test_a_saved_model_answers_the_same_and_has_one_table(tmp_path: Path) -> None:
    keras_model = randomized(BertPretraining(encoder=TINY).build())
    keras_model.save(tmp_path / "model.keras")
    loaded: Any = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.weights) == len(keras_model.weights)
    for name, output in loaded(inputs_of(BATCH)).items():
        np.testing.assert_array_equal(np.asarray(output), np.asarray(keras_model(inputs_of(BATCH))[name]))
