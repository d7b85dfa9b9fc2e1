"""A made corpus: documents that hold together, whose words follow from their neighbours."""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.features import OTHER_SENTENCES, SENTENCES
from components.formats.plain_text import read_documents, split_sentences
from components.sources.corpus import CorpusSource
from pipelines.datasets import catalog
from pipelines.datasets.made_corpus import make_corpus


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    catalog.make("pretraining", folder)
    return folder


def in_context(documents: list[list[str]]) -> Iterator[tuple[str, str, str]]:
    """The word before, a word or a mark, and that after; "" where there is none."""
    for line in itertools.chain.from_iterable(documents):
        words = ["", *re.findall(r"\w+|\S", line), ""]
        yield from zip(words, words[1:], words[2:], strict=False)


@pytest.fixture(scope="module")
def documents(made: Path) -> list[list[str]]:
    return [list(lines) for lines in read_documents(made / "corpus.txt")]


def test_the_same_seed_writes_the_same_and_another_one_another(made: Path, tmp_path: Path) -> None:
    texts = []
    for seed in (0, 1):
        make_corpus(tmp_path, seed)
        texts.append((tmp_path / "corpus.txt").read_text())
    assert texts[0] == (made / "corpus.txt").read_text() != texts[1]
    assert catalog.is_made("pretraining", made)


def test_it_is_read_without_a_fault_and_each_run_has_another_document(made: Path) -> None:
    source = CorpusSource(validation_fraction=0.1)
    source.check(made)
    records = [
        [record for part in source.parts(made, split) for record in part.records()]
        for split in source.input_splits
    ]
    # 200 ± 13 of 2,000.
    assert 150 < len(records[1]) < 250
    assert len(records[0]) + len(records[1]) == 2000
    assert all(record[OTHER_SENTENCES] != record[SENTENCES] for split in records for record in split)


def test_documents_are_of_several_sentences_and_no_two_are_equal(documents: list[list[str]]) -> None:
    assert len(documents) == 2000
    assert {len(document) for document in documents} == set(range(8, 13))
    assert len({tuple(document) for document in documents}) == 2000
    assert all(list(split_sentences(line)) == [line] for document in documents[:100] for line in document)


def test_a_person_keeps_work_town_and_animals_and_verbs_agree(documents: list[list[str]]) -> None:
    for document in documents:
        text = " ".join(document)
        name, trade, town = re.findall(r"^(\w+) is a (\w+) in (\w+)\.", text)[0]
        pronoun, number, colour, animals, place = re.findall(
            r"(He|She) has (a|two) (\w+) (\w+) near the (\w+)", text
        )[0]
        assert set(re.findall(r"In the \w+ the (\w+) makes", text)) <= {trade}
        assert set(re.findall(r"sells \w+ in (\w+)", text)) <= {town}
        assert set(re.findall(r"(\w+) goes to", text)) <= {name}
        assert set(re.findall(r"The (\w+) (?:is|are) (\w+),", text)) <= {(animals, colour)}
        assert set(re.findall(r"\b(Her|His) ", text)) <= {"Her" if pronoun == "She" else "His"}
        assert set(re.findall(r"and \w+ near the (\w+)", text)) <= {place}
        assert set(re.findall(r" (is|are) \w+, and", text)) <= {"is" if number == "a" else "are"}
        assert animals.endswith("s") == (number == "two")


def test_what_is_true_everywhere_is_told_the_same_in_all_documents(documents: list[list[str]]) -> None:
    text = " ".join(line for document in documents for line in document)
    for fact in (r"(\w+) lies in (\w+)", r"the (\w+) makes (\w+)"):
        told = defaultdict(set)
        for subject, value in re.findall(fact, text):
            told[subject].add(value)
        assert len(told) >= 8
        assert all(len(values) == 1 for values in told.values())


def test_neighbours_tell_a_word_far_better_than_how_frequent_it_is(documents: list[list[str]]) -> None:
    train, held_out = (list(in_context(part)) for part in (documents[:1800], documents[1800:]))
    between: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for before, word, after in train:
        between[before, after][word] += 1
    (most_frequent, _), *_ = Counter(word for _, word, _ in train).most_common(1)
    baseline = sum(word == most_frequent for _, word, _ in held_out) / len(held_out)
    right = 0
    for before, word, after in held_out:
        known = between.get((before, after))
        right += bool(known) and known.most_common(1)[0][0] == word
    assert baseline < 0.15
    assert right / len(held_out) > 3 * baseline
