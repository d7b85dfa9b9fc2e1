"""What files beside a vocabulary say: taken over, or refused by the file's name and the key's."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.formats.tokenizer_files import Rules, find_vocabulary, read_rules
from components.formats.vocabulary import SPECIAL_TOKENS, VocabularyError, read_vocabulary

TOKENS = (*SPECIAL_TOKENS, "the", "##e")
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
# As transformers 4 writes it for bert-base-uncased.
CONFIG = {
    **SPECIAL,
    "mask_token": {"__type": "AddedToken", "content": "[MASK]", "lstrip": False},
    "added_tokens_decoder": {str(n): {"content": token} for n, token in enumerate(SPECIAL_TOKENS)},
    "clean_up_tokenization_spaces": True,
    "do_basic_tokenize": True,
    "do_lower_case": True,
    "model_max_length": 512,
    "never_split": None,
    "strip_accents": None,
    "tokenize_chinese_chars": True,
    "tokenizer_class": "BertTokenizer",
}  # fmt: skip
TOKENIZER = {
    "version": "1.0",
    "truncation": {"max_length": 128, "strategy": "LongestFirst", "stride": 0},
    "padding": None,
    "added_tokens": [{"id": n, "content": token, "special": True} for n, token in enumerate(SPECIAL_TOKENS)],
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
        ],
    },
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {token: number for number, token in enumerate(TOKENS)},
    },
}


def write(folder: Path, **contents: Any) -> str:
    """Writes vocab.txt and JSON files by their names without the ending; returns the vocabulary's path."""
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return str(folder / "vocab.txt")


