import random
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from components.formats.vocabulary import SPECIAL_TOKENS, VocabularyError, read_vocabulary
from components.transform.text.vocabulary import learn_vocabulary

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
        (SPECIAL + b"a\n\nb\n", "line 7: expected a token, got ''"),
        (SPECIAL + b"a\n\n", "line 7: expected a token, got ''"),
        (SPECIAL + b"a\rb\n", r"line 6: expected a token, got 'a\\rb'"),
        (SPECIAL + b"a\nb\na \n", "line 8: expected each token once, got 'a' as on line 6"),
        (SPECIAL + b"a\n\xe6\x9d\n", "line 7: expected UTF-8, got byte 0xe6"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", r"expected \[MASK\] among its 5 tokens, got none"),
        (b"[PAD]\na\n", r"expected \[UNK\], \[CLS\], \[SEP\], \[MASK\] among its 2 tokens"),
        (b"a\n" + SPECIAL, r"line 2: expected \[PAD\] on line 1, got 'a'"),
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
