"""What is said of a checkpoint before anything runs: from headers alone, without TensorFlow."""

import contextlib
import json
import logging
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.formats.vocabulary import SPECIAL_TOKENS
from components.models.bert.classifier import BertClassifier
from components.models.bert.config import BertConfig
from components.models.bert.encoder import build_encoder
from components.models.bert.spans import BertSpans
from components.models.bert.weights.checkpoint import BertCheckpoint
from components.models.bert.weights.names import google_name
from components.models.bert.weights.safetensors import SafeTensors, write_safetensors
from components.models.bert.weights.shapes import encoder_shapes
from components.models.bert.weights.tensor_bundle import read_bundle_index
from components.models.bert.weights.writers import write_google, write_huggingface
from components.models.errors import ModelError
from components.patterns import PatternError

TINY = BertConfig(
    vocabulary_size=6, hidden_dim=4, num_layers=1, num_heads=2, intermediate_dim=3, max_positions=130
)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 440449768\n"
POOLER = ("pooler.dense.weight", "pooler.dense.bias")

Tensors = dict[str, Any]


@pytest.fixture(scope="module")
def encoder() -> Any:
    keras.utils.set_random_seed(2)
    return build_encoder(TINY)


@pytest.fixture(scope="module")
def written(encoder: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    vocabulary = folder / "words.txt"
    vocabulary.write_text("\n".join([*SPECIAL_TOKENS, "the"]) + "\n")
    write_huggingface(encoder, TINY, str(folder / "huggingface"), str(vocabulary))
    write_google(encoder, TINY, str(folder / "google"), str(vocabulary))
    return folder


@pytest.fixture
def huggingface(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written / "huggingface", tmp_path / "hf"))


@pytest.fixture
def google(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written / "google", tmp_path / "g"))


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    file = SafeTensors(str(folder / "model.safetensors"))
    write_safetensors(folder / "model.safetensors", change({name: file.read(name) for name in file.shapes}))


def without_pooler(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if name not in POOLER}


def check(folder: Path) -> None:
    BertClassifier(init_checkpoint=str(folder)).check_input_files()


def test_what_is_written_passes(huggingface: Path, google: Path) -> None:
    check(huggingface)
    check(google)


def test_shapes_from_the_configuration_are_those_of_the_encoder() -> None:
    config = TINY.model_copy(update={"num_layers": 3, "num_segments": 5})
    weights = build_encoder(config).weights
    built = {name: tuple(weight.shape) for weight in weights if (name := google_name(weight.path))}
    assert encoder_shapes(config) == built


def test_the_index_of_a_tensorflow_checkpoint_is_read_as_tensorflow_reads_it(google: Path) -> None:
    prefix = str(google / "bert_model.ckpt")
    found = read_bundle_index(prefix)
    assert {name: list(entry.shape) for name, entry in found.items()} == dict(tf.train.list_variables(prefix))
    assert {entry.dtype for entry in found.values()} == {"F32"}