def changed(values: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Returns a copy in which "a.b" is another value."""
    first, _, rest = key.partition(".")
    return {**values, first: changed(values[first], rest, value) if rest else value}


def test_nothing_beside_a_vocabulary_says_nothing(tmp_path: Path) -> None:
    assert read_rules(write(tmp_path), TOKENS) == Rules()


def test_what_transformers_writes_is_understood(tmp_path: Path) -> None:
    special = {**SPECIAL, "mask_token": "[MASK]"}
    path = write(
        tmp_path,
        tokenizer_config=CONFIG,
        tokenizer=TOKENIZER,
        special_tokens_map=special,
        added_tokens={"[MASK]": 4},
    )
    rules = read_rules(path, TOKENS)
    assert [(Path(said.where).name, said.value) for said in rules.lower_case] == [
        ("tokenizer_config.json: do_lower_case", True),
        ("tokenizer.json: normalizer: lowercase", True),
    ]
    assert rules.strip_accents == ()
    assert rules.max_length == (f"{tmp_path}/tokenizer_config.json: model_max_length", 512)


def test_tokens_that_are_called_otherwise_but_are_berts_say_nothing_new(tmp_path: Path) -> None:
    more = {"bos_token": "[CLS]", "eos_token": None, "add_bos_token": False, "extra_special_tokens": {}}
    assert read_rules(write(tmp_path, tokenizer_config=more, special_tokens_map=more), TOKENS) == Rules()


def test_accents_may_be_kept(tmp_path: Path) -> None:
    path = write(tmp_path, tokenizer_config={**CONFIG, "strip_accents": False})
    assert [said.value for said in read_rules(path, TOKENS).strip_accents] == [False]


@pytest.mark.parametrize(("length", "bound"), [(10**30, None), (1e30, None), (64, 64), (None, None)])
def test_the_length_of_a_sequence_is_bounded(tmp_path: Path, length: Any, bound: int | None) -> None:
    path = write(tmp_path, tokenizer_config={**CONFIG, "model_max_length": length})
    length = read_rules(path, TOKENS).max_length
    assert (length and length.tokens) == bound


def test_sentence_transformers_may_lower_case_but_bound_no_length(tmp_path: Path) -> None:
    sentences = {"max_seq_length": 256, "do_lower_case": False}
    path = write(tmp_path, tokenizer_config=CONFIG, sentence_bert_config=sentences)
    rules = read_rules(path, TOKENS)
    assert rules.max_length == (f"{tmp_path}/tokenizer_config.json: model_max_length", 512)
    assert [said.value for said in rules.lower_case] == [True]
    write(tmp_path, tokenizer_config={}, sentence_bert_config={"do_lower_case": True})
    assert [said.value for said in read_rules(path, TOKENS).lower_case] == [True]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("tokenizer_class", "BertJapaneseTokenizer", "tokenizer_class: expected 'BertTokenizer', got 'BertJ"),
        ("tokenize_chinese_chars", False, "tokenize_chinese_chars: expected True, got False"),
        ("do_basic_tokenize", False, "do_basic_tokenize: expected True, got False"),
        ("never_split", ["a"], r"never_split: expected None, got \['a'\]"),
        ("truncation_side", "left", "truncation_side: expected 'right', got 'left'"),
        ("do_lower_case", "yes", "do_lower_case: expected true or false, got 'yes'"),
        ("model_max_length", "512", "model_max_length: expected a number of tokens, got '512'"),
        ("model_max_length", 0, "model_max_length: expected a number of tokens, got 0"),
        ("cls_token", "<s>", r"cls_token: expected '\[CLS\]', got '<s>'"),
        ("unk_token", {"content": "<unk>"}, r"unk_token: expected '\[UNK\]', got '<unk>'"),
        ("additional_special_tokens", ["[E1]"], r"additional_special_tokens: expected no token .*'\[E1\]'"),
        ("extra_special_tokens", ["[E1]"], r"extra_special_tokens: expected no token .*'\[E1\]'"),
        ("extra_special_tokens", {"e_token": "[E1]"}, r"extra_special_tokens: expected no token .*'\[E1\]'"),
        ("bos_token", "<s>", "bos_token: expected no token beside .*'<s>'"),
        ("eos_token", {"content": "</s>"}, "eos_token: expected no token beside .*'</s>'"),
        ("added_tokens_decoder", {"7": {"content": "[E1]"}}, r"added_tokens_decoder: expected .*'\[E1\]'"),
        (
            "added_tokens_decoder",
            {"7": {"content": "[SEP]"}},
            r"added_tokens_decoder: expected the id 3 of '\[SEP\]'",
        ),
        ("added_tokens_decoder", [1], "expected what transformers writes, got: AttributeError"),
    ],
)
def test_what_is_done_in_another_way_is_refused_by_name(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    path = write(tmp_path, tokenizer_config={**CONFIG, key: value})
    with pytest.raises(VocabularyError, match=rf"tokenizer_config\.json: {message}"):
        read_rules(path, TOKENS)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.type", "Unigram", "model.type: expected 'WordPiece', got 'Unigram'"),
        ("model.unk_token", "<unk>", r"model.unk_token: expected '\[UNK\]', got '<unk>'"),
        ("model.continuing_subword_prefix", "@@", "continuing_subword_prefix: expected '##', got '@@'"),
        ("normalizer", None, "normalizer.type: expected 'BertNormalizer', got None"),
        ("normalizer.type", "NFC", "normalizer.type: expected 'BertNormalizer', got 'NFC'"),
        ("normalizer.handle_chinese_chars", False, "handle_chinese_chars: expected True, got False"),
        ("normalizer.clean_text", False, "normalizer.clean_text: expected True, got False"),
        ("normalizer.lowercase", 3, "normalizer: lowercase: expected true or false, got 3"),
        ("pre_tokenizer.type", "Whitespace", "pre_tokenizer.type: expected 'BertPreTokenizer', got 'White"),
        ("post_processor.type", "RobertaProcessing", "post_processor.type: expected 'TemplateProcessing'"),
        ("post_processor.single", [{"Sequence": {"id": "A"}}], r"expected \[CLS\] A \[SEP\], got A"),
        (
            "added_tokens",
            [{"id": 9, "content": "[E1]"}],
            r"added_tokens: expected no token beside .*'\[E1\]'",
        ),
        ("model.max_input_chars_per_word", 5, "max_input_chars_per_word: expected 100, got 5"),
        ("truncation", {"direction": "Left"}, "truncation.direction: expected 'Right', got 'Left'"),
        ("padding", {"direction": "Left"}, "padding.direction: expected 'Right', got 'Left'"),
        ("padding", {"pad_token": "<p>"}, r"padding.pad_token: expected '\[PAD\]', got '<p>'"),
        ("model.vocab.the", 6, "model.vocab: expected the id 5 of 'the', as in vocab.txt, got 6"),
        ("model.vocab", {}, r"model.vocab: expected the id 0 of '\[PAD\]', as in vocab.txt, got None"),
        ("model.vocab", None, "expected what transformers writes, got: AttributeError"),
    ],
)
def test_a_tokenizer_of_another_kind_is_refused_by_name(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    path = write(tmp_path, tokenizer=changed(TOKENIZER, key, value))
    with pytest.raises(VocabularyError, match=rf"tokenizer\.json: .*{message}|tokenizer\.json: {message}"):
        read_rules(path, TOKENS)


def test_other_names_and_added_tokens_in_files_of_their_own_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, special_tokens_map={"sep_token": "</s>"})
    with pytest.raises(VocabularyError, match=r"special_tokens_map\.json: sep_token: expected '\[SEP\]'"):
        read_rules(path, TOKENS)
    write(tmp_path, special_tokens_map={}, added_tokens={"covid": 7})
    with pytest.raises(VocabularyError, match=r"added_tokens\.json: expected no token beside .* got 'covid'"):
        read_rules(path, TOKENS)


@pytest.mark.parametrize("text", ["{", "[]", "<html>", "version https://git-lfs.github.com/spec/v1\n"])
@pytest.mark.parametrize("name", ["tokenizer_config", "special_tokens_map", "added_tokens", "tokenizer"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path)
    (tmp_path / f"{name}.json").write_text(text)
    with pytest.raises(VocabularyError, match=rf"{name}\.json: (expected (JSON|a JSON object), got|is )"):
        read_rules(path, TOKENS)


def test_lines_that_nothing_matches_need_not_be_in_a_tokenizer_json(tmp_path: Path) -> None:
    path = write(tmp_path, tokenizer=changed(TOKENIZER, "model.vocab.more", 8))
    (tmp_path / "vocab.txt").write_text("\n".join([*TOKENS, "", "more"]))
    read_rules(path, read_vocabulary(path))


def test_a_tokenizer_json_alone_is_the_vocabulary(tmp_path: Path) -> None:
    write(tmp_path, tokenizer=TOKENIZER)
    assert find_vocabulary(str(tmp_path)) == str(tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").unlink()
    path = find_vocabulary(str(tmp_path))
    assert path == str(tmp_path / "tokenizer.json")
    assert read_vocabulary(path) == TOKENS
    assert [said.value for said in read_rules(path, TOKENS).lower_case] == [True]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("spiece.model", "SentencePiece"),
        ("sentencepiece.bpe.model", "SentencePiece"),
        ("tokenizer.model", "SentencePiece"),
        ("merges.txt", "byte-pair encoding"),
        ("vocab.json", "byte-pair encoding"),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_a_vocabulary_of_another_kind_is_refused_by_name(
    tmp_path: Path, name: str, kind: str, beside: bool
) -> None:
    (tmp_path / name).touch()
    if beside:
        write(tmp_path)
    with pytest.raises(VocabularyError, match=rf"{name}: expected .* got a vocabulary of {kind}"):
        find_vocabulary(str(tmp_path))
