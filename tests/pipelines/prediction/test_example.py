"""The first question that a command line proposes is one that can be asked."""

from pathlib import Path

import pytest

from components.formats.tsv import write_tsv
from pipelines.datasets import catalog
from pipelines.prediction.example import example_words
from pipelines.prediction.given import read_given
from pipelines.tasks import TASKS


def asked(task: str, words: list[str]) -> list[str]:
    """What the rows are called that these words ask about."""
    asking, rows = TASKS[task].fitted_asking, None
    if words[0] == "--pairs":
        rows, words = Path(words[1]), words[2:]
    fields = words[words.index("--field") + 1 :] if "--field" in words else []
    inputs = words[: words.index("--field")] if fields else words
    given = read_given(asking, inputs, rows, fields)
    return [name for question in asking.questions(given) for name in question.names]


def test_a_sentence_of_the_data_is_asked_about(tmp_path: Path) -> None:
    write_tsv(tmp_path / "train.tsv", [("made", "1", "", "The doctor smiles.")])
    write_tsv(
        tmp_path / "dev.tsv", [("made", "0", "*", "Doctor's smile the."), ("made", "1", "", "It rains.")]
    )
    words = example_words(TASKS["cola"], str(tmp_path), tmp_path / "examples")
    assert words == asked("cola", words) == ["Doctor's smile the."]


def test_a_pair_of_the_data_is_written_as_a_row(tmp_path: Path) -> None:
    catalog.make("mrpc", tmp_path)
    words = example_words(TASKS["mrpc"], str(tmp_path), tmp_path / "examples")
    assert words == ["--pairs", str(tmp_path / "examples/mrpc.tsv")]
    row = (tmp_path / "dev.tsv").read_text().splitlines()[1].split("\t")
    assert asked("mrpc", words) == [" | ".join(row[3:])]


def test_an_image_of_the_data_is_written_as_a_png(tmp_path: Path) -> None:
    catalog.make("mnist", tmp_path)
    words = example_words(TASKS["mnist"], str(tmp_path), tmp_path / "examples")
    assert words == asked("mnist", words) == [str(tmp_path / "examples/mnist.png")]


def test_a_question_has_its_context(tmp_path: Path) -> None:
    words = example_words(TASKS["squad"], str(tmp_path), tmp_path / "examples")
    assert asked("squad", words) == words[:1]
    assert words[1] == "--field"


@pytest.mark.parametrize("data", ["/nowhere", "gs://bucket/data"])
def test_where_there_is_no_example_a_word_stands_for_it(tmp_path: Path, data: str) -> None:
    assert example_words(TASKS["mnist"], data, tmp_path) == ["INPUT"]
    assert example_words(TASKS["mrpc"], data, Path("/dev/null/x")) == ["INPUT"]
