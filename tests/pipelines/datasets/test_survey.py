"""What is found in a few rows written here: counts and lengths by hand, and each thing that looks wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from json_documents import document

from components.features import Feature
from components.formats.errors import FormatError
from components.protocols import Split
from pipelines.cli import main as cli
from pipelines.datasets.made_digits import make_digits
from pipelines.datasets.survey import Doubt, Row, shown, survey
from pipelines.tasks import TASKS

COLA = TASKS["cola"].source
LONG = "long " * 30


def write_cola(folder: Path, train: list[tuple[int, str]], dev: list[tuple[int, str]]) -> Path:
    """Rows of CoLA: where from, label, the author's mark, sentence; no header."""
    for name, rows in (("train.tsv", train), ("dev.tsv", dev)):
        lines = (f"gj04\t{label}\t\t{text}\n" for label, text in rows)
        (folder / name).write_text("".join(lines), encoding="utf-8")
    return folder


def numbers(doubt: Doubt) -> list[tuple[str, int]]:
    return [(row.split, row.number) for row in doubt.examples]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train = [(1, "Cats sat."), (0, "Sat cats."), (1, "Cats sat."), (1, "Dogs ran."), (1, LONG)]
    return write_cola(tmp_path, train, [(1, "Cats sat."), (0, "Dogs ran."), (1, "Owls fly.")])


def test_rows_are_counted_by_label_and_measured(folder: Path) -> None:
    train, dev = survey(COLA, folder).splits
    assert (train.split, train.num_rows, train.is_whole, train.num_unusable) == ("train", 5, True, 0)
    assert train.counts["label"] == {"1": 4, "0": 1}
    assert dev.counts["label"] == {"1": 2, "0": 1}
    # 9, 9, 9, 9 and 30 words of five characters, less the last space.
    lengths = train.lengths["text_a"]
    assert lengths == ("characters", 9, 9.0, pytest.approx(185 / 5), 149)
    assert [row.number for row in dev.first] == [1, 2, 3]
    assert shown(dev.first[1].record, COLA.features)["text_a"] == "Dogs ran."
    assert shown(dev.first[1].record, COLA.features)["label"] == "0"


def test_what_looks_wrong_is_told_with_the_rows(folder: Path) -> None:
    found = {doubt.what: doubt for doubt in survey(COLA, folder).doubts}
    assert list(found) == [
        "Rows of eval whose input is in train, too",
        "Inputs that have several labels",
        "Rows of train whose input was there before",
        "Rows of train with more than 100 characters in text_a",
    ]
    shared, several, twice, long = found.values()
    assert (shared.num_rows, numbers(shared)) == (2, [("train", 1), ("eval", 1), ("train", 4), ("eval", 2)])
    # The sort that finds them is by hash and label: the label that comes first is chance.
    assert (several.num_rows, sorted(numbers(several))) == (1, [("eval", 2), ("train", 4)])
    assert (twice.num_rows, numbers(twice)) == (1, [("train", 1), ("train", 3)])
    assert (long.num_rows, numbers(long)) == (1, [("train", 5)])


def test_clean_data_raise_no_doubts(tmp_path: Path) -> None:
    assert survey(COLA, write_cola(tmp_path, [(1, "A b."), (0, "B a.")], [(1, "C d.")])).doubts == []


def test_of_a_split_that_is_larger_than_asked_for_the_first_rows_are_told(folder: Path) -> None:
    train, dev = survey(COLA, folder, most_rows=3).splits
    assert (train.num_rows, train.is_whole) == (3, False)
    assert (dev.num_rows, dev.is_whole) == (3, True)
    assert train.counts["label"] == {"1": 2, "0": 1}


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    write_cola(tmp_path, [(1, "A b."), (7, "B a.")], [(1, "C d.")])
    train, _ = survey(COLA.model_copy(update={"max_bad_rows": 1}), tmp_path).splits
    assert (train.num_rows, train.num_unusable) == (1, 1)
    assert train.first_unusable is not None
    assert "train.tsv:2: expected label 0 or 1, got '7'" in train.first_unusable


