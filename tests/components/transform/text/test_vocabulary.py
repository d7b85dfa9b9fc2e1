import json
import random
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from components.formats.vocabulary import SPECIAL_TOKENS, VocabularyError, read_vocabulary
from components.transform.text.tokenization import tokenize
from components.transform.text.vocabulary import learn_vocabulary, to_lines, write_vocabulary

SPECIAL = "\n".join(SPECIAL_TOKENS).encode() + b"\n"
COUNTS = [("low", 5), ("lower", 2), ("newest", 6), ("widest", 3), ("李", 2)]


def write(folder: Path, content: bytes) -> str:
    path = folder / "vocab.txt"
    path.write_bytes(content)
    return str(path)


def test_a_token_has_the_number_of_its_line(tmp_path: Path) -> None:
    tokens = read_vocabulary(write(tmp_path, SPECIAL + "the\n##é\n李".encode()))
    assert tokens == (*SPECIAL_TOKENS, "the", "##é", "李")


def test_space_around_tokens_is_left_out_and_only_line_feeds_end_lines(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + SPECIAL.replace(b"\n", b"\r\n") + "the \n\u2028\n##\u2028\nit".encode()
    tokens = read_vocabulary(write(tmp_path, content))
    assert tokens == (*SPECIAL_TOKENS, "the", "\u2028", "##", "it")


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n", b"\r\n\r\n", b"\n \n\t\n"])
def test_empty_lines_at_the_end_have_no_ids(tmp_path: Path, ending: bytes) -> None:
    assert read_vocabulary(write(tmp_path, SPECIAL + b"a" + ending)) == (*SPECIAL_TOKENS, "a")


def test_a_line_that_nothing_matches_keeps_the_ids_of_those_after_it(tmp_path: Path) -> None:
    # Of a token on several lines the last one counts, as in a dict.
    tokens = read_vocabulary(write(tmp_path, SPECIAL + b"a\n\nb\na \n\r\nc\n"))
    assert tokens == (*SPECIAL_TOKENS, "[line 6]", "[line 7]", "b", "a", "[line 10]", "c")
    # As it is stored with a model.
    assert read_vocabulary(write(tmp_path, to_lines(tokens))) == tokens


def test_ids_are_those_of_bert_whatever_lines_there_are(tmp_path: Path) -> None:
    lines = ["a", "##b", "", "a", "lines", "##b", "##b ", "\ufeff", "", "c"]
    tokens = read_vocabulary(write(tmp_path, SPECIAL + "\n".join(lines).encode()))
    load_vocab = {line.strip(): number for number, line in enumerate([*SPECIAL_TOKENS, *lines])}
    texts = ["ab c", "a line 7 lines", "[line 7]"]
    found = tokenize(np.array(texts, object), tokens, write_vocabulary(tokens), True).to_list()
    pieces = [["a", "##b", "c"], ["a", "[UNK]", "[UNK]", "lines"], ["[UNK]"] * 4]
    assert found == [[load_vocab[piece] for piece in row] for row in pieces]
    assert found[0] == [8, 11, 14]


def tokenizer(folder: Path, **changes: object) -> str:
    vocabulary = {token: number for number, token in enumerate([*SPECIAL_TOKENS, "the", "##é"])}
    model = {"type": "WordPiece", "unk_token": "[UNK]", "vocab": vocabulary, **changes}
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": model}), encoding="utf-8")
    return str(folder / "tokenizer.json")


def test_the_word_pieces_of_a_tokenizer_json_are_read(tmp_path: Path) -> None:
    assert read_vocabulary(tokenizer(tmp_path)) == (*SPECIAL_TOKENS, "the", "##é")
    unordered = {"b": 6, **{token: number for number, token in enumerate(SPECIAL_TOKENS)}, " a": 7, "a": 5}
    assert read_vocabulary(tokenizer(tmp_path, vocab=unordered)) == (*SPECIAL_TOKENS, "[line 6]", "b", "a")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "BPE"}, "model.type: expected 'WordPiece', got 'BPE'"),
        ({"vocab": {}}, "model.vocab: expected an object of tokens and ids"),
        ({"vocab": [["a", 0.0]]}, "model.vocab: expected an object of tokens and ids"),
        ({"vocab": {"[PAD]": 0, "a": 2}}, "model.vocab: expected the ids 0 to 1, each once"),
        ({"vocab": {"[PAD]": 0, "a": 0}}, "model.vocab: expected the ids 0 to 1, each once"),
        ({"vocab": {"[PAD]": 0, "a": "1"}}, "model.vocab: expected the ids 0 to 1, each once"),
        ({"vocab": {"[PAD]": 0, "a": 1}}, r"expected \[UNK\], .* among its 2 tokens, got none"),
    ],
)
def test_a_tokenizer_json_of_another_kind_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(VocabularyError, match=rf"tokenizer\.json.*{message}"):
        read_vocabulary(tokenizer(tmp_path, **changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "expected JSON, got: "), ("[1]", "expected a JSON object"), ("[" * 99999, "expected JSON, got: ")],
)
def test_a_tokenizer_json_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(VocabularyError, match=rf"tokenizer\.json: {message}"):
        read_vocabulary(str(tmp_path / "tokenizer.json"))


