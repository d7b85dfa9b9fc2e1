"""`millrace init`: what it takes, what it asks, and what it refuses."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pseudo_terminal
import pytest
from json_documents import document

from pipelines.cli import main as cli

REVIEWS = "id,review,stars\n" + "".join(
    f'{number},"It is {"fine" if number % 3 else "dull"}, they said.",{1 + 9 * (number % 3 > 0)}\n'
    for number in range(30)
)

GIVEN = "--text review --label stars"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with reviews.csv."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text(REVIEWS)
    return tmp_path


def millrace(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main([*arguments])
    return int(stop.value.code or 0), *capfd.readouterr()


def declared(project: Path, package: str) -> str:
    return (project / package / "task.py").read_text()


def test_columns_that_are_given_make_a_project(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ("init", "my-reviews", "--from", "reviews.csv", "--text", "review", "--label", "stars")
    code, out, err = millrace(capfd, *arguments, "--json")
    assert (code, err) == (0, "")
    told = document("init", out)
    assert told["reference"] == "my_reviews.task:TASK"
    assert f"run my_reviews.task:TASK --data {here} --config config.yaml" in told["command"]
    project = here / "my-reviews"
    assert told["project"] == str(project)
    written = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert written == {
        ".dockerignore", ".github/workflows/ci.yml", ".gitignore", "Dockerfile", "README.md", "config.yaml",
        "my_reviews/__init__.py", "my_reviews/task.py", "pyproject.toml", "tests/data/reviews.csv",
        "tests/test_task.py",
    }  # fmt: skip
    text = declared(project, "my_reviews")
    # Numbers in their order, of which "10" is no text before "1".
    assert 'labels=("1", "10"),' in text
    assert 'train="reviews.csv",' in text
    # 20 of 30 are fine; a fifth of the rest has to be gained.
    assert "# The most frequent label alone reaches 0.67." in text
    assert "threshold=0.73" in text
    assert "evaluation=" not in text.partition("preprocessing=")[0]
    ast.parse(text)
    sample = (project / "tests/data/reviews.csv").read_text().splitlines()
    # A header, and twelve rows of one label and the ten of the other.
    assert sample[0] == "review,stars"
    assert len(sample) == 1 + 12 + 10
    assert not [path for path in here.iterdir() if path.name.startswith(".")]


def test_a_project_is_formatted_as_this_one_and_nothing_is_left_to_fill_in(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    millrace(capfd, "init", "my-reviews", "--from", "reviews.csv", "--text", "review", "--label", "stars")
    project = here / "my-reviews"
    ruff = Path(sys.executable).with_name("ruff")
    for verb in (["format", "--check"], ["check", "--select", "E,F,I"]):
        call = [ruff, *verb, "--isolated", "--no-cache", "--line-length", "110", "."]
        done = subprocess.run(call, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    workflow = (project / ".github/workflows/ci.yml").read_text()
    assert "IMAGE: ${{ vars.MILLRACE_IMAGE }}" in workflow
    for path in project.rglob("*"):
        assert not path.is_file() or path.name == "ci.yml" or "$$" not in path.read_text()


def test_a_pair_of_a_semicolon_separated_file(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [f"question {n};answer, {n};{'yes' if n % 2 else 'no'}" for n in range(6)]
    (here / "pairs.csv").write_text("\n".join(["a;b;fits", *rows]) + "\n")
    arguments = ("--from", "pairs.csv", "--text", "a", "--text2", "b", "--label", "fits")
    assert millrace(capfd, "init", "pairs_task", *arguments)[0] == 0
    text = declared(here / "pairs_task", "pairs_task")
    for part in ('text_b="b",', 'delimiter=";",', "text_features=(TEXT_A, TEXT_B)", "LENGTH, TEXT_A, TEXT_B"):
        assert part in text
    assert (here / "pairs_task/tests/data/pairs.csv").read_text().splitlines()[1] == "question 0;answer, 0;no"


def test_a_file_to_evaluate_on_is_kept_apart(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "dev.csv").write_text(REVIEWS)
    arguments = ("--from", "reviews.csv", "--text", "review", "--label", "stars", "--eval")
    assert millrace(capfd, "init", "kept", *arguments, "dev.csv")[0] == 0
    assert 'evaluation="dev.csv",' in declared(here / "kept", "kept")
    assert (here / "kept/tests/data/dev.csv").exists()
    code, _, err = millrace(capfd, "init", "other", *arguments, "reviews.csv")
    assert (code, "expected another file in the folder of reviews.csv" in err) == (2, True)


def test_numbers_make_a_project_of_scores(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert (
        millrace(capfd, "init", "scored", "--from", "reviews.csv", "--text", "review", "--score", "stars")[0]
        == 0
    )
    text = declared(here / "scored", "scored")
    assert "_RANGE = (1.0, 10.0)" in text
    assert "labels=" not in text
    ast.parse(text)


def test_bad_rows_are_left_out_and_told(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "reviews.csv").write_text(REVIEWS + "30,,1\n31,text\n")
    code, _, err = millrace(
        capfd, "init", "bad_rows", "--from", "reviews.csv", "--text", "review", "--label", "stars"
    )
    assert code == 0
    assert "left out as bad rows: 2; the first: reviews.csv:32: expected a text as review, got none" in err
    assert "max_bad_rows=2," in declared(here / "bad_rows", "bad_rows")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("x --from none.csv --text a --label b", "--from none.csv: no such file or folder"),
        ("x --from reviews.txt --text a --label b", "reviews.txt: expected a name that ends in .csv"),
        ("x --from reviews.csv --text a --label stars", "columns id, review, stars, got 'a'"),
        ("x --from reviews.csv --label stars", "--text: expected one of the columns id, review, stars"),
        ("x --from reviews.csv --text stars --label stars", "expected different columns, got stars, stars"),
        ("x --from empty.csv GIVEN", "empty.csv:1: expected a header, got an empty file"),
        ("x --from same.csv GIVEN", "same.csv: expected 2 to 100 different labels as stars, got 1"),
        ("x --from many.csv GIVEN", "different labels as stars, got more than 100"),
        ("x --from reviews.csv --text stars --score review", "different numbers as review, got others"),
        ("x --from reviews.csv GIVEN --score id", "expected --label or --score, got both"),
        ("x --from reviews.csv GIVEN --size 8", "init: --size goes with a folder of images as --from"),
        ("x --from there GIVEN", "init: --text goes with a file as --from"),
        ("x --from there --labels a,b", "init: --labels goes with a folder of scans or idx files as --from"),
        ("x --from there", "there: expected a folder of .png or .jpg images for each of two or more classes"),
        ("mnist --from reviews.csv GIVEN", "NAME: expected a name that no task has, got 'mnist'"),
        ("numpy --from reviews.csv GIVEN", "NAME: expected a name that no Python package has"),
        ("My.Reviews --from reviews.csv GIVEN", "NAME: expected small letters, digits and dashes"),
        ("there --from reviews.csv GIVEN", "there: expected nothing of this name, got a folder"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    here: Path, capfd: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    (here / "there").mkdir()
    (here / "reviews.txt").write_text(REVIEWS)
    (here / "empty.csv").write_text("")
    (here / "same.csv").write_text("review,stars\na,1\nb,1\n")
    (here / "many.csv").write_text("\n".join(["review,stars", *(f"text,{n}" for n in range(120))]))
    before = sorted(here.rglob("*"))
    code, out, err = millrace(capfd, "init", *arguments.replace("GIVEN", GIVEN).split())
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("millrace: error: ")
    assert err.count("\n") == 1
    assert sorted(here.rglob("*")) == before


def test_a_project_that_cannot_be_written_leaves_nothing(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.projects import writing

    def fail(path: Path, content: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(writing, "_put", fail)
    arguments = ("--from", "reviews.csv", "--text", "review", "--label", "stars")
    assert millrace(capfd, "init", "never", *arguments)[0] == 2
    assert [path.name for path in here.iterdir()] == ["reviews.csv"]


def test_a_person_is_asked_and_may_agree_to_what_is_proposed(here: Path) -> None:
    code = (
        "import io, os, sys; from pipelines.cli import main as cli\n"
        "read, write = os.pipe(); os.write(write, b'\\nreview\\n'); os.close(write)\n"
        "answers = os.fdopen(read); answers.isatty = lambda: True; sys.stdin = answers\n"
        "cli.main(['init', 'asked', '--from', 'reviews.csv', '--json'])"
    )
    seen = pseudo_terminal.run(["-c", code], columns=200)
    assert seen.code == 0, seen.raw
    assert "column of the labels (id, review, stars) [stars]: " in seen.raw
    assert "column of the texts (id, review, stars) [review]: " in seen.raw
    assert json.loads(seen.raw[seen.raw.index("{") :])["task"] == "asked"
    assert (here / "asked/asked/task.py").exists()