def test_an_index_of_many_blocks_and_dtypes_is_read(tmp_path: Path) -> None:
    prefix = str(tmp_path / "many")
    tensors = {f"{'scope/' * 40}{number}": np.zeros((number, 2), np.float16) for number in range(3000)}
    tensors |= {"word": np.array(b"x"), "double": np.zeros(()), "byte": np.zeros(3, np.uint8)}
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(map(tf.constant, tensors.values())),
    )
    found = read_bundle_index(prefix)
    assert {name: entry.shape for name, entry in found.items()} == {n: t.shape for n, t in tensors.items()}
    assert {found[name].dtype for name in ("scope/" * 40 + "7", "word", "double", "byte")} == {
        "F16", "string", "F64", "number 4 of TensorFlow",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (POINTER, "is a Git LFS pointer: git lfs pull"),
        (b"<!DOCTYPE html>\n<html>", "is no TensorFlow checkpoint: an HTML page"),
        (b"Entry not found", "is no TensorFlow checkpoint: a text that begins with 'Entry not found'"),
        (b"", "expected "),
        (None, "expected a readable file|expected bert_model"),
    ],
)
def test_a_part_of_a_tensorflow_checkpoint_that_was_not_fetched_is_named(
    google: Path, name: str, content: bytes | None, message: str
) -> None:
    (google / name).unlink()
    if content is not None:
        (google / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        check(google)


def test_a_checkpoint_alone_in_its_folder_is_found_whatever_it_is_called(google: Path) -> None:
    for path in list(google.glob("bert_model.ckpt*")):
        path.rename(google / path.name.replace("bert_model.ckpt", "model.ckpt-1000"))
    for given in (google, google / "model.ckpt-1000", google / "model.ckpt-1000.index"):
        checkpoint = BertCheckpoint.find(str(given))
        assert checkpoint.path == str(google / "model.ckpt-1000")
        checkpoint.check()
    (google / "model.ckpt-2000.index").touch()
    with pytest.raises(
        ModelError, match=r"expected bert_model\.ckpt .*, got bert_config\.json, model\.ckpt-1000"
    ):
        BertCheckpoint.find(str(google))


def test_a_checkpoint_of_objects_is_named(google: Path) -> None:
    for path in google.glob("bert_model.ckpt*"):
        path.unlink()
    tf.train.Checkpoint(a=tf.Variable(1.0)).write(str(google / "bert_model.ckpt"))
    with pytest.raises(ModelError, match=r"expected variables by name, .* got the objects of a TensorFlow 2"):
        check(google)


def test_a_configuration_with_a_byte_order_mark_is_read(huggingface: Path) -> None:
    config = huggingface / "config.json"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    check(huggingface)


def test_any_cut_of_an_index_is_refused_or_read(google: Path) -> None:
    index = google / "bert_model.ckpt.index"
    content = index.read_bytes()
    for size in range(0, len(content), 7):
        for damaged in (content[:size], content[:size] + b"\xff" * 9 + content[size + 9 :]):
            index.write_bytes(damaged)
            with contextlib.suppress(ModelError):
                check(google)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (POINTER, r"model\.safetensors: is a Git LFS pointer: git lfs pull$"),
        (b"<html>Entry not found</html>", r"model\.safetensors: is no safetensors file: an HTML page$"),
        (b"\n<!doctype HTML>", "is no safetensors file: an HTML page$"),
        (b"Entry not found", "is no safetensors file: a text that begins with 'Entry not found'$"),
        (b'{"error":"Repository not found"}', 'is no safetensors file: a text that begins with \'{"error":'),
        (b"PK\x03\x04" + bytes(99), "expected a safetensors file, got: "),
    ],
)
def test_a_file_that_was_not_fetched_is_named_in_words(
    huggingface: Path, content: bytes, message: str
) -> None:
    (huggingface / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        check(huggingface)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
@pytest.mark.parametrize(
    ("content", "message"), [(POINTER, "is a Git LFS pointer"), (b"<html>", "is no JSON: an HTML page")]
)
def test_a_configuration_that_was_not_fetched_is_named(
    huggingface: Path, name: str, content: bytes, message: str
) -> None:
    if name.startswith("model"):
        (huggingface / "model.safetensors").unlink()
    (huggingface / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name}: {message}"):
        check(huggingface)


def test_a_download_that_was_cut_off_is_refused(huggingface: Path) -> None:
    weights = huggingface / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"model\.safetensors: expected a safetensors file, got: "):
        check(huggingface)


@pytest.mark.parametrize(
    "setting", ["vocab_size", "type_vocab_size", "max_position_embeddings", "hidden_size"]
)
def test_a_shape_that_is_not_that_of_the_configuration_is_named(huggingface: Path, setting: str) -> None:
    config = json.loads((huggingface / "config.json").read_text())
    (huggingface / "config.json").write_text(json.dumps({**config, setting: config[setting] + 2}))
    with pytest.raises(ModelError, match=r"of another shape \(embeddings\.\S+: expected \[\d+, \d\], got"):
        check(huggingface)


