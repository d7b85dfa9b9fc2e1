"""Two models' answers to the same examples, counted and weighed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.runs.answers import Paired, paired, read_badness, read_mistakes


def test_answers_are_paired_by_example() -> None:
    first = {"a": 0.0, "b": 0.0, "c": 0.9, "d": 0.7, "only here": 0.0}
    second = {"a": 0.0, "b": 0.6, "c": 0.0, "d": 0.2, "only there": 0.0}
    assert paired(first, second) == Paired(4, "right", 1, ("b",), ("c",), 1)


def test_an_answer_that_is_no_number_is_wrong() -> None:
    assert paired({"a": None}, {"a": 0.0}) == Paired(1, "right", 0, (), ("a",), 0)
    assert paired({"a": None, "b": 0.1}, {"a": 0.5, "b": None}) == Paired(2, "better", 0, ("b",), ("a",), 0)


def test_where_no_answer_is_wholly_right_the_less_bad_one_counts() -> None:
    found = paired({"a": 0.1, "b": 0.5, "c": 0.3}, {"a": 0.2, "b": 0.4, "c": 0.3})
    assert found == Paired(3, "better", 0, ("a",), ("b",), 1)


def test_models_that_were_asked_other_examples_are_not_compared() -> None:
    assert paired({"a": 0.0}, {"b": 0.0}) is None
    assert paired({}, {}) is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # Of 6 tosses at most one falls on one side: twice 7 of 64.
        (1, 5, 0.21875),
        (5, 1, 0.21875),
        (0, 8, 2 / 256),
        (3, 3, 1.0),
        (0, 0, 1.0),
    ],
)
def test_the_p_value_is_that_of_mcnemars_exact_test(first: int, second: int, expected: float) -> None:
    keys = tuple(map(str, range(9)))
    found = Paired(20, "right", 3, keys[:first], keys[:second], 4)
    assert found.p_value == pytest.approx(expected)
    assert found.to_json()["first_only"] == first


def test_what_the_evaluator_kept_is_read(tmp_path: Path) -> None:
    (tmp_path / "answers.json").write_text(json.dumps({"badness": {"a": 0.0, "b": None}}))
    (tmp_path / "mistakes.json").write_text(json.dumps({"b": "<p>b</p>", "c": 3}))
    assert read_badness(tmp_path) == {"a": 0.0, "b": None}
    assert read_mistakes(tmp_path) == {"b": "<p>b</p>"}


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"badness": 3}'])
def test_an_evaluation_that_kept_nothing_has_no_answers(tmp_path: Path, content: str | None) -> None:
    for name in ("answers.json", "mistakes.json"):
        if content is not None:
            (tmp_path / name).write_text(content)
    assert read_badness(tmp_path) == read_mistakes(tmp_path) == {}
