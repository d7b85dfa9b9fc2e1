"""Checkpoints of both kinds: round trips, names of both, and what does not fit; tiny and random."""

import contextlib
import json
import logging
import os
import resource
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.models.bert.classifier import BertClassifier
from components.models.bert.config import BertConfig
from components.models.bert.encoder import build_encoder
from components.models.bert.weights.checkpoint import BertCheckpoint
from components.models.bert.weights.names import google_name, huggingface_name
from components.models.bert.weights.safetensors import SafeTensors, write_safetensors
from components.models.bert.weights.writers import write_google, write_huggingface
from components.models.errors import ModelError

TINY = BertConfig(
    vocabulary_size=6, hidden_dim=4, num_layers=1, num_heads=2, intermediate_dim=3, max_positions=5
)
WRITERS = {"google": write_google, "huggingface": write_huggingface}


@pytest.fixture(scope="module")
def encoder() -> Any:
    keras.utils.set_random_seed(2)
    return build_encoder(TINY)


@pytest.fixture(scope="module")
def other() -> Any:
    return build_encoder(TINY)


@pytest.fixture(params=WRITERS)
def written(request: pytest.FixtureRequest, encoder: Any, tmp_path: Path) -> Path:
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("[PAD]\n")
    WRITERS[request.param](encoder, TINY, str(tmp_path / "encoder"), str(vocabulary))
    return tmp_path / "encoder"


def weights(model: Any) -> dict[str, bytes]:
    return {w.path: np.asarray(w).tobytes() for w in model.weights if "seed" not in w.path}


def reset(model: Any) -> None:
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape, weight.dtype))


def rewrite(folder: Path, change: Any) -> None:
    """Changes the tensors of a model.safetensors."""
    file = SafeTensors(str(folder / "model.safetensors"))
    tensors = {name: file.read(name) for name in file.shapes}
    write_safetensors(folder / "model.safetensors", change(tensors))


@pytest.fixture
def huggingface(encoder: Any, tmp_path: Path) -> Path:
    write_huggingface(encoder, TINY, str(tmp_path / "hf"))
    return tmp_path / "hf"


def test_what_is_written_is_read_bit_for_bit(written: Path, encoder: Any, other: Any) -> None:
    reset(other)
    checkpoint = BertCheckpoint.find(str(written))
    checkpoint.load(other)
    assert weights(other) == weights(encoder)
    assert checkpoint.config() == TINY
    assert Path(checkpoint.vocabulary_file).read_text() == "[PAD]\n"
    assert all(Path(file).is_file() for file in checkpoint.files())


def test_only_the_folder_with_everything_is_left(written: Path) -> None:
    assert sorted(path.name for path in written.parent.iterdir()) == ["encoder", "words.txt"]


def test_a_folder_that_exists_is_not_written_over(written: Path, encoder: Any) -> None:
    with pytest.raises(ModelError, match="expected a folder that does not exist yet"):
        write_huggingface(encoder, TINY, str(written))


def test_a_failed_writer_leaves_nothing(encoder: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no-such-vocabulary: expected a readable file"):
        write_google(encoder, TINY, str(tmp_path / "encoder"), str(tmp_path / "no-such-vocabulary"))
    assert list(tmp_path.iterdir()) == []


def test_google_files_are_found_by_their_common_beginning(encoder: Any, tmp_path: Path) -> None:
    write_google(encoder, TINY, str(tmp_path / "g"))
    checkpoint = BertCheckpoint.find(str(tmp_path / "g" / "bert_model.ckpt"))
    assert [Path(file).name for file in checkpoint.files()] == [
        "bert_config.json", "bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.index",
    ]  # fmt: skip


def test_names_are_those_of_both_kinds() -> None:
    name = google_name("layer_3/attention/query/kernel")
    assert name == "bert/encoder/layer_3/attention/self/query/kernel"
    assert huggingface_name(name) == "encoder.layer.3.attention.self.query.weight"
    assert huggingface_name("bert/embeddings/LayerNorm/beta") == "embeddings.LayerNorm.bias"
    assert huggingface_name("bert/embeddings/word_embeddings") == "embeddings.word_embeddings.weight"
    assert google_name("logits/kernel") is None


def test_dense_kernels_are_transposed_in_a_hugging_face_file(huggingface: Path, encoder: Any) -> None:
    stored = SafeTensors(str(huggingface / "model.safetensors")).read(
        "encoder.layer.0.intermediate.dense.weight"
    )
    kernel = next(w for w in encoder.weights if w.path == "layer_0/intermediate/kernel")
    np.testing.assert_array_equal(stored, np.asarray(kernel).T)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"bert.{name}",
        lambda name: f"module.{name}",
        lambda name: f"module.bert.{name}",
        lambda name: f"_orig_mod.model.bert.{name}",
        lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ),
    ],
)
def test_older_names_and_those_below_a_head_are_read(
    huggingface: Path, encoder: Any, other: Any, rename: Any
) -> None:
    rewrite(huggingface, lambda tensors: {rename(name): tensor for name, tensor in tensors.items()})
    reset(other)
    BertCheckpoint.find(str(huggingface / "model.safetensors")).load(other)
    assert weights(other) == weights(encoder)


