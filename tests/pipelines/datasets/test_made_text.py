"""The made files of all text tasks."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from components.features import LABEL, TEXT_A, TEXT_B
from components.formats.tsv import read_rows
from components.sources.glue import COLA, MNLI, MRPC, XNLI
from components.sources.tsv import TsvSource
from pipelines.datasets import catalog as data
from pipelines.datasets import made_cola
from pipelines.datasets.made_cola import NOUNS, make_cola

SOURCES = {"cola": COLA, "mrpc": MRPC, "mnli": MNLI, "xnli": XNLI}
SIZES = {"cola": (4000, 500), "mrpc": (3000, 400), "mnli": (3000, 600), "xnli": (3000, 900)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for each task, with its data."""
    root = tmp_path_factory.mktemp("made")
    for task in SOURCES:
        data.make(task, root / task)
    return root


def records(source: TsvSource, directory: Path, split: int) -> list[dict]:
    parts = source.parts(directory, source.input_splits[split])
    return [record for part in parts for record in part.records()]


def texts(record: dict) -> str:
    return b" ||| ".join(record[key] for key in (TEXT_A, TEXT_B) if key in record).decode()


@pytest.mark.parametrize("task", SOURCES)
def test_made_files_are_what_the_task_reads(made: Path, task: str) -> None:
    source = SOURCES[task]
    source.check(made / task)
    assert tuple(len(records(source, made / task, split)) for split in (0, 1)) == SIZES[task]


@pytest.mark.parametrize("task", SOURCES)
def test_labels_are_balanced_and_no_example_is_in_both_splits(made: Path, task: str) -> None:
    train, held_out = (records(SOURCES[task], made / task, split) for split in (0, 1))
    shares = np.array(list(Counter(record[LABEL] for record in train).values())) / len(train)
    assert np.all(np.abs(shares - 1 / len(SOURCES[task].labels)) < 0.03)
    assert not {texts(record) for record in train} & {texts(record) for record in held_out}


@pytest.mark.parametrize("task", SOURCES)
def test_neither_words_nor_length_tell_the_label(made: Path, task: str) -> None:
    train, held_out = (records(SOURCES[task], made / task, split) for split in (0, 1))
    words = make_pipeline(CountVectorizer(token_pattern=r"[一-鿿]|\w+"), LogisticRegression(max_iter=1000))
    length = make_pipeline(
        CountVectorizer(analyzer=lambda text: ["character"] * len(text)), LogisticRegression()
    )
    for classifier in (words, length):
        classifier.fit([texts(record) for record in train], [record[LABEL] for record in train])
        accuracy = classifier.score([texts(r) for r in held_out], [r[LABEL] for r in held_out])
        assert accuracy < 1 / len(SOURCES[task].labels) + 0.08


@pytest.mark.parametrize("task", SOURCES)
def test_the_same_seed_makes_the_same_files(made: Path, tmp_path: Path, task: str) -> None:
    data.make(task, tmp_path)
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == sorted(file.name for file in (made / task).iterdir())
    assert all((tmp_path / name).read_bytes() == (made / task / name).read_bytes() for name in files)


def test_another_seed_makes_other_sentences(made: Path, tmp_path: Path) -> None:
    make_cola(tmp_path, seed=1)
    assert (tmp_path / "dev.tsv").read_bytes() != (made / "cola/dev.tsv").read_bytes()


def test_cola_has_sentences_of_4_to_12_words_and_the_columns_of_the_original(made: Path) -> None:
    rows = list(read_rows(made / "cola/train.tsv"))
    assert {len(row) for row in rows} == {4}
    assert {(row[1], row[2]) for row in rows} == {("1", ""), ("0", "*")}
    counts = {len(row[3].split()) for row in rows}
    assert (min(counts), max(counts)) == (4, 12)
    words = {word for row in rows for word in row[3].lower().strip(".").split()}
    assert 50 < len(words) < 300
    assert next(read_rows(made / "cola/test.tsv")) == ["index", "sentence"]


def words_of(path: Path, label: str) -> list[list[str]]:
    return [row[3].lower().rstrip(".").split() for row in read_rows(path) if row[1] == label]


def test_sentences_marked_as_grammatical_agree(made: Path) -> None:
    singular, plural = (set(forms) - {"the"} for forms in made_cola._DETERMINERS)
    nouns = set(NOUNS)
    for words in words_of(made / "cola/train.tsv", "1"):
        bare = [word for word in words if word not in made_cola._INVARIABLE["A"]]
        for determiner, noun in itertools.pairwise(bare):
            assert determiner not in singular or noun in nouns
            assert determiner not in plural or noun.removesuffix("s") in nouns - {noun}


def test_most_ungrammatical_sentences_have_neighbours_that_no_grammatical_one_has(made: Path) -> None:
    known = {pair for words in words_of(made / "cola/train.tsv", "1") for pair in itertools.pairwise(words)}
    held_out = words_of(made / "cola/dev.tsv", "0")
    assert np.mean([not known.issuperset(itertools.pairwise(words)) for words in held_out]) > 0.9


@pytest.mark.parametrize(
    ("categories", "in_order"),
    [
        ("DNI", True),
        ("DANwDNTTDNPDN", True),
        ("DNIPDN", True),
        ("DNAI", False),
        ("NDI", False),
        ("DNT", False),
    ],
)
def test_only_orders_that_english_does_not_have_count_as_faults(categories: str, in_order: bool) -> None:
    sentence = [made_cola._Word("x", "who" if category == "w" else category) for category in categories]
    assert made_cola._is_in_order(sentence) == in_order


@pytest.mark.parametrize(
    ("task", "file", "count"),
    [
        ("cola", "test.tsv", 100),
        ("mrpc", "test.tsv", 100),
        ("mnli", "test_matched.tsv", 60),
        ("mnli", "test_mismatched.tsv", 60),
        ("xnli", "xnli.dev.tsv", 900),
    ],
)
def test_made_test_files_can_be_predicted(made: Path, task: str, file: str, count: int) -> None:
    assert len(list(SOURCES[task].read_unlabelled(made / task / file))) == count


def test_xnli_has_three_languages_with_the_same_pairs(made: Path) -> None:
    held_out = records(XNLI, made / "xnli", 1)
    assert Counter(record["language"] for record in held_out) == {b"de": 300, b"en": 300, b"zh": 300}
    for language in ("de", "zh"):
        source = XNLI.override({"train_language": language, "eval_languages": (language,)}, "source")
        source.check(made / "xnli")
        assert [r[LABEL] for r in records(source, made / "xnli", 0)] == [
            r[LABEL] for r in records(XNLI, made / "xnli", 0)
        ]
