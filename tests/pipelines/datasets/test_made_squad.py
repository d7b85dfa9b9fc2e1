"""Made questions: of both versions, answered by their contexts and by nothing else."""

from collections import Counter
from pathlib import Path

import pytest

from components.config import ConfigError
from components.features import ANSWER_STARTS, ANSWERS, CONTEXT, ID, IS_IMPOSSIBLE, PARAGRAPH, QUESTION
from components.protocols import BadRecord, Note
from components.sources.squad import SquadSource
from pipelines.datasets import catalog

VERSIONS = ("1.1", "2.0")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each version."""
    root = tmp_path_factory.mktemp("made")
    for version in VERSIONS:
        catalog.make(catalog.of_version("squad", version), root / version)
    return root


def records(directory: Path, split: int) -> list[dict]:
    source = SquadSource()
    return [
        record for part in source.parts(directory, source.input_splits[split]) for record in part.records()
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_made_files_are_read_without_a_fault(made: Path, version: str) -> None:
    SquadSource().check(made / version)
    found = [records(made / version, split) for split in (0, 1)]
    assert [len(part) for part in found] == [6000, 400]
    assert not any(isinstance(record, (BadRecord, Note)) for part in found for record in part)
    assert len({record[ID] for part in found for record in part}) == 6400


@pytest.mark.parametrize("version", VERSIONS)
def test_training_questions_have_one_answer_others_three_and_impossible_ones_none(
    made: Path, version: str
) -> None:
    for split, count in ((0, 1), (1, 3)):
        answers = Counter((r[IS_IMPOSSIBLE], len(r[ANSWERS])) for r in records(made / version, split))
        assert set(answers) == {(0, count)} | ({(1, 0)} if version == "2.0" else set())
        if version == "2.0":
            # A third of 400: 132 ± 10.
            assert 0.25 < answers[1, 0] / answers.total() < 0.42


def test_the_facts_asked_for_are_told_once_and_others_not_at_all(made: Path) -> None:
    for record in records(made / "2.0", 1):
        question, context = record[QUESTION].decode(), record[CONTEXT].decode()
        if question.startswith("Who rules "):
            told = f"{question.removeprefix('Who rules ').removesuffix('?')} is ruled by "
            assert context.count(told) == 1 - record[IS_IMPOSSIBLE]
            if not record[IS_IMPOSSIBLE]:
                assert context.startswith(told, record[ANSWER_STARTS][0] - len(told))


def test_a_context_does_not_tell_which_of_its_facts_is_asked_for(made: Path) -> None:
    by_paragraph = Counter(record[PARAGRAPH] for record in records(made / "1.1", 0))
    questions = {(record[PARAGRAPH], record[QUESTION]) for record in records(made / "1.1", 0)}
    assert set(by_paragraph.values()) == {4}
    assert len(questions) == 6000


def test_some_contexts_are_longer_than_a_window_and_some_have_other_letters(made: Path) -> None:
    contexts = {record[CONTEXT].decode() for record in records(made / "1.1", 0)}
    long = sum(len(context.split()) > 384 for context in contexts)
    # Of 1,500, one in 50: 30 ± 6.
    assert 12 <= long <= 48
    answers = {text.decode() for record in records(made / "1.1", 1) for text in record[ANSWERS]}
    assert any("青" <= character <= "龥" for text in answers for character in text)
    assert any(character in text for text in answers for character in "éöøç")


def test_the_same_questions_are_made_every_time(made: Path, tmp_path: Path) -> None:
    catalog.make("squad", tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["dev-v1.1.json", "train-v1.1.json"]
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (made / "1.1" / file.name).read_bytes()


def test_no_paragraph_is_in_both_files(made: Path) -> None:
    train, dev = ({record[PARAGRAPH] for record in records(made / "1.1", split)} for split in (0, 1))
    assert not train & dev


def test_a_version_has_its_own_files_to_make_and_to_download() -> None:
    assert catalog.of_version("squad", None) == catalog.of_version("squad", "1.1") == "squad"
    for version in VERSIONS:
        files = catalog.DOWNLOADS[catalog.of_version("squad", version)].files
        assert [file.name for file in files] == [f"train-v{version}.json", f"dev-v{version}.json"]
        assert all(len(bytes.fromhex(file.sha256)) == 32 for file in files)


@pytest.mark.parametrize(
    ("task", "version", "message"),
    [
        ("squad", "2", r"unknown version of squad '2'; did you mean '2.0'\? known: 1.1, 2.0"),
        ("mnist", "2.0", r"unknown version of mnist '2.0'; known: no other"),
    ],
)
def test_an_unknown_version_is_refused_with_the_known_ones(task: str, version: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        catalog.of_version(task, version)