def test_heads_and_buffers_are_logged_and_left_out(
    huggingface: Path, other: Any, caplog: pytest.LogCaptureFixture
) -> None:
    extra = {"classifier.weight": np.zeros((2, 4)), "bert.embeddings.position_ids": np.zeros((1, 5))}
    rewrite(huggingface, lambda tensors: {**{f"bert.{n}": t for n, t in tensors.items()}, **extra})
    with caplog.at_level(logging.INFO):
        BertCheckpoint.find(str(huggingface)).load(other)
    assert (
        "2 tensors that are no part of the encoder: classifier.weight, embeddings.position_ids" in caplog.text
    )


def test_a_checkpoint_that_does_not_fit_is_described_and_changes_nothing(
    huggingface: Path, other: Any
) -> None:
    def change(tensors: dict[str, Any]) -> dict[str, Any]:
        del tensors["pooler.dense.bias"]
        return {**tensors, "pooler.dense.weight": np.zeros((4, 5)), "decoder.weight": np.ones(2)}

    rewrite(huggingface, change)
    before = weights(other)
    with pytest.raises(ModelError) as caught:
        BertCheckpoint.find(str(huggingface)).load(other)
    assert str(caught.value).partition(": ")[2] == (
        f"does not fit the encoder of {huggingface}/config.json: 1 missing (pooler.dense.bias [4]); "
        "1 unexpected (decoder.weight [2]); "
        "1 of another shape (pooler.dense.weight: expected [4, 4], got [4, 5])"
    )
    assert weights(other) == before


def test_a_google_checkpoint_of_another_shape_is_described(encoder: Any, tmp_path: Path) -> None:
    write_google(encoder, TINY, str(tmp_path / "g"))
    wider = TINY.model_copy(update={"intermediate_dim": 7})
    with pytest.raises(
        ModelError, match=r"3 of another shape \(bert/encoder/layer_0/intermediate/dense/kernel: "
    ):
        BertCheckpoint.find(str(tmp_path / "g")).load(build_encoder(wider))


def test_a_flipped_byte_in_a_google_checkpoint_is_found(encoder: Any, other: Any, tmp_path: Path) -> None:
    write_google(encoder, TINY, str(tmp_path / "g"))
    data = tmp_path / "g" / "bert_model.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[100] ^= 1
    data.write_bytes(content)
    before = weights(other)
    with pytest.raises(ModelError, match=r"expected a TensorFlow checkpoint, got: .*[Cc]hecksum"):
        BertCheckpoint.find(str(tmp_path / "g")).load(other)
    assert weights(other) == before


def test_weights_that_are_not_finite_are_refused(huggingface: Path, other: Any) -> None:
    rewrite(huggingface, lambda tensors: {**tensors, "pooler.dense.bias": np.array([0, np.nan, 0, 0])})
    with pytest.raises(ModelError, match=r"pooler\.dense\.bias: expected finite numbers"):
        BertCheckpoint.find(str(huggingface)).load(other)


def test_a_pickle_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(
        ModelError, match="a pickle, which can run code as it is read; save the model as safetensors"
    ):
        BertCheckpoint.find(str(tmp_path))