def test_weights_of_another_dtype_are_named(huggingface: Path) -> None:
    path = huggingface / "model.safetensors"
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    header["pooler.dense.bias"]["dtype"] = "I32"
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
    with pytest.raises(
        ModelError, match=r"1 of another dtype \(pooler\.dense\.bias: expected F64, F32, F16 or BF16, got I32"
    ):
        check(huggingface)


def test_what_a_head_is_called_does_not_matter_where_the_encoder_has_a_name(huggingface: Path) -> None:
    rewrite(
        huggingface, lambda tensors: {f"m.bert.{n}": t for n, t in tensors.items()} | {"m.crf.a": np.zeros(1)}
    )
    check(huggingface)


def test_two_encoders_are_refused(huggingface: Path) -> None:
    rewrite(
        huggingface, lambda t: {f"{side}.{n}": a for n, a in t.items() for side in ("question", "context")}
    )
    with pytest.raises(ModelError, match=r"expected one encoder, got 2: context\., question\."):
        check(huggingface)


def test_a_tensor_of_two_spellings_is_refused(huggingface: Path) -> None:
    name = "embeddings.LayerNorm"
    rewrite(huggingface, lambda tensors: {**tensors, f"{name}.gamma": tensors[f"{name}.weight"]})
    with pytest.raises(ModelError, match=r"expected one embeddings\.LayerNorm\.weight, got \S+ and \S+"):
        check(huggingface)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pytorch_model.bin", "got pytorch_model.bin, a pickle"),
        ("pytorch_model-00001-of-00002.bin", "got pytorch_model-00001-of-00002.bin, a pickle"),
        ("model.pt", "got model.pt, a pickle"),
        ("tf_model.h5", "got tf_model.h5, weights for TensorFlow classes"),
        ("flax_model.msgpack", "got flax_model.msgpack, weights for Flax; save the model as safetensors"),
        ("adapter_model.safetensors", "got adapter_model.safetensors, an adapter without its model"),
    ],
)
def test_weights_of_another_kind_are_refused_by_name(huggingface: Path, name: str, message: str) -> None:
    (huggingface / "model.safetensors").rename(huggingface / name)
    with pytest.raises(ModelError, match=message):
        check(huggingface)


def test_a_header_behind_a_uri_is_read_and_no_weights(huggingface: Path) -> None:
    folder = f"ram://{huggingface}"
    tf.io.gfile.makedirs(folder)
    for path in huggingface.iterdir():
        tf.io.gfile.copy(str(path), f"{folder}/{path.name}")
    BertClassifier(init_checkpoint=folder).check_input_files()
    with tf.io.gfile.GFile(f"{folder}/model.safetensors", "wb") as file:
        file.write((huggingface / "model.safetensors").read_bytes()[:-1])
    with pytest.raises(ModelError, match="expected a safetensors file, got: "):
        BertClassifier(init_checkpoint=folder).check_input_files()


@pytest.mark.parametrize("prefix", ["", "bert.", "module.bert."])
def test_a_missing_pooler_is_drawn_from_the_seed_with_a_warning(
    huggingface: Path, encoder: Any, caplog: pytest.LogCaptureFixture, prefix: str
) -> None:
    rewrite(huggingface, lambda tensors: {f"{prefix}{n}": t for n, t in without_pooler(tensors).items()})
    check(huggingface)
    model = BertClassifier(init_checkpoint=str(huggingface))
    poolers = []
    for seed in (5, 5, 6):
        keras.utils.set_random_seed(seed)
        keras_model = model.build()
        model.initialize(keras_model)
        weights = {weight.path: np.asarray(weight) for weight in keras_model.weights}
        poolers.append(weights["pooler/kernel"])
        kernel = next(w for w in encoder.weights if w.path == "layer_0/output/kernel")
        np.testing.assert_array_equal(weights["layer_0/output/kernel"], np.asarray(kernel))
    np.testing.assert_array_equal(poolers[0], poolers[1])
    assert not np.array_equal(poolers[0], poolers[2])
    assert np.abs(poolers[0]).max() > 0
    (record, *_) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage() == (
        f"{huggingface}/model.safetensors: has no pooler (pooler.dense.weight, pooler.dense.bias): "
        "a new one is drawn from the seed"
    )


