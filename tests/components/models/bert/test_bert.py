"""BERT's encoder: settings, shapes, padding, precision; tiny and random."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pydantic
import pytest

from components.features import PADDING_MASK, SEGMENT_IDS, TOKEN_IDS
from components.models.bert.config import BertConfig
from components.models.bert.encoder import POOLED_OUTPUT, SEQUENCE_OUTPUT, build_encoder
from components.models.bert.layers import Waves
from components.models.errors import ModelError
from components.models.precision import dtype_policy

TINY = BertConfig(
    vocabulary_size=50, hidden_dim=8, num_layers=2, num_heads=2, intermediate_dim=12, max_positions=64,
    initializer_stddev=0.5,
)  # fmt: skip
# bert_config.json of BERT-Base, Chinese, as Google publishes it.
CHINESE = {
    "attention_probs_dropout_prob": 0.1, "directionality": "bidi", "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1, "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072,
    "max_position_embeddings": 512, "num_attention_heads": 12, "num_hidden_layers": 12,
    "pooler_fc_size": 768, "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128, "pooler_type": "first_token_transform", "type_vocab_size": 2,
    "vocab_size": 21128,
}  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> Any:
    keras.utils.set_random_seed(1)
    return build_encoder(TINY)


def features(token_ids: Any, num_tokens: Any = None) -> dict[str, Any]:
    """Returns inputs in which each row has its number of tokens; the rest is filled up."""
    ids = np.asarray(token_ids)
    lengths = np.full(len(ids), ids.shape[1]) if num_tokens is None else np.asarray(num_tokens)
    return {
        TOKEN_IDS: ids,
        SEGMENT_IDS: np.arange(ids.shape[1])[None] % 2 * np.ones_like(ids),
        PADDING_MASK: (np.arange(ids.shape[1]) < lengths[:, None]).astype(int),
    }


def random_ids(batch: int, length: int) -> Any:
    return np.random.default_rng(batch * 1000 + length).integers(TINY.vocabulary_size, size=(batch, length))


def test_the_defaults_are_those_of_bert_base_uncased() -> None:
    assert BertConfig().to_dict() == {
        "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 512, "type_vocab_size": 2,
        "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    }  # fmt: skip


def test_a_config_comes_back_from_its_json() -> None:
    assert BertConfig.from_json(TINY.to_json()) == TINY


def test_a_published_config_of_google_is_read() -> None:
    assert BertConfig.from_json(json.dumps(CHINESE)) == BertConfig(vocabulary_size=21128)


def test_keys_of_hugging_face_that_change_no_number_are_left_out() -> None:
    more = {
        "model_type": "bert",
        "use_cache": True,
        "id2label": {"0": "no"},
        "position_embedding_type": "absolute",
    }
    assert BertConfig.from_dict({**CHINESE, **more, "layer_norm_eps": 1e-5}).layer_norm_epsilon == 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"position_embedding_type": "relative_key"},
            r"^here: position_embedding_type: expected 'absolute', got 'rela",
        ),
        ({"model_type": "roberta"}, "model_type: expected 'bert', got 'roberta'"),
        ({"is_decoder": True}, "is_decoder: expected False, got True"),
        ({"num_attention_heads": 5}, "hidden_dim 768 is not a multiple of num_heads 5"),
        ({"hidden_act": "gelu_nwe"}, "unknown activation 'gelu_nwe'; known: gelu, gelu_accurate"),
        ({"hidden_act": "quick_gelu"}, "^here: unknown activation 'quick_gelu'; known: gelu, gelu_accurate"),
        ({"hidden_size": "wide"}, "hidden_size: .*, got 'wide'"),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob: .*, got 1.0"),
    ],
)
def test_a_config_of_another_computation_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        BertConfig.from_dict({**CHINESE, **change}, "here")


def test_missing_keys_are_named() -> None:
    with pytest.raises(
        ModelError, match=r"expected the keys vocab_size, num_hidden_layers, .* got hidden_size"
    ):
        BertConfig.from_dict({"hidden_size": 768})


@pytest.mark.parametrize("text", ["", "[1]", '{"vocab_size": ', "[" * 100_000])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match=r"^here: expected"):
        BertConfig.from_json(text, "here")


def test_heads_that_do_not_divide_the_hidden_size_are_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="hidden_dim 8 is not a multiple of num_heads 3"):
        BertConfig(hidden_dim=8, num_heads=3)


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (3, 7), (2, 64)])
def test_there_is_an_output_for_every_token_and_one_for_the_text(
    encoder: Any, batch: int, length: int
) -> None:
    outputs = encoder(features(random_ids(batch, length)))
    assert outputs[SEQUENCE_OUTPUT].shape == (batch, length, 8)
    assert outputs[POOLED_OUTPUT].shape == (batch, 8)


def test_the_number_of_weights_is_that_of_the_paper() -> None:
    # 50·8 + 64·8 + 2·8 + 16; a layer: 4·(8·8+8) + (8·12+12) + (12·8+8) + 2·16; pooler 8·8+8
    assert sum(
        np.prod(weight.shape) for weight in build_encoder(TINY).weights if "seed" not in weight.path
    ) == (944 + 2 * 532 + 72)


@pytest.mark.parametrize("length", [8, 32, 64])
def test_filling_does_not_change_the_output_at_tokens(encoder: Any, length: int) -> None:
    ids = random_ids(4, length)
    filled = encoder(features(ids, [1, 3, 5, 7]))
    for row, tokens in enumerate([1, 3, 5, 7]):
        alone = encoder(features(ids[row : row + 1, :tokens]))
        for name, index in ((SEQUENCE_OUTPUT, np.s_[:tokens]), (POOLED_OUTPUT, np.s_[:])):
            expected = np.asarray(alone[name][0])
            np.testing.assert_allclose(np.asarray(filled[name][row])[index], expected, atol=1e-5)


def test_a_row_of_filling_alone_has_finite_outputs(encoder: Any) -> None:
    assert np.isfinite(encoder(features(random_ids(1, 4), [0]))[POOLED_OUTPUT]).all()


def test_a_sequence_longer_than_the_positions_is_an_error(encoder: Any) -> None:
    with pytest.raises(ModelError, match="token_ids: expected at most 64 tokens, got 65"):
        encoder(features(random_ids(1, 65)))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_inputs_of_another_rank_are_an_error(encoder: Any, shape: tuple[int, ...]) -> None:
    ids = np.ones(shape, int)
    with pytest.raises(ValueError, match=r"[Ee]xpected shape[ =]\(None, None\)"):
        encoder({TOKEN_IDS: ids, SEGMENT_IDS: ids, PADDING_MASK: ids})


def test_weights_of_the_same_shape_start_from_different_numbers(encoder: Any) -> None:
    kernels = [np.asarray(w) for w in encoder.weights if w.shape == (8, 8)]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels) == 9


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_finite_and_near_single_precision(encoder: Any, dtype: str) -> None:
    with dtype_policy(dtype):
        half = build_encoder(TINY)
    half.set_weights(encoder.get_weights())
    inputs = features(random_ids(3, 9), [9, 4, 0])
    outputs, expected = half(inputs, training=False), encoder(inputs, training=False)
    assert np.isfinite(np.asarray(half(inputs, training=True)[POOLED_OUTPUT], np.float32)).all()
    for row, tokens in enumerate([9, 4]):
        got = np.asarray(outputs[SEQUENCE_OUTPUT], np.float32)[row, :tokens]
        np.testing.assert_allclose(got, np.asarray(expected[SEQUENCE_OUTPUT])[row, :tokens], atol=0.2)


def test_gelu_is_exact_and_gelu_new_is_the_approximation() -> None:
    # Φ(1) = 0.8413447; 0.5·(1 + tanh(√(2/π)·1.044715)) = 0.8411920
    exact = float(TINY.activation_function()(np.float32(1.0)))
    near = float(TINY.model_copy(update={"activation": "gelu_new"}).activation_function()(np.float32(1.0)))
    assert (exact, near) == pytest.approx((0.8413447, 0.8411920), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "negative", "positive"),
    [
        # At -3 and 7. Φ(-3) = 0.0013499; 0.5·(1 + tanh(√(2/π)·(-3 - 0.044715·27))) = 0.0012126.
        ("gelu_python", -0.0040497, 7.0),
        ("gelu_fast", -0.0036374, 7.0),
        ("gelu_accurate", -0.0036374, 7.0),
        ("gelu_pytorch_tanh", -0.0036374, 7.0),
        ("gelu_python_tanh", -0.0036374, 7.0),
        ("leaky_relu", -0.03, 7.0),
        ("relu6", 0.0, 6.0),
        # 1 / (1 + e³) = 0.0474259; 1 / (1 + e⁻⁷) = 0.9990889.
        ("sigmoid", 0.0474259, 0.9990889),
        ("swish", -0.1422776, 6.9936226),
    ],
)
def test_each_spelling_of_an_activation_is_that_function(name: str, negative: float, positive: float) -> None:
    function = BertConfig.from_dict({**CHINESE, "hidden_act": name}).activation_function()
    got = [float(function(np.float32(value))) for value in (-3.0, 7.0)]
    assert got == pytest.approx([negative, positive], abs=2e-6)


def test_a_saved_encoder_answers_the_same(encoder: Any, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    inputs = features(random_ids(2, 5))
    for name, expected in encoder(inputs).items():
        np.testing.assert_array_equal(np.asarray(loaded(inputs)[name]), np.asarray(expected))


def test_dropout_changes_the_output_in_training_alone(encoder: Any) -> None:
    inputs = features(random_ids(2, 5))
    first, second = (np.asarray(encoder(inputs, training=False)[POOLED_OUTPUT]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, np.asarray(encoder(inputs, training=True)[POOLED_OUTPUT]))


def test_positions_may_begin_as_waves() -> None:
    # Rows of 4: two sines, of wave lengths 2π and 200π, then their cosines, times stddev·√2 = 1.
    config = TINY.model_copy(
        update={"hidden_dim": 4, "initializer_stddev": 0.5**0.5, "initial_positions": "waves"}
    )
    table = build_encoder(config).get_layer("embeddings").position_embeddings.numpy()
    np.testing.assert_allclose(table[0], [0, 0, 1, 1], atol=1e-7)
    np.testing.assert_allclose(table[1], [0.841471, 0.0099998, 0.540302, 0.99995], atol=1e-6)
    # How alike two positions are depends on how far apart they are, and on nothing else.
    alike = table @ table.T
    np.testing.assert_allclose(alike[3:, 3:], alike[:-3, :-3], atol=1e-6)


def test_waves_fill_an_odd_number_of_columns_and_say_what_they_are() -> None:
    waves = Waves(0.02)
    assert waves((3, 5)).shape == (3, 5)
    assert Waves(**waves.get_config()).stddev == 0.02