def test_a_place_without_a_checkpoint_is_described(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="got no such folder, or an empty one"):
        BertCheckpoint.find(str(tmp_path / "nowhere"))
    (tmp_path / "vocab.txt").touch()
    with pytest.raises(
        ModelError, match=r"expected bert_model\.ckpt .* or model\.safetensors, got vocab\.txt"
    ):
        BertCheckpoint.find(str(tmp_path))


def test_a_missing_config_is_named(huggingface: Path) -> None:
    (huggingface / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json: expected a readable file, got: No such file"):
        BertCheckpoint.find(str(huggingface)).config()


def safetensors(tmp_path: Path, header: Any, data: bytes) -> str:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return str(path)


def entry(begin: int, end: int, dtype: str = "F32", shape: tuple[int, ...] = (1,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    # 1.5 is 0x3e00 in float16 and 0x3fc0 in bfloat16, the upper half of 0x3fc00000.
    header = {"half": entry(0, 2, "F16"), "brain": entry(2, 4, "BF16"), "none": entry(4, 4, "F32", (0, 2))}
    file = SafeTensors(safetensors(tmp_path, header, b"\x00\x3e\xc0\x3f"))
    assert [file.read(name).tolist() for name in header] == [[1.5], [1.5], []]
    assert file.read("brain").dtype == np.float32


def test_double_precision_is_read_as_float32(tmp_path: Path) -> None:
    # 1.5 is 0x3ff8000000000000.
    file = SafeTensors(safetensors(tmp_path, {"a": entry(0, 8, "F64")}, b"\0\0\0\0\0\0\xf8\x3f"))
    assert (file.read("a").tolist(), file.read("a").dtype) == ([1.5], np.float32)


def test_integers_are_no_weights(tmp_path: Path) -> None:
    file = SafeTensors(safetensors(tmp_path, {"ids": entry(0, 8, "I64")}, bytes(8)))
    with pytest.raises(ModelError, match="ids: expected dtype F64, F32, F16 or BF16, got I64"):
        file.read("ids")


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"a": entry(0, 4)}, b"123", "file not fully covered"),
        ({"a": entry(0, 4)}, b"12345", "file not fully covered"),
        ({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6), "invalid offset for tensor `b`"),
        ({"a": entry(0, 4), "b": entry(6, 10)}, bytes(10), "invalid offset for tensor `b`"),
        ({"a": entry(0, 4, shape=(2,))}, bytes(4), "invalid shape, data type, or offset"),
        ({"a": entry(4, 0, shape=(0,))}, bytes(4), "invalid offset for tensor `a`"),
        ({"a": entry(0, 4, "F31")}, bytes(4), "unknown variant `F31`"),
        ({"a": entry(0, 4, shape=(-1,))}, bytes(4), "invalid value: integer `-1`"),
        ({"a": {"dtype": ["F32"], "shape": [], "data_offsets": [0, 4]}}, bytes(4), "invalid type: sequence"),
        ({"a": 1}, b"", "invalid type: integer `1`"),
        ([], b"", "invalid type: sequence"),
        (b'{"a": 1, "a": 2}', b"", "invalid type: integer `1`"),
        (b"{", b"", "invalid JSON in header: EOF"),
        (b"[" * 100_000, b"", "invalid JSON in header"),
        (b"\xff\xfe", b"", "invalid UTF-8 in header"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, header: Any, data: bytes, message: str) -> None:
    path = safetensors(tmp_path, header, data)
    with pytest.raises(ModelError, match=message) as caught:
        SafeTensors(path)
    assert str(caught.value).startswith(f"{path}: expected a safetensors file, got: ")
    assert "\n" not in str(caught.value)


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "__metadata__"]),
        st.fixed_dictionaries(
            {},
            optional={
                "dtype": st.sampled_from(["F32", "BF16", "?", None]),
                "shape": st.lists(st.integers(-1, 3)) | st.none(),
                "data_offsets": st.lists(st.integers(-1, 9), max_size=3) | st.booleans(),
            },
        )
        | st.none(),
    ).map(lambda header: json.dumps(header).encode())
    | st.binary(),
    st.binary(max_size=9),
    st.integers(-9, 9),
)
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, header: bytes, data: bytes, off: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(max(0, len(header) + off).to_bytes(8, "little") + header + data)
    with contextlib.suppress(ModelError):
        file = SafeTensors(str(path))
        assert sum(file.read(name).nbytes for name in file.shapes) <= 2 * len(data)


