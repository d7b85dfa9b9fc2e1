"""Runs of sentences: of which documents, with which others, in which split, and what is refused."""

import gzip
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pydantic
import pytest

from components.features import DOCUMENT, FILE, OTHER_SENTENCES, SENTENCES
from components.formats.errors import FormatError
from components.protocols import EvaluatesFile, FindsFiles, Source
from components.sources.corpus import CorpusSource, cut_runs, name_of

# Two of these do not fit into a run of 50 bytes, three do.
SMALL = {"run_bytes": 50, "validation_fraction": 0.3}


def corpus(count: int, sentences: int = 7, start: int = 0) -> str:
    """Documents whose sentences tell which one it is, and where in it: "Document 3, line 2."."""
    documents = range(start, start + count)
    return "\n".join("".join(f"Document {d}, line {s}.\n" for s in range(sentences)) for d in documents)


def written(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def records(directory: Path, source: CorpusSource, split: int = 0) -> list[dict[str, Any]]:
    parts = source.parts(directory, source.input_splits[split])
    return [dict(record) for part in parts for record in part.records()]


def documents_of(sentences: list[bytes]) -> set[int]:
    return {int(re.findall(rb"\d+", sentence)[0]) for sentence in sentences}


def test_the_source_is_one_that_finds_its_files() -> None:
    source = CorpusSource()
    assert isinstance(source, Source)
    assert isinstance(source, FindsFiles)
    assert source.sample(3, seed=0) == source.sample(3, seed=0) != source.sample(3, seed=1)
    assert all(record.keys() == {SENTENCES, OTHER_SENTENCES} for record in source.sample(3, seed=0))


def test_one_file_of_any_name_is_enough_to_evaluate_on(tmp_path: Path) -> None:
    written(tmp_path, other=corpus(2, start=5))
    (tmp_path / "notes [1].md").write_text(corpus(3))
    source = CorpusSource().with_evaluation_file("notes [1].md")
    assert isinstance(source, EvaluatesFile)
    found = records(tmp_path, source, split=1)
    assert {record[FILE] for record in found} == {b"notes [1].md"}
    assert set().union(*(documents_of(record[SENTENCES]) for record in found)) == {0, 1, 2}


def test_made_requests_ask_for_one_word_each() -> None:
    for record in CorpusSource().sample(50, seed=0):
        assert record[SENTENCES].count(b"") == 1
        assert len(record[SENTENCES]) > 1
        assert b"" not in record[OTHER_SENTENCES]
    assert all(not record[OTHER_SENTENCES] for record in CorpusSource(next_sentence=False).sample(3, seed=0))


@pytest.mark.parametrize(
    ("sentences", "runs"),
    [
        ([], []),
        (["a"], [["a"]]),
        (["aaaa", "b"], [["aaaa", "b"]]),
        (["a", "b", "c", "d"], [["a", "b", "c", "d"]]),
        (["aa", "bb", "cc", "dd"], [["aa", "bb"], ["cc", "dd"]]),
        (["aa", "bb", "cc"], [["aa", "bb", "cc"]]),
        (["aaaa", "b", "c", "d", "e", "f"], [["aaaa", "b"], ["c", "d", "e", "f"]]),
        # The length is in bytes.
        (["é", "é", "c", "d"], [["é", "é"], ["c", "d"]]),
    ],
)
def test_a_document_is_cut_into_runs_of_two_sentences_at_least(
    sentences: list[str], runs: list[list[str]]
) -> None:
    assert list(cut_runs(iter(sentences), 4)) == runs


def test_runs_have_all_of_the_corpus_once_and_in_order(tmp_path: Path) -> None:
    source = CorpusSource(**SMALL)
    found = [records(written(tmp_path, a=corpus(20), b=corpus(20, start=20)), source, i) for i in (0, 1)]
    sentences = Counter(sentence for split in found for record in split for sentence in record[SENTENCES])
    assert sentences == Counter(f"Document {d}, line {s}.".encode() for d in range(40) for s in range(7))
    assert [len(record[SENTENCES]) for record in found[0][:2]] == [3, 4]
    assert found[0][0].keys() == source.features.keys()
    assert {record[FILE] for record in found[0]} == {b"a.txt", b"b.txt"}


def test_documents_stay_on_one_side_and_so_do_the_others_that_go_with_them(tmp_path: Path) -> None:
    source = CorpusSource(**SMALL)
    train, held_out = (records(written(tmp_path, a=corpus(60)), source, i) for i in (0, 1))
    sides = [{d for r in side for d in documents_of(r[SENTENCES])} for side in (train, held_out)]
    assert sides[0] | sides[1] == set(range(60))
    assert not sides[0] & sides[1]
    # Binomial with n = 60 and p = 0.3: 18 ± 3.5.
    assert 8 <= len(sides[1]) <= 29
    for side, known in zip((train, held_out), sides, strict=True):
        for record in side:
            (own,), (other,) = documents_of(record[SENTENCES]), documents_of(record[OTHER_SENTENCES])
            assert own != other
            assert other in known
    assert len({record[DOCUMENT] for record in train}) == len(sides[0])


def test_others_come_from_everywhere_and_as_often_from_within_a_document(tmp_path: Path) -> None:
    source = CorpusSource(run_bytes=50, validation_fraction=0.01)
    found = records(written(tmp_path, a=corpus(200, 12), b=corpus(200, 12, start=200)), source)
    others = Counter(min(documents_of(record[OTHER_SENTENCES])) for record in found)
    # 4 runs of each of about 396 documents, drawn by as many examples: one is drawn 4 ± 2 times.
    assert len(others) > 380
    assert max(others.values()) < 16
    starts = sum(b"line 0." in record[OTHER_SENTENCES][0] for record in found)
    # One run in four is a document's first: 396 ± 17 of 1,584.
    assert 0.2 < starts / len(found) < 0.3


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_examples_do_not_depend_on_how_the_files_are_shared_among_workers(tmp_path: Path, size: int) -> None:
    written(tmp_path, a=corpus(30), b=corpus(1, 300, start=30), c=corpus(30, start=31))
    whole, cut = (CorpusSource(**SMALL, part_size_bytes=each) for each in (1 << 24, size))
    assert len(cut.parts(tmp_path, cut.input_splits[0])) > 3
    assert records(tmp_path, cut) == records(tmp_path, whole)


def test_another_seed_gives_the_same_runs_with_other_ones(tmp_path: Path) -> None:
    written(tmp_path, a=corpus(30))
    first, second = (records(tmp_path, CorpusSource(**SMALL, seed=seed)) for seed in (0, 1))
    assert [record[SENTENCES] for record in first] == [record[SENTENCES] for record in second]
    assert [record[OTHER_SENTENCES] for record in first] != [record[OTHER_SENTENCES] for record in second]


def test_gzip_files_have_others_too_from_the_next_file_where_they_are_of_one_document(tmp_path: Path) -> None:
    for number in range(3):
        text = corpus(1 + 10 * (number == 0), start=20 * number)
        (tmp_path / f"{number}.txt.gz").write_bytes(gzip.compress(text.encode()))
    source = CorpusSource(run_bytes=50, validation_fraction=0.01)
    found = records(tmp_path, source)
    pairs = [(min(documents_of(r[SENTENCES])), min(documents_of(r[OTHER_SENTENCES]))) for r in found]
    assert all(own != other for own, other in pairs)
    assert {other for own, other in pairs if own < 11} <= set(range(11))
    assert {other for own, other in pairs if own == 20} == {40}
    assert len(records(tmp_path, source.override({"part_size_bytes": 10}, "source"))) == len(found)


def test_the_same_document_twice_has_one_name_and_is_no_other(tmp_path: Path) -> None:
    text = corpus(1)
    found = records(written(tmp_path, a=f"{text}\n{text}\n{corpus(1, start=7)}"), CorpusSource(run_bytes=50))
    own = [record for record in found if documents_of(record[SENTENCES]) == {0}]
    assert len({record[DOCUMENT] for record in own}) == 1
    assert all(documents_of(record[OTHER_SENTENCES]) == {7} for record in own)


def test_without_next_sentences_one_document_is_enough(tmp_path: Path) -> None:
    source = CorpusSource(next_sentence=False, eval_files=("b.txt",))
    written(tmp_path, a=corpus(1), b="One.")
    source.check(tmp_path)
    (train,), (held_out,) = (records(tmp_path, source, split) for split in (0, 1))
    assert (len(train[SENTENCES]), train[OTHER_SENTENCES]) == (7, [])
    assert held_out[SENTENCES] == [b"One."]


def test_paragraphs_are_split_into_sentences_on_demand(tmp_path: Path) -> None:
    written(tmp_path, a="Dr. A came. B left.\nC stayed.\n\nD.\n")
    source = CorpusSource(split_sentences=True, next_sentence=False, eval_files=("a.txt",), files=("*",))
    (first, second) = records(tmp_path, source, 1)
    assert first[SENTENCES] == [b"Dr. A came.", b"B left.", b"C stayed."]
    assert second[SENTENCES] == [b"D."]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("*.txt",), ["a.txt", "below/b.txt", "below/deep/c.txt"]),
        (("a.*",), ["a.txt"]),
        (("below",), ["below/b.txt", "below/deep/c.txt", "below/d.text"]),
        (("below/deep/", "*.text"), ["below/d.text", "below/deep/c.txt"]),
    ],
)
def test_files_are_found_by_patterns_and_folders(
    tmp_path: Path, files: tuple[str, ...], expected: list[str]
) -> None:
    for name in ("a.txt", "below/b.txt", "below/deep/c.txt", "below/d.text"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    source = CorpusSource(files=files)
    found = source.raw_files(str(tmp_path), source.input_splits[0])
    assert [str(Path(file).relative_to(tmp_path)) for file in found] == sorted(expected)


def test_files_for_evaluation_do_not_train_and_all_of_them_evaluates(tmp_path: Path) -> None:
    written(tmp_path, a=corpus(5), b=corpus(5, start=5))
    source = CorpusSource(eval_files=("b.txt",))
    source.check(tmp_path)
    for split, expected in ((0, set(range(5))), (1, set(range(5, 10)))):
        found = records(tmp_path, source, split)
        assert {d for record in found for d in documents_of(record[SENTENCES])} == expected


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.doc").touch()
    with pytest.raises(FormatError) as caught:
        CorpusSource().check(tmp_path)
    assert str(caught.value) == f"{tmp_path}: expected *.txt or *.txt.gz, got only a.doc"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected at least one sentence, got none"),
        ("\n \n", "expected at least one sentence, got none"),
        (corpus(1), "expected two documents that differ, got 1 document with 7 sentences"),
        ("A.\n\nA.\n", "expected two documents that differ, got 2 documents with 2 sentences"),
    ],
)
def test_a_corpus_without_pairs_is_refused_with_what_it_has(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        CorpusSource().check(written(tmp_path, a=text))
    hint = "; empty lines between documents and nowhere else, or source.next_sentence=false, would help"
    where = f"{tmp_path} (*.txt or *.txt.gz)"
    assert str(caught.value) == f"{where}: {message}{'' if 'none' in message else hint}"


def test_a_split_with_one_document_has_no_other(tmp_path: Path) -> None:
    written(tmp_path, a=corpus(2), b=corpus(1))
    source = CorpusSource(eval_files=("b.txt",))
    with pytest.raises(
        FormatError, match=r"b.txt\): expected two documents that differ, got 1 document with"
    ):
        source.check(tmp_path)
    with pytest.raises(
        FormatError, match=r"b.txt: expected a second document in split 'eval', for sentences"
    ):
        records(tmp_path, source, 1)


def test_documents_of_one_line_each_may_be_paragraphs(tmp_path: Path) -> None:
    directory = written(tmp_path, a="\n\n".join(f"It is {n}. It was {n}." for n in range(50)))
    with pytest.raises(FormatError) as caught:
        CorpusSource().check(directory)
    assert str(caught.value) == (
        f"{tmp_path} (*.txt or *.txt.gz): expected documents of several sentences, got 50 documents with 50 "
        "sentences; source.split_sentences=true where lines are paragraphs, empty lines between documents "
        "and nowhere else, or source.next_sentence=false, would help"
    )
    CorpusSource(split_sentences=True).check(directory)


def test_a_share_of_too_few_documents_is_refused_before_anything_runs(tmp_path: Path) -> None:
    written(tmp_path, a=corpus(30))
    with pytest.raises(FormatError) as caught:
        CorpusSource(validation_fraction=0.001).check(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} (*.txt or *.txt.gz), split 'eval': expected two documents that differ, got 0 documents "
        "with 0 sentences; more documents, another source.validation_fraction, or "
        "source.next_sentence=false, would help"
    )
    helps = "more documents, another source.validation_fraction, or source.eval_files, would help"
    with pytest.raises(
        FormatError, match=rf"split 'eval': expected at least one sentence, got none; {helps}$"
    ):
        CorpusSource(validation_fraction=0.001, next_sentence=False).check(tmp_path)
    CorpusSource(validation_fraction=0.5).check(tmp_path)


