"""Heads in checkpoints of both kinds: round trips, what may be left out, and what does not fit."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.models.bert.classifier import BertClassifier
from components.models.bert.config import BertConfig
from components.models.bert.fine_tuning import BertFineTuning
from components.models.bert.pretraining import BertPretraining
from components.models.bert.spans import BertSpans
from components.models.bert.weights.names import google_name, huggingface_name
from components.models.bert.weights.safetensors import SafeTensors, write_safetensors
from components.models.bert.weights.shapes import encoder_shapes, head_shapes
from components.models.errors import ModelError

TINY = BertConfig(
    vocabulary_size=6, hidden_dim=4, num_layers=1, num_heads=2, intermediate_dim=3, max_positions=5
)
KINDS = ("google", "huggingface")
POOLER = "pooler (pooler.dense.weight, pooler.dense.bias)"
MASKED_WORDS = (
    "head for masked words (cls.predictions.transform.dense.weight, cls.predictions.transform.dense.bias, "
    "cls.predictions.transform.LayerNorm.weight, … and 2 more)"
)
NEXT_SENTENCE = "head for the next sentence (cls.seq_relationship.weight, cls.seq_relationship.bias)"

Tensors = dict[str, Any]


def built(model: BertFineTuning, seed: int = 0) -> Any:
    """Returns a model with the weights that it starts from."""
    keras.utils.set_random_seed(seed)
    keras_model = model.build()
    for weight in keras_model.trainable_variables:
        weight.assign(np.random.default_rng(seed).normal(size=weight.shape))
    model.initialize(keras_model)
    return keras_model


def weights(keras_model: Any) -> dict[str, Any]:
    return {weight.path: np.asarray(weight) for weight in keras_model.trainable_variables}


@pytest.fixture(scope="module")
def trained() -> Any:
    return built(BertPretraining(encoder=TINY))


@pytest.fixture
def written(trained: Any, tmp_path: Path) -> Path:
    """The folder with the checkpoints of both kinds."""
    BertPretraining(encoder=TINY, save_as=KINDS).save_weights(trained, str(tmp_path))
    return tmp_path / "assets.extra"


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    file = SafeTensors(str(folder / "model.safetensors"))
    write_safetensors(folder / "model.safetensors", change({name: file.read(name) for name in file.shapes}))


def without(*parts: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {n: t for n, t in tensors.items() if not any(part in n for part in parts)}


def differing(one: Any, other: Any) -> set[str]:
    """Returns the first parts of the paths of weights that are not the same."""
    expected = weights(other)
    return {n.split("/")[0] for n, value in weights(one).items() if not np.array_equal(value, expected[n])}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_bit_for_bit(
    written: Path, trained: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = BertPretraining(init_checkpoint=str(written / kind))
    model.check_input_files()
    assert differing(built(model, seed=1), trained) == set()
    assert caplog.records == []


def test_names_are_those_of_both_kinds() -> None:
    names = {
        "masked_lm/dense/kernel": (
            "cls/predictions/transform/dense/kernel", "cls.predictions.transform.dense.weight",
        ),
        "masked_lm/dense/bias": (
            "cls/predictions/transform/dense/bias", "cls.predictions.transform.dense.bias",
        ),
        "masked_lm/layer_norm/gamma": (
            "cls/predictions/transform/LayerNorm/gamma", "cls.predictions.transform.LayerNorm.weight",
        ),
        "masked_lm/layer_norm/beta": (
            "cls/predictions/transform/LayerNorm/beta", "cls.predictions.transform.LayerNorm.bias",
        ),
        "masked_lm/output_bias": ("cls/predictions/output_bias", "cls.predictions.bias"),
        "next_sentence/kernel": ("cls/seq_relationship/output_weights", "cls.seq_relationship.weight"),
        "next_sentence/bias": ("cls/seq_relationship/output_bias", "cls.seq_relationship.bias"),
    }  # fmt: skip
    for path, (google, huggingface) in names.items():
        assert google_name(path) == google
        assert huggingface_name(google) == huggingface


def test_hugging_face_files_are_those_of_bert_for_pretraining(written: Path, trained: Any) -> None:
    folder = written / "huggingface"
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["BertForPreTraining"]
    file = SafeTensors(str(folder / "model.safetensors"))
    assert {name for name in file.shapes if not name.startswith("bert.")} == {
        "cls.predictions.bias", "cls.predictions.transform.dense.weight",
        "cls.predictions.transform.dense.bias", "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.transform.LayerNorm.bias", "cls.seq_relationship.weight",
        "cls.seq_relationship.bias",
    }  # fmt: skip
    w = weights(trained)
    np.testing.assert_array_equal(file.read("cls.seq_relationship.weight"), w["next_sentence/kernel"].T)
    transform = file.read("cls.predictions.transform.dense.weight")
    np.testing.assert_array_equal(transform, w["masked_lm/dense/kernel"].T)
    np.testing.assert_array_equal(
        file.read("bert.embeddings.word_embeddings.weight"), w["embeddings/word_embeddings"]
    )


def test_google_files_have_the_shapes_of_google(written: Path, trained: Any) -> None:
    prefix = str(written / "google" / "bert_model.ckpt")
    shapes = dict(tf.train.list_variables(prefix))
    assert shapes["cls/seq_relationship/output_weights"] == [2, 4]
    assert shapes["cls/predictions/output_bias"] == [6]
    stored = tf.train.load_variable(prefix, "cls/seq_relationship/output_weights")
    np.testing.assert_array_equal(stored, weights(trained)["next_sentence/kernel"].T)
    stored = tf.train.load_variable(prefix, "cls/predictions/transform/dense/kernel")
    np.testing.assert_array_equal(stored, weights(trained)["masked_lm/dense/kernel"])


def test_shapes_from_the_configuration_are_those_of_the_model(trained: Any) -> None:
    found = {google_name(weight.path): tuple(weight.shape) for weight in trained.trainable_variables}
    assert encoder_shapes(TINY) | head_shapes(TINY) == found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", [BertClassifier, BertSpans])
def test_text_tasks_start_from_the_encoder(
    written: Path, trained: Any, kind: str, task: type[BertFineTuning], caplog: pytest.LogCaptureFixture
) -> None:
    model = task(init_checkpoint=str(written / kind))
    model.check_input_files()
    before, expected = weights(built(task(encoder=TINY), seed=1)), weights(trained)
    for path, value in weights(built(model, seed=1)).items():
        np.testing.assert_array_equal(value, expected.get(path, before[path]))
    assert caplog.records == []


@pytest.mark.parametrize(
    ("change", "new", "parts"),
    [
        (without("cls."), f"no {MASKED_WORDS}, no {NEXT_SENTENCE}: new ones are",
         {"masked_lm", "next_sentence"}),
        (without("seq_relationship"), f"no {NEXT_SENTENCE}: a new one is", {"next_sentence"}),
        (without("pooler", "seq_relationship"), f"no {POOLER}, no {NEXT_SENTENCE}: new ones are",
         {"pooler", "next_sentence"}),
        (without("predictions"), f"no {MASKED_WORDS}: a new one is", {"masked_lm"}),
        (lambda tensors: {**without("cls.")(tensors), "classifier.weight": np.zeros((2, 4))},
         f"no {MASKED_WORDS}, no {NEXT_SENTENCE}: new ones are", {"masked_lm", "next_sentence"}),
    ],
    ids=["encoder alone", "masked words alone", "masked words without a pooler", "pairs alone", "classifier"],
)  # fmt: skip
def test_what_a_checkpoint_lacks_is_new_and_named_once(
    written: Path, trained: Any, change: Any, new: str, parts: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = written / "huggingface"
    rewrite(folder, change)
    model = BertPretraining(init_checkpoint=str(folder))
    model.check_input_files()
    fresh = built(BertPretraining(encoder=TINY), seed=1)
    continued = built(model, seed=1)
    assert differing(continued, trained) == parts
    assert differing(continued, fresh) == {path.split("/")[0] for path in weights(fresh)} - parts
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage() == f"{folder}/model.safetensors: has {new} drawn from the seed"


def test_google_files_of_an_encoder_alone_are_gone_on_from(
    written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spans = BertSpans(encoder=TINY, save_as=("google",))
    spans.save_weights(built(spans), str(tmp_path / "spans"))
    model = BertPretraining(init_checkpoint=str(tmp_path / "spans" / "assets.extra" / "google"))
    model.check_input_files()
    built(model)
    (record,) = caplog.records
    assert (
        "has no pooler (bert/pooler/dense/kernel, bert/pooler/dense/bias), no head for" in record.getMessage()
    )


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.model."])
def test_older_names_and_those_of_wrappers_are_read(written: Path, trained: Any, prefix: str) -> None:
    def older(name: str) -> str:
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        return f"{prefix}{name}"

    folder = written / "huggingface"
    table = "cls.predictions.decoder.weight"
    rewrite(
        folder,
        lambda tensors: {older(n): t for n, t in {**tensors, table: np.zeros((6, 4))}.items()},
    )
    model = BertPretraining(init_checkpoint=str(folder))
    model.check_input_files()
    assert differing(built(model, seed=1), trained) == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cls.predictions.bias": np.zeros(7)},
         r"1 of another shape \(cls\.predictions\.bias: expected \[6\], got \[7\]\)"),
        ({"cls.seq_relationship.weight": np.zeros((4, 2))},
         r"1 of another shape \(cls\.seq_relationship\.weight: expected \[2, 4\], got \[4, 2\]\)"),
        ({"cls.predictions.bias": None}, r"1 missing \(cls\.predictions\.bias \[6\]\)"),
    ],
    ids=["vocabulary", "transposed", "half a head"],
)  # fmt: skip
def test_heads_that_do_not_fit_are_refused_before_anything_runs_and_text_tasks_do_not_mind(
    written: Path, change: dict[str, Any], message: str
) -> None:
    folder = written / "huggingface"
    rewrite(folder, lambda tensors: {n: t for n, t in {**tensors, **change}.items() if t is not None})
    model = BertPretraining(init_checkpoint=str(folder))
    with pytest.raises(ModelError, match=message):
        model.check_input_files()
    keras_model = model.build()
    before = weights(keras_model)
    with pytest.raises(ModelError, match=message):
        model.initialize(keras_model)
    assert all(np.array_equal(value, before[path]) for path, value in weights(keras_model).items())
    BertClassifier(init_checkpoint=str(folder)).check_input_files()
    built(BertClassifier(init_checkpoint=str(folder)))


def test_the_published_model_holds_the_encoder_without_being_asked() -> None:
    assert BertPretraining().save_as == ("huggingface",)