@pytest.mark.parametrize("size", [0, 4, 8, 9, 200])
def test_a_truncated_file_is_refused(huggingface: Path, size: int) -> None:
    path = huggingface / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(
        ModelError, match=r"hf/model\.safetensors: expected a safetensors file, got: .*(too small|length)"
    ):
        SafeTensors(str(path))


def test_a_missing_file_or_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.safetensors", "No such"), (tmp_path, "Is a directory")):
        with pytest.raises(ModelError, match=f"expected a readable file, got: {reason}") as caught:
            SafeTensors(str(path))
        assert str(caught.value).startswith(f"{path}: ")


def test_a_file_behind_a_uri_is_read(tmp_path: Path) -> None:
    header = {"half": entry(0, 2, "F16"), "brain": entry(2, 4, "BF16")}
    path = safetensors(tmp_path, header, b"\x00\x3e\xc0\x3f")
    uri = f"ram://{path}"
    tf.io.gfile.makedirs(os.path.dirname(uri))
    tf.io.gfile.copy(path, uri)
    file = SafeTensors(uri)
    assert [file.read(name).tolist() for name in header] == [[1.5], [1.5]]
    with pytest.raises(ModelError, match=r"ram://.*/none: expected a readable file, got: "):
        SafeTensors(f"{uri}/none")