def test_a_vocabulary_is_read_from_a_uri(tmp_path: Path) -> None:
    path = write(tmp_path, SPECIAL)
    assert read_vocabulary(f"file://{path}") == SPECIAL_TOKENS
    with pytest.raises(VocabularyError, match=r"none\.txt: expected a vocabulary, got: .*No such file"):
        read_vocabulary(f"file://{tmp_path}/none.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected one token a line, got an empty file"),
        (b"\n \n", "expected one token a line, got an empty file"),
        (SPECIAL + b"a\rb\n", r"line 6: expected a token, got 'a\\rb'"),
        (SPECIAL + b"a\n\xe6\x9d\n", "line 7: expected UTF-8, got byte 0xe6"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", r"expected \[MASK\] among its 5 tokens, got none"),
        (b"[PAD]\na\n", r"expected \[UNK\], \[CLS\], \[SEP\], \[MASK\] among its 2 tokens"),
        (b"a\n" + SPECIAL, r"line 2: expected \[PAD\] on line 1, got 'a'"),
        (SPECIAL + b"a\n[PAD]\n", r"line 7: expected \[PAD\] on line 1, got '\[PAD\]'"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer: git lfs pull"),
        (b"<!DOCTYPE html>\n<html></html>", "is no vocabulary: an HTML page"),
    ],
)
def test_files_that_are_no_vocabulary_are_rejected(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(VocabularyError, match=rf"vocab\.txt.*{message}"):
        read_vocabulary(write(tmp_path, content))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match=r"none\.txt: expected a vocabulary, got: No such file"):
        read_vocabulary(str(tmp_path / "none.txt"))
    with pytest.raises(VocabularyError, match="got: Is a directory"):
        read_vocabulary(str(tmp_path))


@given(st.binary(max_size=40), st.integers(0, len(SPECIAL)))
def test_any_bytes_are_read_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, part: bytes, at: int
) -> None:
    path = write(tmp_path_factory.getbasetemp(), SPECIAL[:at] + part + SPECIAL[at:])
    try:
        tokens = read_vocabulary(path)
    except VocabularyError:
        return
    assert tokens[0] == "[PAD]"
    assert set(SPECIAL_TOKENS) <= set(tokens)


def test_learned_tokens_are_special_ones_then_characters_then_frequent_pieces() -> None:
    tokens = learn_vocabulary(COUNTS, 100)
    assert tokens[:16] == [*SPECIAL_TOKENS, *"deilnorstw", "李"]
    assert tokens[16:18] == ["newest", "low"]
    assert {"##e", "##w", "##李"} <= set(tokens)
    assert len(set(tokens)) == len(tokens)


def test_a_learned_vocabulary_does_not_depend_on_the_order_of_the_words() -> None:
    shuffled = random.Random(0).sample(COUNTS, len(COUNTS))
    assert learn_vocabulary(shuffled, 100) == learn_vocabulary(COUNTS, 100)


def test_a_learned_vocabulary_is_never_larger_than_asked_for_and_knows_the_frequent_characters() -> None:
    generator = random.Random(0)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [
        chr(code) for code in range(0x430, 0x460)
    ]
    counts = {"".join(generator.choices(letters, k=6)): generator.randrange(1, 50) for _ in range(200)}
    for size in (20, 100, 160, 165, 400):
        tokens = learn_vocabulary(counts.items(), size)
        assert len(tokens) <= size
    assert {f"##{letter}" for letter in letters} <= set(tokens)


def test_nothing_to_learn_from_leaves_the_special_tokens() -> None:
    assert learn_vocabulary([], 100) == list(SPECIAL_TOKENS)


@pytest.mark.parametrize(("batch_size", "seed"), [(1, 0), (7, 1)])
def test_words_are_counted_alike_however_they_are_batched(batch_size: int, seed: int) -> None:
    from components.transform.text.vocabulary_analyzer import LearnedTokens

    # The last one counts as unknown: Unicode reserves U+FFFF as no character.
    words = [word.encode() for word, count in COUNTS for _ in range(count)] + ["\uffff".encode()]
    random.Random(seed).shuffle(words)
    starts = range(0, len(words), batch_size)
    batches = [(np.array(words[start : start + batch_size], object),) for start in starts]
    with beam.Pipeline(argv=["--runner=DirectRunner"]) as pipeline:
        tokens = pipeline | beam.Create(batches) | LearnedTokens(100, lower_case=False)
        assert_that(tokens, equal_to([learn_vocabulary(COUNTS, 100)]))