class Told(NamedTuple):
    """A source, and its one part, of records that are told: the files of others have no empty texts."""

    rows: tuple[dict[str, Any], ...]
    features = {"texts": Feature(dtype="bytes", shape=None)}  # noqa: RUF012
    input_splits = (Split("train", "*"),)

    def check(self, directory: Path) -> None:
        pass

    def parts(self, directory: Path, split: Split) -> list[Told]:
        return [self]

    def records(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)


def test_an_empty_text_is_a_doubt(tmp_path: Path) -> None:
    source: Any = Told(({"texts": [b"A b.", b"c"]}, {"texts": [b" ", b""]}, {"texts": []}))
    (empty,) = survey(source, tmp_path).doubts
    assert (empty.what, numbers(empty)) == (
        "Rows of train with nothing in texts",
        [("train", 2), ("train", 3)],
    )


def test_a_feature_of_many_values_is_counted_in_no_split(tmp_path: Path) -> None:
    # Fifty titles and one in train, and two in eval.
    for name, count in (("train", 51), ("dev", 2)):
        articles = [
            {
                "title": f"T{number}",
                "paragraphs": [
                    {
                        "context": f"Context {number}.",
                        "qas": [
                            {
                                "id": f"{name}{number}",
                                "question": "What?",
                                "answers": [{"text": "Context", "answer_start": 0}],
                            }
                        ],
                    }
                ],
            }
            for number in range(count)
        ]
        (tmp_path / f"{name}-v1.1.json").write_text(json.dumps({"version": "1.1", "data": articles}))
    train, dev = survey(TASKS["squad"].source, tmp_path).splits
    assert "title" not in {**train.counts, **dev.counts}
    assert (train.counts["question_word"], dev.counts["question_word"]) == ({"what": 51}, {"what": 2})


def test_a_stray_control_character_leaves_a_text_a_text(tmp_path: Path) -> None:
    data = write_cola(tmp_path, [(1, "Cats\x08 \x1b[31msat."), (0, "Sat.")], [(1, "Dogs.")])
    train, _ = survey(COLA, data).splits
    assert train.lengths["text_a"] == ("characters", 4, 9.5, 9.5, 15)
    assert shown(train.first[0].record, COLA.features)["text_a"] == "Cats\ufffd \ufffd[31msat."


def test_images_are_bytes(tmp_path: Path) -> None:
    make_digits(tmp_path)
    train, _ = survey(TASKS["mnist"].source, tmp_path).splits
    assert train.lengths["image"] == ("bytes", 784, 784.0, 784.0, 784)
    assert sum(train.counts["label"].values()) == train.num_rows
    assert shown(train.first[0].record, TASKS["mnist"].source.features)["image"] == "784 bytes"


def test_a_value_that_is_long_is_cut() -> None:
    row = Row("train", 1, {"text_a": b"a" * 400, "label": 1})
    assert len(shown(row.record, COLA.features)["text_a"]) == 301


def test_a_folder_without_the_files_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"train\.tsv"):
        survey(COLA, tmp_path)


def test_the_verb_tells_it_as_tables_and_as_json(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["data", "show", "cola", "--data", str(folder)])
    printed = capfd.readouterr().out.splitlines()
    assert not stop.value.code
    assert "train\t5\t0\t" in printed
    assert "label 1\t4\t2" in printed
    assert "Rows of eval whose input is in train, too: 2" in printed
    with pytest.raises(SystemExit):
        cli.main(["data", "show", "cola", "--data", str(folder), "--json"])
    told = document("survey", capfd.readouterr().out)
    assert [doubt["count"] for doubt in told["doubts"]] == [2, 1, 1, 1]
    assert told["doubts"][0]["examples"][0]["row"] == 1


def test_hashes_tell_a_pair_from_its_halves() -> None:
    from pipelines.datasets.survey import _hash

    assert _hash([b"ab", b"c"]) != _hash([b"a", b"bc"])
    assert _hash([[b"ab", b"c"]]) != _hash([b"ab", b"c"])
    assert _hash([np.int64(1)]) == _hash([np.int64(1)])
