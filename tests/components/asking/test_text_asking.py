from pathlib import Path

import pytest

from components.asking.texts import NoRows, TextAsking
from components.features import CONTEXT, TEXT_A, TEXT_B
from components.formats.errors import FormatError
from components.protocols import Given
from components.task import Task
from pipelines.tasks.cola import COLA
from pipelines.tasks.mnist import MNIST
from pipelines.tasks.mrpc import MRPC
from pipelines.tasks.squad import SQUAD


def test_texts_and_pairs_are_asked_about() -> None:
    signature, inputs = TextAsking().read_texts(["One.", "李"], [])
    assert signature == "text"
    assert {key: value.tolist() for key, value in inputs.items()} == {TEXT_A: [b"One.", "李".encode()]}
    signature, inputs = TextAsking(text_features=(TEXT_A, TEXT_B)).read_texts([], [("a", "b"), ("c", "d")])
    assert {key: value.tolist() for key, value in inputs.items()} == {
        TEXT_A: [b"a", b"c"],
        TEXT_B: [b"b", b"d"],
    }


@pytest.mark.parametrize(
    ("keys", "texts", "pairs", "message"),
    [
        ((TEXT_A,), [], [], "expected single texts, got none"),
        ((TEXT_A,), ["a"], [("b", "c")], "expected single texts, got 1 pairs of texts"),
        (
            (TEXT_A, TEXT_B),
            ["a", "b"],
            [],
            "expected pairs of texts, in a file: --pairs FILE, got 2 single texts",
        ),
    ],
)
def test_what_a_task_has_no_use_for_is_rejected(
    keys: tuple[str, ...], texts: list[str], pairs: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        TextAsking(text_features=keys).read_texts(texts, pairs)


def test_texts_given_and_rows_of_a_file_are_asked_about_together(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("The book.\nBook the.\n")
    (question,) = COLA.fitted_asking.questions(Given(["A text."], path))
    assert question.names == ["A text.", "The book.", "Book the."]


def test_a_file_of_rows_is_refused_where_the_source_reads_none(tmp_path: Path) -> None:
    task = COLA.model_copy(update={"source": MNIST.source})
    with pytest.raises(NoRows, match=r"--pairs .*rows.tsv: expected a task whose source reads texts"):
        list(task.fitted_asking.questions(Given(["A text."], tmp_path / "rows.tsv")))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(("task", "fields"), [(COLA, {}), (SQUAD, {CONTEXT: "Zoë fell."})])
def test_a_text_that_is_the_name_of_a_file_is_asked_about_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, task: Task, fields: dict[str, str]
) -> None:
    path = tmp_path / "digit.png"
    path.touch()
    given = [str(path), "A text.", str(tmp_path)]
    (question,) = task.fitted_asking.questions(Given(given, fields=fields))
    assert question.names == given
    told = "but its name is asked about as a text; --text says that it is meant"
    assert warnings(caplog) == [f"{path}: is a file, {told}", f"{tmp_path}: is a folder, {told}"]


@pytest.mark.parametrize(("task", "fields"), [(COLA, {}), (SQUAD, {CONTEXT: "Zoë fell."})])
def test_what_is_said_to_be_a_text_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, task: Task, fields: dict[str, str]
) -> None:
    path = tmp_path / "questions.json"
    path.touch()
    (question,) = task.fitted_asking.questions(Given(["A text."], fields=fields, texts=[str(path)]))
    assert question.names == ["A text.", str(path)]
    assert warnings(caplog) == []


def test_bytes_that_are_no_text_are_refused() -> None:
    # As Python has an argument that is not UTF-8.
    with pytest.raises(FormatError, match=r"^caf\?: expected UTF-8, got other bytes$"):
        list(COLA.fitted_asking.questions(Given(["caf\udce9"])))


def test_pairs_are_said_to_come_from_a_file() -> None:
    expected = "expected pairs of texts, in a file: --pairs FILE, got 2 single texts"
    with pytest.raises(FormatError, match=expected):
        list(MRPC.fitted_asking.questions(Given(["a", "b"])))
