"""What lies in a checkpoint's folder decides how texts become ids, or is refused by name."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from components.config import ConfigError
from components.features import TEXT_A, TOKEN_IDS
from components.formats.vocabulary import SPECIAL_TOKENS, VocabularyError
from components.models.bert.classifier import BertClassifier
from components.models.bert.config import BertConfig
from components.models.bert.encoder import build_encoder
from components.models.bert.spans import BertSpans
from components.models.bert.weights.writers import write_huggingface
from components.transform.text.questions import Questions
from components.transform.text.wordpiece import WordPiece
from pipelines.tasks import TASKS

TINY = BertConfig(
    vocabulary_size=9, hidden_dim=4, num_layers=1, num_heads=2, intermediate_dim=3, max_positions=64
)


@pytest.fixture(scope="module")
def encoder() -> Any:
    keras.utils.set_random_seed(2)
    return build_encoder(TINY)


def write(encoder: Any, folder: Path, tokens: list[str], **config: Any) -> BertClassifier:
    """Writes a checkpoint whose tokenizer_config.json says this; returns the model that starts from it."""
    words = folder / "words.txt"
    words.write_text("\n".join([*SPECIAL_TOKENS, *tokens]) + "\n", encoding="utf-8")
    write_huggingface(encoder, TINY, str(folder / "hf"), str(words))
    (folder / "hf" / "tokenizer_config.json").write_text(json.dumps(config))
    return BertClassifier(init_checkpoint=str(folder / "hf"), save_as=("huggingface",))


def ids(preprocessing: WordPiece, text: str) -> list[int]:
    rows = preprocessing.preprocessing_fn({TEXT_A: np.array([text.encode()], object)})[TOKEN_IDS]
    return list(rows.to_list()[0][1:-1])


def test_accents_are_kept_where_the_checkpoint_keeps_them(encoder: Any, tmp_path: Path) -> None:
    tokens = ["für", "fur", "##e"]
    model = write(encoder, tmp_path, tokens, do_lower_case=True, strip_accents=False)
    fitted = WordPiece(max_sequence_length=64).fitted_to(model)
    assert (fitted.lower_case, fitted.strip_accents) == (True, False)
    assert ids(fitted, "FÜR Fure") == [5, 6, 7]
    stripped = WordPiece(max_sequence_length=64, strip_accents=True).fitted_to(model)
    assert ids(stripped, "FÜR Fure") == [6, 6, 7]
    # In a container, the settings are fitted once more.
    assert fitted.fitted_to(model) == fitted


def test_an_encoder_is_saved_with_what_its_checkpoint_said(encoder: Any, tmp_path: Path) -> None:
    model = write(encoder, tmp_path, ["für"], do_lower_case=True, strip_accents=False)
    assets = tmp_path / "export" / "assets"
    assets.mkdir(parents=True)
    (assets / "vocabulary.txt").write_text("\n".join([*SPECIAL_TOKENS, "für"]), encoding="utf-8")
    model.save_weights(model.build(), str(assets.parent))
    saved = assets.parent / "assets.extra" / "huggingface" / "tokenizer_config.json"
    assert json.loads(saved.read_text()) == {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": 64,
        "strip_accents": False,
    }


@pytest.mark.parametrize(
    ("tokens", "said", "message", "lower", "as_is"),
    [
        (["the"], False, "expected True with a vocabulary that holds 'the' and nothing in upper case", 5, 1),
        (["the", "The"], True, "expected False with a vocabulary that holds 'The', got True", 5, 6),
    ],
)
def test_a_case_that_contradicts_the_vocabulary_is_refused_until_it_is_decided(
    encoder: Any, tmp_path: Path, tokens: list[str], said: bool, message: str, lower: int, as_is: int
) -> None:
    model = write(encoder, tmp_path, tokens, do_lower_case=said)
    with pytest.raises(
        VocabularyError, match=rf"config\.json: do_lower_case: {message}.*; preprocessing\.lower_case decides"
    ):
        WordPiece(max_sequence_length=64).fitted_to(model)
    for decided, number in ((True, lower), (False, as_is)):
        fitted = WordPiece(max_sequence_length=64, lower_case=decided).fitted_to(model)
        assert ids(fitted, "The") == [number]


def test_files_that_contradict_each_other_are_refused_until_it_is_decided(
    encoder: Any, tmp_path: Path
) -> None:
    model = write(encoder, tmp_path, ["the"], do_lower_case=True)
    tokenizer = {
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "lowercase": False
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "vocab": {token: number for number, token in enumerate([*SPECIAL_TOKENS, "the"])},
        },
    }  # fmt: skip
    (tmp_path / "hf" / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(
        VocabularyError,
        match=r"config\.json: do_lower_case: expected False as in \S*tokenizer\.json: normalizer",
    ):
        WordPiece(max_sequence_length=64).fitted_to(model)
    assert WordPiece(max_sequence_length=64, lower_case=True).fitted_to(model).lower_case


def test_a_tokenizer_json_alone_brings_tokens_and_letter_case(encoder: Any, tmp_path: Path) -> None:
    model = write(encoder, tmp_path, ["the"])
    folder = tmp_path / "hf"
    (folder / "vocab.txt").unlink()
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "lowercase": True,
    }
    vocabulary = {token: number for number, token in enumerate([*SPECIAL_TOKENS, "the", "##m"])}
    word_piece = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"}
    tokenizer = {
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {**word_piece, "vocab": vocabulary},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    fitted = WordPiece(max_sequence_length=64).fitted_to(model)
    assert fitted.input_files() == (str(folder / "tokenizer.json"),)
    assert ids(fitted, "Them") == [5, 6]


def test_a_sequence_is_no_longer_than_the_tokenizer_allows(encoder: Any, tmp_path: Path) -> None:
    model = write(encoder, tmp_path, ["the"], model_max_length=32)
    assert WordPiece(max_sequence_length=32).fitted_to(model).max_sequence_length == 32
    with pytest.raises(
        ConfigError,
        match=r"preprocessing\.max_sequence_length: expected at most 32, .*: model_max_length, got 33",
    ):
        WordPiece(max_sequence_length=33).fitted_to(model)


@pytest.mark.parametrize(
    ("said", "most"), [({}, 64), ({"model_max_length": 32}, 32), ({"model_max_length": 1e30}, 64)]
)
def test_a_window_is_no_longer_than_the_model_can_take(
    encoder: Any, tmp_path: Path, said: dict[str, Any], most: int
) -> None:
    write(encoder, tmp_path, ["the"], **said)
    changes = {"model": {"init_checkpoint": str(tmp_path / "hf")}}
    assert BertSpans(init_checkpoint=str(tmp_path / "hf")).max_sequence_length == most
    with pytest.raises(
        ConfigError, match=rf"windowing\.max_sequence_length: expected at most {most}, .* got 384"
    ):
        TASKS["squad"].override(changes)
    TASKS["squad"].override({**changes, "windowing": {"max_sequence_length": most, "max_question_length": 8}})


def test_a_question_and_its_context_need_two_segments(encoder: Any, tmp_path: Path) -> None:
    one = BertConfig(**{**TINY.model_dump(), "num_segments": 1})
    with pytest.raises(
        ConfigError, match=r"preprocessing\.segments, of question and context: expected at most 1, .* got 2"
    ):
        Questions(vocabulary_size=100).fitted_to(
            BertSpans(encoder=one.model_copy(update={"vocabulary_size": 100}))
        )


def test_a_vocabulary_larger_than_the_embeddings_counts_no_empty_lines(encoder: Any, tmp_path: Path) -> None:
    model = write(encoder, tmp_path, ["a", "b", "c", "d"])
    path = tmp_path / "hf" / "vocab.txt"
    path.write_text(path.read_text() + "\r\n\r\n")
    WordPiece(max_sequence_length=64).fitted_to(model)
    path.write_text(path.read_text() + "e\n")
    with pytest.raises(ConfigError, match="expected at most 9, which the model has embeddings for, got 12"):
        WordPiece(max_sequence_length=64).fitted_to(model)


def test_another_kind_of_vocabulary_is_named(encoder: Any, tmp_path: Path) -> None:
    model = write(encoder, tmp_path, ["the"])
    (tmp_path / "hf" / "vocab.txt").rename(tmp_path / "hf" / "spiece.model")
    with pytest.raises(VocabularyError, match=r"spiece\.model: expected vocab\.txt or tokenizer\.json"):
        WordPiece().fitted_to(model)
