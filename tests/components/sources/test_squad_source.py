"""Questions as records: what is good, repaired or left out, which file is read, and what is told."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pydantic
import pytest

from components.example_gen.found import Tally
from components.example_gen.shards import Shard, write_shard
from components.features import (
    ANSWER_STARTS,
    ANSWERS,
    CONTEXT,
    ID,
    IS_IMPOSSIBLE,
    LENGTH,
    PARAGRAPH,
    QUESTION,
    QUESTION_WORD,
    TITLE,
)
from components.formats.errors import FormatError
from components.formats.squad import V2, Answer, Question, write_squad
from components.protocols import BadRecord, Found, Note, Source
from components.sources.squad import (
    MOVED,
    NOT_FOUND,
    ONE_NOT_FOUND,
    RESPELLED,
    UNANSWERED,
    SquadPart,
    SquadSource,
    question_word,
)

CONTEXT_TEXT = "Köln lies on the Rhine. Ulm lies on the Danube."


def question(number: int, *answers: Answer, **changes: Any) -> Question:
    return Question(
        where="",
        id=f"q{number}",
        title="Cities",
        context=CONTEXT_TEXT,
        question="On which river does Köln lie?",
        answers=answers or (Answer("the Rhine", 13),),
        is_impossible=False,
    )._replace(**changes)


def write(directory: Path, *questions: Question, version: str = "1.1") -> SquadSource:
    for name in ("train", "dev"):
        write_squad(directory / f"{name}-v{version}.json", questions, version)
    return SquadSource()


def found_in(directory: Path, source: SquadSource) -> tuple[list[Any], Found]:
    """The good records of the training file, and what was found beside them."""
    tally = Tally(source.counted_by)
    (part,) = source.parts(directory, source.input_splits[0])
    return list(tally.pass_on(part.records())), tally.found


def test_the_source_is_one_whose_requests_are_questions_and_contexts() -> None:
    assert isinstance(SquadSource(), Source)
    served = {key for key, feature in SquadSource().features.items() if feature.served}
    assert served == {QUESTION, CONTEXT}
    assert all(record.keys() == served for record in SquadSource().sample(5, seed=0))
    assert (
        SquadSource().sample(5, seed=0) == SquadSource().sample(5, seed=0) != SquadSource().sample(5, seed=1)
    )


def test_a_question_becomes_a_record_of_the_declared_features(tmp_path: Path) -> None:
    source = write(tmp_path, question(0, Answer("the Rhine", 13), Answer("Rhine", 17)))
    (record,), found = found_in(tmp_path, source)
    assert record.keys() == source.features.keys()
    assert record == {
        ID: b"q0",
        TITLE: b"Cities",
        PARAGRAPH: record[PARAGRAPH],
        LENGTH: b"1-256",
        QUESTION_WORD: b"which",
        QUESTION: "On which river does Köln lie?".encode(),
        CONTEXT: CONTEXT_TEXT.encode(),
        ANSWERS: [b"the Rhine", b"Rhine"],
        ANSWER_STARTS: [13, 17],
        IS_IMPOSSIBLE: 0,
    }
    assert found == Found(Counter({b"": 1}))


def test_questions_are_of_one_paragraph_where_their_texts_are_equal(tmp_path: Path) -> None:
    source = write(
        tmp_path, question(0), question(1, title="Rivers"), question(2, context=f"{CONTEXT_TEXT} Yes.")
    )
    first, second, third = (record[PARAGRAPH] for record in found_in(tmp_path, source)[0])
    assert first == second != third


@pytest.mark.parametrize(
    ("answers", "kept", "kinds"),
    [
        ((Answer("the Rhine", 0),), [("the Rhine", 13)], {MOVED: 1}),
        ((Answer("THE  Rhine", 13),), [("the Rhine", 13)], {RESPELLED: 1}),
        ((Answer("Main", 0), Answer("Rhine", 17)), [("Rhine", 17)], {ONE_NOT_FOUND: 1}),
        (
            (Answer("Danube", 17), Answer("RHINE", 0), Answer("Ulm", 24)),
            [("Danube", 40), ("Rhine", 17), ("Ulm", 24)],
            {MOVED: 1, RESPELLED: 1},
        ),
    ],
)
def test_answers_are_repaired_or_left_out_and_counted(
    tmp_path: Path, answers: tuple[Answer, ...], kept: list[tuple[str, int]], kinds: dict[str, int]
) -> None:
    source = write(tmp_path, question(0, *answers))
    (record,), found = found_in(tmp_path, source)
    assert [text.decode() for text in record[ANSWERS]] == [text for text, _ in kept]
    assert record[ANSWER_STARTS] == [start for _, start in kept]
    assert (found.kinds, found.num_bad) == (kinds, 0)


@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [
        (
            question(0, Answer("Main", 3), Answer("Elbe", 3)),
            NOT_FOUND,
            "answers[0].text: expected a part of the context, got 'Main'",
        ),
        (question(0, answers=()), UNANSWERED, "expected an answer, as in version 1.1, got none"),
        (question(0, question=" "), "empty questions or contexts", "expected a question and a context"),
    ],
)
def test_what_cannot_be_used_is_a_bad_record_by_its_reason(
    tmp_path: Path, bad: Question, kind: str, message: str
) -> None:
    records, found = found_in(tmp_path, write(tmp_path, bad, question(1)))
    assert [record[ID] for record in records] == [b"q1"]
    assert (found.num_bad, found.kinds) == (1, {kind: 1})
    assert found.first_bad.startswith(f"{tmp_path}/train-v1.1.json: data[0].paragraphs[0].qas[0]")
    assert message in found.first_bad


def test_version_2_has_impossible_questions_but_none_that_merely_lacks_its_answer(tmp_path: Path) -> None:
    impossible = question(0, answers=(), is_impossible=True)
    records, found = found_in(tmp_path, write(tmp_path, impossible, question(1, answers=()), version=V2))
    assert [(record[ID], record[IS_IMPOSSIBLE], record[ANSWERS]) for record in records] == [(b"q0", 1, [])]
    assert (found.num_bad, found.kinds) == (1, {UNANSWERED: 1})


def test_a_file_of_any_name_may_have_impossible_questions_unless_the_version_says_otherwise(
    tmp_path: Path,
) -> None:
    write_squad(tmp_path / "my.json", [question(0, answers=(), is_impossible=True)], V2)
    names = {"train_file": "my.json", "eval_file": "my.json"}
    for version, count in (("auto", 1), ("2.0", 1), ("1.1", 0)):
        source = SquadSource(**names, version=version)
        assert len(found_in(tmp_path, source)[0]) == count


@pytest.mark.parametrize("version", ["1.1", "2.0"])
def test_the_version_that_is_there_is_read(tmp_path: Path, version: str) -> None:
    source = write(tmp_path, question(0), version=version)
    source.check(tmp_path)
    files = [part.file for split in source.input_splits for part in source.parts(tmp_path, split)]
    assert files == [f"train-v{version}.json", f"dev-v{version}.json"]


def test_which_of_two_versions_is_read_has_to_be_said(tmp_path: Path) -> None:
    write(tmp_path, question(0))
    write(tmp_path, question(0), question(1), version=V2)
    several = r"expected one file, or `version` to tell which, got train-v1.1.json and train-v2.0.json"
    with pytest.raises(FormatError, match=several):
        SquadSource().check(tmp_path)
    assert len(found_in(tmp_path, SquadSource(version="2.0"))[0]) == 2


def test_files_are_read_from_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "SQuAD").mkdir()
    source = write(tmp_path / "SQuAD", question(0))
    source.check(tmp_path)
    assert source.raw_files(str(tmp_path), source.input_splits[0]) == [f"{tmp_path}/SQuAD/train-v1.1.json"]


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    for source, names in (
        (SquadSource(), "train-v1.1.json or train-v2.0.json"),
        (SquadSource(version="2.0"), "train-v2.0.json"),
        (SquadSource(train_file="my.jsonl"), "my.jsonl"),
    ):
        with pytest.raises(FormatError) as caught:
            source.check(tmp_path)
        assert str(caught.value) == f"{tmp_path}: expected {names}, got an empty folder"
    (tmp_path / "train-v1.1.json.txt").touch()
    with pytest.raises(FormatError, match=r"train-v2.0.json, got only train-v1.1.json.txt$"):
        SquadSource().check(tmp_path)


def test_a_file_without_any_good_question_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"train-v1.1.json: expected at least one good question, got none"):
        write(tmp_path, question(0, Answer("Main", 0))).check(tmp_path)


@pytest.mark.parametrize("name", ["*.json", "../a.json", ""])
def test_a_name_is_no_pattern(name: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="train_file"):
        SquadSource(train_file=name)


def test_the_other_file_is_a_test_where_a_part_of_the_training_questions_validates() -> None:
    source = SquadSource(validation_fraction=0.1)
    assert [name for split in source.input_splits for name in split.names] == ["train", "eval", "test"]
    assert source.evaluation_split == "test"
    assert SquadSource().evaluation_split == "eval"


def test_questions_about_one_paragraph_stay_on_one_side(tmp_path: Path) -> None:
    questions = [question(i, context=f"{CONTEXT_TEXT} {i // 5}") for i in range(200)]
    source = write(tmp_path, *questions)
    (part,) = source.parts(tmp_path, source.input_splits[0])
    outputs = {split: str(tmp_path / split) for split in ("train", "eval")}
    (tmp_path / "attempts").mkdir()
    shard = Shard(part, 0, outputs, 0.3, source.group_key, source.counted_by, str(tmp_path / "attempts"))
    counts = write_shard(shard).splits
    assert sum(counts.values()) == 200
    # Of 40 paragraphs of 5: binomial with p = 0.3, 12 ± 2.9.
    assert all(count % 5 == 0 for count in counts.values())
    assert 3 * 5 <= counts["eval"] <= 21 * 5


def test_too_large_a_share_of_bad_questions_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, question(0, Answer("Main", 0)), *(question(i) for i in range(1, 10)))
    _, found = found_in(tmp_path, source)
    with pytest.raises(FormatError, match=r"'Main' \(the first of 1 of 10, above max_bad_share 0.01\)$"):
        source.check_found("train-v1.1.json", found)
    source.override({"max_bad_share": 0.1}, "source").check_found("train-v1.1.json", found)


def test_repairs_and_what_is_left_out_are_told_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write(
        tmp_path,
        question(0, Answer("the Rhine", 0)),
        question(1, Answer("Rhine", 0), Answer("RHINE", 17)),
        question(2, Answer("Main", 0)),
        question(3),
    ).override({"max_bad_share": 0.5}, "source")
    with caplog.at_level(logging.WARNING):
        source.check_found("train-v1.1.json", found_in(tmp_path, source)[1])
        source.check_found("dev-v1.1.json", Found(Counter({b"": 3})))
    (told,) = [record.getMessage() for record in caplog.records]
    assert told == (
        "train-v1.1.json: repaired answers: 2 moved to where their text is, "
        "1 found but for letter case and white space; left out: questions whose answer is not in the "
        f"context (1); such as {tmp_path}/train-v1.1.json: "
        "data[0].paragraphs[0].qas[2].answers[0].text: expected a part of the context, got 'Main'"
    )


def test_a_repair_is_shown_with_both_places(tmp_path: Path) -> None:
    _, found = found_in(tmp_path, write(tmp_path, question(0, Answer("THE rhine", 5))))
    place = f"{tmp_path}/train-v1.1.json: data[0].paragraphs[0].qas[0].answers[0]"
    assert found.first_note == f"{place}: expected 'THE rhine' at 5, got 'the Rhine' at 13"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("In what year was it?", "what"),
        ("WHOSE idea was it?", "who"),
        ("To whom?", "who"),
        ("How many of those which came stayed?", "how"),
        ("Somewhat later?", "other"),
        ("谁?", "other"),
    ],
)
def test_the_first_word_that_asks_tells_what_for(text: str, word: str) -> None:
    assert question_word(text) == word


def test_lengths_are_told_in_characters(tmp_path: Path) -> None:
    contexts = ["the Rhine " + "ö" * (size - 10) for size in (256, 257, 1024, 2048, 2049)]
    source = write(tmp_path, *(question(i, context=text) for i, text in enumerate(contexts)))
    lengths = [record[LENGTH].decode() for record in found_in(tmp_path, source)[0]]
    assert lengths == ["1-256", "257-512", "513-1024", "1025-2048", "2049+"]


def test_json_lines_are_read_as_well(tmp_path: Path) -> None:
    line = {"question": "Where?", "context": CONTEXT_TEXT, "answers": [{"text": "Main", "answer_start": 0}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    assert list(SquadPart(tmp_path / "a.jsonl", True).records()) == [
        BadRecord(
            f"{tmp_path}/a.jsonl: line 1.answers[0].text: expected a part of the context, got 'Main'",
            NOT_FOUND,
        )
    ]


def test_real_files_are_all_good(real_data: Path) -> None:
    source, directory = SquadSource(), real_data / "squad"
    source.check(directory)
    parts = [part for split in source.input_splits for part in source.parts(directory, split)]
    records = [list(part.records()) for part in parts]
    assert [len(found) for found in records] == [925, 138]
    assert not any(isinstance(record, (BadRecord, Note)) for found in records for record in found)
    for record in [*records[0], *records[1]]:
        context = record[CONTEXT].decode()
        for text, start in zip(record[ANSWERS], record[ANSWER_STARTS], strict=True):
            assert context.startswith(text.decode(), start)
    assert len({record[PARAGRAPH] for record in records[0]}) == 180