def test_what_is_written_has_the_layout_and_the_mode_of_any_other_file(tmp_path: Path) -> None:
    # A view with its axes the other way round is written row by row all the same.
    tensor = np.array([[1, 2, 3], [4, 5, 6]], np.float64).T
    write_safetensors(tmp_path / "file", {"a": tensor})
    (tmp_path / "other").touch()
    content = (tmp_path / "file").read_bytes()
    size = int.from_bytes(content[:8], "little")
    assert json.loads(content[8 : 8 + size]) == {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]},
    }
    assert content[8 + size :] == np.array([1, 4, 2, 5, 3, 6], "<f4").tobytes()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_file_that_does_not_fit_is_an_os_error_that_names_it(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_safetensors(tmp_path / "file", {"a": np.zeros(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.filename == str(tmp_path / "file")


def shard(folder: Path) -> None:
    """Splits model.safetensors as `transformers` does, every other tensor into the second file."""
    file = SafeTensors(str(folder / "model.safetensors"))
    tensors = {name: file.read(name) for name in file.shapes}
    (folder / "model.safetensors").unlink()
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for part, name in enumerate(names):
        write_safetensors(folder / name, {key: tensors[key] for key in sorted(tensors)[part::2]})
    weight_map = {key: names[number % 2] for number, key in enumerate(sorted(tensors))}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("name", ["", "model.safetensors.index.json"])
def test_a_checkpoint_in_several_files_is_read_bit_for_bit(
    huggingface: Path, encoder: Any, other: Any, name: str
) -> None:
    shard(huggingface)
    reset(other)
    checkpoint = BertCheckpoint.find(str(huggingface / name))
    checkpoint.load(other)
    assert weights(other) == weights(encoder)
    assert checkpoint.config() == TINY
    assert [Path(file).name for file in checkpoint.files()] == [
        "config.json", "model.safetensors.index.json",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
    ]  # fmt: skip


def test_the_whole_file_is_taken_where_there_are_parts_too(huggingface: Path) -> None:
    whole = (huggingface / "model.safetensors").read_bytes()
    shard(huggingface)
    (huggingface / "model.safetensors").write_bytes(whole)
    assert BertCheckpoint.find(str(huggingface)).path == str(huggingface / "model.safetensors")


def test_a_part_that_is_missing_is_named(huggingface: Path, other: Any) -> None:
    shard(huggingface)
    (huggingface / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"hf/model-00002-of-00002\.safetensors: expected a readable file"):
        BertCheckpoint.find(str(huggingface)).load(other)


def test_a_part_without_its_tensor_is_named(huggingface: Path, other: Any) -> None:
    shard(huggingface)
    write_safetensors(huggingface / "model-00001-of-00002.safetensors", {"a": np.zeros(1)})
    with pytest.raises(
        ModelError,
        match=r"index\.json: embeddings\.\S+: expected it in model-00001-of-00002\.safetensors, which has no",
    ):
        BertCheckpoint.find(str(huggingface)).load(other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected JSON with 'weight_map', got: JSONDecodeError"),
        ("[]", "expected JSON with 'weight_map', got: TypeError"),
        ("{}", "expected JSON with 'weight_map', got: KeyError"),
        ("[" * 100_000, "expected JSON with 'weight_map', got: RecursionError"),
        ('{"weight_map": [1]}', r"weight_map: expected an object, got \[1\]"),
        ('{"weight_map": {"a": 1}}', r"a: expected a \.safetensors file beside it, got 1"),
        ('{"weight_map": {"a": "../b.safetensors"}}', r"a: expected a .* beside it, got \"\.\./b"),
        ('{"weight_map": {"a": "pytorch_model.bin"}}', r"a: expected a .* beside it, got \"pytorch_model"),
    ],
)
def test_a_malformed_index_is_refused(huggingface: Path, text: str, message: str) -> None:
    (huggingface / "model.safetensors").unlink()
    path = huggingface / "model.safetensors.index.json"
    path.write_text(text)
    checkpoint = BertCheckpoint.find(str(huggingface))
    for ask in (checkpoint.files, checkpoint.open):
        with pytest.raises(ModelError, match=message) as caught:
            ask()
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("token", "lower_case"), [("the", True), ("##É", False), ("李", True)])
def test_a_hugging_face_tokenizer_is_told_of_the_case(
    encoder: Any, tmp_path: Path, token: str, lower_case: bool
) -> None:
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text(f"[PAD]\n[CLS]\n{token}\n", encoding="utf-8")
    write_huggingface(encoder, TINY, str(tmp_path / "hf"), str(vocabulary))
    assert json.loads((tmp_path / "hf" / "tokenizer_config.json").read_text()) == {
        "tokenizer_class": "BertTokenizer", "do_lower_case": lower_case, "model_max_length": 5,
    }  # fmt: skip


@pytest.mark.parametrize("scheme", ["", "ram://"])
def test_a_classifier_saves_its_encoder_beside_any_export(encoder: Any, tmp_path: Path, scheme: str) -> None:
    model = BertClassifier(encoder=TINY, save_as=("google", "huggingface"))
    keras_model = model.build()
    export_dir = f"{scheme}{tmp_path}/export"
    tf.io.gfile.makedirs(f"{export_dir}/assets")
    with tf.io.gfile.GFile(f"{export_dir}/assets/vocabulary.txt", "w") as file:
        file.write("[PAD]\n")
    model.save_weights(keras_model, export_dir)
    assert os.listdir(tmp_path) == ([] if scheme else ["export"])
    before = weights(keras_model)
    for kind in ("google", "huggingface"):
        folder, copy = f"{export_dir}/assets.extra/{kind}", tmp_path / "copy" / kind
        copy.mkdir(parents=True)
        for name in tf.io.gfile.listdir(folder):
            tf.io.gfile.copy(f"{folder}/{name}", str(copy / name))
        assert (copy / "vocab.txt").read_text() == "[PAD]\n"
        reset(keras_model)
        BertCheckpoint.find(str(copy)).load(keras_model)
        after = weights(keras_model)
        assert {n: w for n, w in after.items() if google_name(n)} == {
            n: w for n, w in before.items() if google_name(n)
        }


def test_a_classifier_writes_its_encoder(huggingface: Path, encoder: Any, tmp_path: Path) -> None:
    model = BertClassifier(init_checkpoint=str(huggingface))
    keras_model = model.build()
    model.initialize(keras_model)
    write_google(keras_model, model.encoder_config, str(tmp_path / "tuned"))
    copy = build_encoder(TINY)
    BertCheckpoint.find(str(tmp_path / "tuned")).load(copy)
    assert weights(copy) == weights(encoder)
