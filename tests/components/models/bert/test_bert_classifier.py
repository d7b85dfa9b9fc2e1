"""The classifier: what is trained and how fast, weights of a checkpoint, settings that do not hold."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pydantic
import pytest
import tensorflow as tf

from components.config import ConfigError
from components.features import EXAMPLE_WEIGHT, LABEL, PADDING_MASK, SEGMENT_IDS, TOKEN_IDS
from components.models.bert.classifier import BertClassifier
from components.models.bert.config import BertConfig
from components.models.bert.encoder import build_encoder
from components.models.bert.weights.writers import write_huggingface
from components.models.errors import ModelError
from components.models.precision import dtype_policy
from components.train_config import TrainConfig
from components.trainer.loop import CompiledLoop
from components.trainer.optimizer import make_optimizer
from components.trainer.strategies import make_strategy

TINY = BertConfig(
    vocabulary_size=9, hidden_dim=4, num_layers=2, num_heads=2, intermediate_dim=3, max_positions=5
)
BATCH = {
    TOKEN_IDS: np.array([[2, 5, 3], [2, 3, 0]]),
    SEGMENT_IDS: np.zeros((2, 3), int),
    PADDING_MASK: np.array([[1, 1, 1], [1, 1, 0]]),
    LABEL: np.array([1, 0]),
    EXAMPLE_WEIGHT: np.ones(2, np.float32),
}


def take_a_step(model: BertClassifier) -> set[str]:
    """Returns the first parts of the paths of the weights that one step of training changes."""
    config = TrainConfig(global_batch_size=2, learning_rate=0.1, strategy="one_device")
    strategy = make_strategy(config.strategy)
    with strategy.scope():
        keras_model = model.build()
        optimizer = make_optimizer(config, 10, keras_model.trainable_variables)
    weights = [weight for weight in keras_model.weights if "seed" not in weight.path]
    before = [np.array(weight) for weight in weights]
    batches = strategy.distribute_datasets_from_function(lambda _: tf.data.Dataset.from_tensors(BATCH))
    CompiledLoop(strategy, keras_model, optimizer, model, config, None).run(iter(batches), 1)
    changed = [
        weight.path.split("/")[0]
        for weight, old in zip(weights, before, strict=True)
        if not np.array_equal(old, np.asarray(weight))
    ]
    return set(changed)


def test_logits_have_a_column_for_every_class() -> None:
    model = BertClassifier(encoder=TINY, num_classes=3).build()
    assert model({name: BATCH[name] for name in (TOKEN_IDS, SEGMENT_IDS, PADDING_MASK)}).shape == (2, 3)
    assert {tensor.name for tensor in model.inputs} == {TOKEN_IDS, SEGMENT_IDS, PADDING_MASK}


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_logits_are_float32_under_mixed_precision(dtype: str) -> None:
    with dtype_policy(dtype):
        model = BertClassifier(encoder=TINY).build()
    logits = model({name: BATCH[name] for name in (TOKEN_IDS, SEGMENT_IDS, PADDING_MASK)}, training=True)
    assert logits.dtype == tf.float32
    assert np.isfinite(logits).all()


def test_one_step_changes_every_part() -> None:
    assert take_a_step(BertClassifier(encoder=TINY)) == {
        "embeddings",
        "layer_0",
        "layer_1",
        "pooler",
        "logits",
    }


def test_frozen_layers_do_not_change() -> None:
    assert take_a_step(BertClassifier(encoder=TINY, freeze_layers=1)) == {"layer_1", "pooler", "logits"}


def test_more_layers_than_there_are_cannot_be_frozen() -> None:
    message = "model: freeze_layers: expected at most 2, the encoder's layers, got 3"
    with pytest.raises(ConfigError, match=f"^{message}$"):
        BertClassifier(encoder=TINY).override({"freeze_layers": 3}, "model")


def test_learning_rates_fall_with_each_layer_downwards() -> None:
    model = BertClassifier(encoder=TINY, layer_decay=0.5, freeze_layers=1)
    multipliers = model.learning_rate_multipliers(model.build())
    assert {(path.split("/")[0], factor) for path, factor in multipliers.items()} == {
        ("layer_1", 0.5), ("pooler", 1.0), ("logits", 1.0),
    }  # fmt: skip
    model = BertClassifier(encoder=TINY, layer_decay=0.5)
    multipliers = model.learning_rate_multipliers(model.build())
    assert multipliers["layer_0/attention/query/kernel"] == 0.25
    assert multipliers["embeddings/word_embeddings"] == 0.125


def test_without_decay_nothing_is_multiplied() -> None:
    model = BertClassifier(encoder=TINY)
    assert model.learning_rate_multipliers(model.build()) == {}


def test_a_checkpoint_brings_its_shape_weights_and_vocabulary(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    encoder = build_encoder(TINY)
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("[PAD]\n")
    write_huggingface(encoder, TINY, str(tmp_path / "pretrained"), str(vocabulary))
    model = BertClassifier(init_checkpoint=str(tmp_path / "pretrained"))
    keras_model = model.build()
    model.initialize(keras_model)
    assert model.pretrained
    assert model.encoder_config == TINY
    assert model.vocabulary_file == str(tmp_path / "pretrained" / "vocab.txt")
    assert {Path(file).name for file in model.input_files()} == {"config.json", "model.safetensors"}
    expected = {weight.path: weight for weight in encoder.weights}
    for weight in keras_model.trainable_variables:
        if weight.path in expected:
            np.testing.assert_array_equal(np.asarray(weight), np.asarray(expected[weight.path]))
    with pytest.raises(ModelError, match=r"model\.freeze_layers: expected at most 2, .* got 3"):
        model.override({"freeze_layers": 3}, "model").check_input_files()
    (tmp_path / "pretrained" / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json: expected JSON, got"):
        model.override({"freeze_layers": 1}, "model").check_input_files()


def test_random_weights_need_no_files() -> None:
    model = BertClassifier(encoder=TINY)
    assert (model.pretrained, model.vocabulary_file, model.input_files()) == (False, None, ())


def test_a_checkpoint_and_another_shape_contradict() -> None:
    with pytest.raises(pydantic.ValidationError, match="encoder and init_checkpoint: expected one of them"):
        BertClassifier(init_checkpoint="somewhere", encoder=TINY)


def test_a_saved_classifier_answers_the_same(tmp_path: Path) -> None:
    model = BertClassifier(encoder=TINY).build()
    model.save(tmp_path / "model.keras")
    loaded: Any = keras.saving.load_model(tmp_path / "model.keras")
    inputs = {name: BATCH[name] for name in (TOKEN_IDS, SEGMENT_IDS, PADDING_MASK)}
    np.testing.assert_array_equal(np.asarray(loaded(inputs)), np.asarray(model(inputs)))
