import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.protocols import Given
from pipelines.prediction.given import GivenError, read_given
from pipelines.tasks.cola import COLA
from pipelines.tasks.lits import LITS
from pipelines.tasks.mnist import MNIST
from pipelines.tasks.squad import SQUAD


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "rome.txt"
    path.write_text("Rome fell. Zoë, too.\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("form", ["--context {}", "--context={}", "--field context=@{}"])
def test_a_field_may_be_a_file(text: Path, form: str) -> None:
    words = form.format(text).split()
    assignments = words[1:] if words[0] == "--field" else []
    given = read_given(SQUAD.asking, ["Who?", *([] if assignments else words)], None, assignments)
    assert given == Given(["Who?"], None, {"context": "Rome fell. Zoë, too.\n"})


@pytest.mark.parametrize("form", ["--spacing_mm 3,2,2", "--spacing_mm=3,2,2", "--field spacing_mm=3,2,2"])
def test_a_short_field_is_its_value(form: str) -> None:
    words = form.split()
    assignments = words[1:] if words[0] == "--field" else []
    given = read_given(LITS.asking, ["a.npy", *([] if assignments else words)], None, assignments)
    assert given == Given(["a.npy"], None, {"spacing_mm": "3,2,2"})


@pytest.mark.parametrize(("words", "assignments"), [(["--context", "-"], []), ([], ["context=-"])])
def test_a_field_may_be_standard_input(
    monkeypatch: pytest.MonkeyPatch, words: list[str], assignments: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("Zoë.".encode())))
    assert read_given(SQUAD.asking, words, None, assignments).fields == {"context": "Zoë."}
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"Zo\xeb.")))
    with pytest.raises(GivenError, match="standard input: expected UTF-8, got 0xeb"):
        read_given(SQUAD.asking, words, None, assignments)


def test_a_field_may_be_a_text_and_an_input_begin_with_a_hyphen() -> None:
    given = read_given(SQUAD.asking, ["-5 or", "--a sentence"], None, ["context=a=b"])
    assert given == Given(["-5 or", "--a sentence"], None, {"context": "a=b"})


@pytest.mark.parametrize(
    ("asking", "words", "assignments", "message"),
    [
        (
            SQUAD.asking,
            ["--contxt=F"],
            [],
            "no such option: --contxt; the task takes a question and --context F",
        ),
        (SQUAD.asking, [], ["contxt=a"], "--field contxt=a: unknown field 'contxt'; did you mean 'context'?"),
        (SQUAD.asking, ["--context"], [], "--context: expected a file, or - for standard input"),
        (LITS.asking, ["--spacing_mm"], [], "--spacing_mm: expected a value, or - for standard input"),
        (SQUAD.asking, [], ["context"], "--field context: expected NAME=VALUE"),
        (SQUAD.asking, ["--context", "none.txt"], [], "none.txt: cannot be read: No such file or directory"),
        (
            MNIST.asking,
            ["--context", "F"],
            [],
            "no such option: --context; the task takes a .png, .jpg or .npy file",
        ),
        (MNIST.asking, [], ["context=F"], "--field context=F: the task takes no fields"),
        (MNIST.asking, ["a.png", ""], [], "INPUT: expected more than white space, got ''"),
        (COLA.asking, [" \n"], [], r"INPUT: expected more than white space, got ' \\n'"),
        (SQUAD.asking, ["Who?"], ["context= "], "context: expected more than white space, got ' '"),
    ],
)
def test_a_mistake_is_named(asking: object, words: list[str], assignments: list[str], message: str) -> None:
    with pytest.raises(GivenError, match=message.replace("?", r"\?")):
        read_given(asking, words, None, assignments)


def test_texts_are_apart_from_what_may_be_a_file() -> None:
    assert read_given(COLA.asking, ["a"], None, [], ["b"]) == Given(["a"], texts=["b"])
    with pytest.raises(GivenError, match="INPUT: expected more than white space, got ''"):
        read_given(COLA.asking, ["a"], None, [], [""])


def test_a_field_that_is_the_name_of_a_file_is_a_warning(
    text: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_given(SQUAD.asking, ["Who?"], None, [f"context={text}"]).fields == {"context": str(text)}
    (record,) = caplog.records
    assert record.getMessage() == f"{text}: is a file, but its name is taken as the text; @{text} reads it"