def test_half_a_pooler_is_refused(huggingface: Path) -> None:
    rewrite(huggingface, lambda t: {name: tensor for name, tensor in t.items() if name != POOLER[1]})
    with pytest.raises(ModelError, match=r"1 missing \(pooler\.dense\.bias \[4\]\)"):
        check(huggingface)


def test_the_encoder_of_a_question_answering_model_becomes_a_classifier(tmp_path: Path) -> None:
    spans = BertSpans(encoder=TINY, save_as=("huggingface", "google"))
    spans.save_weights(spans.build(), str(tmp_path))
    for kind in spans.save_as:
        model = BertClassifier(init_checkpoint=str(tmp_path / "assets.extra" / kind))
        model.check_input_files()
        model.initialize(model.build())


def test_a_missing_pooler_is_no_matter_where_none_is_used(
    huggingface: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rewrite(huggingface, without_pooler)
    model = BertSpans(init_checkpoint=str(huggingface))
    model.initialize(model.build())
    assert caplog.records == []


@pytest.mark.parametrize("kind", ["huggingface", "google"])
def test_a_task_refuses_a_checkpoint_without_tensorflow(written: Path, tmp_path: Path, kind: str) -> None:
    """Both a good one and a bad one are told apart before anything heavy is imported."""
    bad = Path(shutil.copytree(written / kind, tmp_path / "bad"))
    weights = (
        bad / {"huggingface": "model.safetensors", "google": "bert_model.ckpt.data-00000-of-00001"}[kind]
    )
    weights.write_bytes(POINTER)
    code = (
        "import sys; from pipelines.tasks import get_task as find; from components.errors import UserError\n"
        f"find('cola').override({{'model': {{'init_checkpoint': {str(written / kind)!r}}}}})\n"
        f"try: find('cola').override({{'model': {{'init_checkpoint': {str(bad)!r}}}}})\n"
        "except UserError as error: print(error)\n"
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{weights}: is a Git LFS pointer: git lfs pull\nFalse\n"


def test_a_checkpoint_is_found_whatever_its_file_is_called(huggingface: Path) -> None:
    (huggingface / "model.safetensors").rename(huggingface / "mine.safetensors")
    checkpoint = BertCheckpoint.find(str(huggingface / "mine.safetensors"))
    checkpoint.check()
    (huggingface / "notes.txt").touch()
    with pytest.raises(ModelError, match=r"notes\.txt: expected .*, got another file"):
        BertCheckpoint.find(str(huggingface / "notes.txt"))


def test_a_checkpoint_that_tensorflow_would_look_for_by_a_pattern_is_refused(
    written: Path, tmp_path: Path
) -> None:
    shutil.copytree(written / "google", tmp_path / "google[1]")
    checkpoint = BertCheckpoint.find(str(tmp_path / "google[1]"))
    with pytest.raises(PatternError, match=r"google\[1\]/bert_model.ckpt: expected a path without \["):
        checkpoint.open(header_only=True)


def test_a_folder_in_place_of_the_weights_is_called_one(huggingface: Path) -> None:
    (huggingface / "model.safetensors").unlink()
    (huggingface / "model.safetensors").mkdir()
    with pytest.raises(
        ModelError, match=r"model\.safetensors: expected a readable file, got: Is a directory"
    ):
        check(huggingface)


def test_a_checkpoint_where_nobody_can_look_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^foo://bert: expected a readable folder, got: .*'foo'"):
        BertCheckpoint.find("foo://bert")


def test_more_layers_than_anybody_has_are_refused_at_once() -> None:
    said = {**TINY.to_dict(), "num_hidden_layers": 10**9}
    with pytest.raises(
        ModelError, match=r"num_hidden_layers: expected less than or equal to 1000, got 10{9}$"
    ):
        BertConfig.from_dict(said)