def test_what_is_no_text_is_refused_before_anything_runs(tmp_path: Path) -> None:
    for content, message in (
        (b"\x80\x02", "expected UTF-8, got byte 0x80"),
        (b"a\0b", "expected text, got a NUL byte"),
        (b"a" * 100_000, "expected a line of at most 65536 bytes, got more"),
        (b"\xff\xfea\0", "text in UTF-16"),
    ):
        (tmp_path / "a.txt").write_bytes(content)
        with pytest.raises(FormatError, match=message):
            CorpusSource().check(tmp_path)


def test_a_share_that_leaves_nothing_is_refused() -> None:
    for fraction in (0, 1):
        with pytest.raises(pydantic.ValidationError, match="validation_fraction"):
            CorpusSource(validation_fraction=fraction)


def test_a_real_corpus_is_of_chapters_with_other_chapters(real_data: Path) -> None:
    source, directory = CorpusSource(), real_data / "corpus"
    source.check(directory)
    train, held_out = (records(directory, source, split) for split in (0, 1))
    assert sum(len(record[SENTENCES]) for record in [*train, *held_out]) == 11016
    names = [{record[DOCUMENT] for record in split} for split in (train, held_out)]
    assert len(names[0] | names[1]) == 361
    assert not names[0] & names[1]
    assert train[0][DOCUMENT].decode() == name_of([s.decode() for s in train[0][SENTENCES]])
    chapters: dict[bytes, set[bytes]] = {}
    for record in [*train, *held_out]:
        chapters.setdefault(record[DOCUMENT], set()).update(record[SENTENCES])
    # Some verses are in several chapters.
    assert not any(set(r[OTHER_SENTENCES]) <= chapters[r[DOCUMENT]] for r in [*train, *held_out])
