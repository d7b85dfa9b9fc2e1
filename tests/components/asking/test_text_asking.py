from pathlib import Path

import pytest

from components.asking.texts import NoRows, TextAsking
from components.features import TEXT_A, TEXT_B
from components.formats.errors import FormatError
from components.protocols import Given
from pipelines.tasks.cola import COLA
from pipelines.tasks.mnist import MNIST


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
        ((TEXT_A, TEXT_B), ["a", "b"], [], "expected pairs of texts, got 2 single texts"),
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
