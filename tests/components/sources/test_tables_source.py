"""Labelled texts in people's own tables."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from components.asking.texts import ReadsRows
from components.config import ConfigError
from components.features import LABEL, LENGTH, TEXT_A, TEXT_B
from components.formats.errors import FormatError
from components.protocols import BadRecord, EvaluatesFile, FindsFiles, Found, Record, Source
from components.sources.tables import TableSource

SOURCE = TableSource(train="reviews.csv", text_a="text", label="stars", labels=("bad", "good"))


def write(folder: Path, rows: list[str], name: str = "reviews.csv") -> Path:
    (folder / name).write_text("\n".join(["stars,text", *rows]) + "\n")
    return folder


def read(source: TableSource, folder: Path, split: str) -> list[Record | BadRecord]:
    (wanted,) = (each for each in source.input_splits if each.name == split)
    return [record for part in source.parts(folder, wanted) for record in part.records()]


def test_it_fits_the_protocols() -> None:
    for protocol in (Source, FindsFiles, EvaluatesFile, ReadsRows):
        assert isinstance(SOURCE, protocol)


def test_a_row_is_a_text_with_a_class_and_a_length(tmp_path: Path) -> None:
    source = SOURCE.model_copy(update={"evaluation": "reviews.csv"})
    write(tmp_path, ["good,It shines."])
    assert read(source, tmp_path, "train") == [{TEXT_A: b"It shines.", LABEL: 1, LENGTH: b"1-32"}]


def test_both_texts_of_a_pair_are_read(tmp_path: Path) -> None:
    source = SOURCE.model_copy(
        update={"text_b": "reply", "train": "pairs.jsonl", "evaluation": "pairs.jsonl"}
    )
    (tmp_path / "pairs.jsonl").write_text('{"text": "Is it?", "reply": "It is.", "stars": "bad"}\n')
    (record,) = read(source, tmp_path, "eval")
    assert record == {TEXT_A: b"Is it?", TEXT_B: b"It is.", LABEL: 0, LENGTH: b"1-32"}
    assert list(source.features) == [TEXT_A, TEXT_B, LABEL, LENGTH]


def test_a_file_is_split_by_its_texts_alone(tmp_path: Path) -> None:
    rows = [f"{'good' if number % 2 else 'bad'},text {number % 500}" for number in range(1000)]
    write(tmp_path, rows)
    train, held_out = read(SOURCE, tmp_path, "train"), read(SOURCE, tmp_path, "eval")
    assert len(train) + len(held_out) == 1000
    # Every text is there twice, and 50 of 500 are expected.
    assert set(Counter(record[TEXT_A] for record in held_out).values()) == {2}
    assert 35 <= len(held_out) / 2 <= 65
    (tmp_path / "reversed").mkdir()
    write(tmp_path / "reversed", rows[::-1])
    assert read(SOURCE, tmp_path / "reversed", "eval") == held_out[::-1]


def test_a_file_of_its_own_is_evaluated_whole(tmp_path: Path) -> None:
    write(tmp_path, ["good,one"])
    write(tmp_path, ["bad,two", "bad,three"], "dev.csv")
    source = SOURCE.with_evaluation_file("dev.csv")
    assert [record[TEXT_A] for record in read(source, tmp_path, "eval")] == [b"two", b"three"]
    assert [record[TEXT_A] for record in read(source, tmp_path, "train")] == [b"one"]


@pytest.mark.parametrize("name", ["reviews.jsonl", "reviews.tsv"])
def test_where_a_row_is_a_line_parts_of_any_size_give_the_rows_of_the_whole(
    tmp_path: Path, name: str
) -> None:
    rows = [("good" if number % 2 else "bad", f"text {number}é") for number in range(50)]
    rows[30] = ("fine", "a label that is none")
    lines = [json.dumps({"stars": label, "text": text}, ensure_ascii=False) for label, text in rows]
    if name.endswith(".tsv"):
        lines = ["stars\ttext", *("\t".join(row) for row in rows)]
    path = tmp_path / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    whole = SOURCE.model_copy(update={"train": name, "evaluation": name, "max_bad_rows": 1})
    wanted = read(whole, tmp_path, "train")
    assert len(whole.parts(tmp_path, whole.input_splits[0])) == 1
    assert wanted[30] == BadRecord(
        f"{path}:{lines.index(lines[-20]) + 1}: expected stars bad or good, got 'fine'"
    )
    assert wanted[29] == {TEXT_A: "text 29é".encode(), LABEL: 1, LENGTH: b"1-32"}
    for size in (1, 7, 100, 1000, path.stat().st_size):
        source = whole.model_copy(update={"part_size_bytes": size})
        assert read(source, tmp_path, "train") == wanted
        source.check(tmp_path)
    each = whole.model_copy(update={"part_size_bytes": 1}).parts(tmp_path, whole.input_splits[0])
    assert len(each) == len(lines)


def test_a_csv_file_is_read_in_one_part_since_its_rows_may_have_line_ends(tmp_path: Path) -> None:
    source = SOURCE.model_copy(update={"part_size_bytes": 1, "evaluation": "reviews.csv"})
    write(tmp_path, ['good,"one\nbad,two"', "bad,three"])
    assert [record[TEXT_A] for record in read(source, tmp_path, "train")] == [b"one\nbad,two", b"three"]


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("fine,text", "reviews.csv:2: expected stars bad or good, got 'fine'"),
        ("good,", "reviews.csv:2: expected a text as text, got none"),
        ("good", "reviews.csv:2: expected 2 columns, got 1"),
    ],
)
def test_a_bad_row_is_told_once_and_refused_unless_allowed(tmp_path: Path, row: str, wrong: str) -> None:
    write(tmp_path, [row, *(f"good,text {number}" for number in range(100))])
    (bad,) = (record for record in read(SOURCE, tmp_path, "train") if isinstance(record, BadRecord))
    assert bad.reason == str(tmp_path / wrong)
    assert not any(isinstance(record, BadRecord) for record in read(SOURCE, tmp_path, "eval"))
    with pytest.raises(FormatError, match="expected"):
        SOURCE.check(tmp_path)
    SOURCE.model_copy(update={"max_bad_rows": 1}).check(tmp_path)
    with pytest.raises(FormatError, match="got 'x'"):
        SOURCE.check_found("reviews.csv", Found(Counter({b"": 100}), 1, "reviews.csv:2: got 'x'"))


def test_a_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    write(tmp_path, ["good,one"])
    source = SOURCE.model_copy(update={"text_a": "review"})
    with pytest.raises(FormatError, match=r"reviews\.csv: expected a column 'review', got stars, text"):
        source.check(tmp_path)


def test_a_split_without_rows_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ["good,one"])
    with pytest.raises(FormatError, match=r"split '(train|eval)': expected at least one row, got none"):
        SOURCE.check(tmp_path)


def test_a_file_that_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    write(tmp_path, ["good,one"], "review.csv")
    with pytest.raises(FormatError, match=r"expected reviews\.csv, got only review\.csv"):
        SOURCE.check(tmp_path)


def test_columns_and_labels_are_there_once_each() -> None:
    with pytest.raises(ConfigError, match="columns: expected each once, got text, text"):
        SOURCE.override({"label": "text"}, "source")
    with pytest.raises(ConfigError, match="labels: expected each once, got bad, bad"):
        SOURCE.override({"labels": ["bad", "bad"]}, "source")


def test_texts_to_predict_are_found_by_name_or_stand_alone(tmp_path: Path) -> None:
    write(tmp_path, ["good,one", ",two"])
    assert list(SOURCE.read_unlabelled(tmp_path / "reviews.csv")) == [("one", None), ("two", None)]
    (tmp_path / "bare.tsv").write_text("one\ntwo\n")
    assert list(SOURCE.read_unlabelled(tmp_path / "bare.tsv")) == [("one", None), ("two", None)]
    pair = SOURCE.model_copy(update={"text_b": "reply"})
    (tmp_path / "pair.tsv").write_text("one\ttwo\n")
    assert list(pair.read_unlabelled(tmp_path / "pair.tsv")) == [("one", "two")]
    (tmp_path / "same.csv").write_text("one,one\n")
    assert list(pair.read_unlabelled(tmp_path / "same.csv")) == [("one", "one")]
    (tmp_path / "three.csv").write_text("stars,text,more\na,b,c\n")
    with pytest.raises(FormatError, match="expected a column 'reply', got stars, text, more"):
        list(pair.read_unlabelled(tmp_path / "three.csv"))


SCORED = TableSource(train="pairs.csv", evaluation="pairs.csv", text_a="a", text_b="b", label="score",
                     score_range=(0, 5))  # fmt: skip


def test_without_labels_a_number_is_the_label(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("a,b,score\none,two,3\none,two,5.5\none,two,nan\none,two,many\n")
    good, *bad = read(SCORED, tmp_path, "train")
    assert good == {TEXT_A: b"one", TEXT_B: b"two", LABEL: 3.0, LENGTH: b"1-32"}
    assert isinstance(good[LABEL], float)
    assert SCORED.features[LABEL].dtype == "float32"
    reasons = [str(record.reason).partition(": ")[2] for record in bad]
    assert reasons == [f"expected score from 0 to 5, got '{got}'" for got in ("5.5", "nan", "many")]


@pytest.mark.parametrize("given", [{"labels": ()}, {"score_range": (0, 1)}, {"labels": ("one",)}])
def test_a_label_is_a_class_or_a_score(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected two or more labels, or a score_range"):
        SOURCE.override(given, "source")
