"""One task as its users meet it."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from json_documents import document
from pydantic import Field

from components.config import Config
from pipelines.cli import main as cli
from pipelines.cli.meaning import meanings
from pipelines.cli.task_tables import describe
from pipelines.tasks import TASKS


class Parent(Config):
    # Of the parent.
    first: int = 1
    inherited: int = 2  # behind it


class Section(Parent):
    """Settings of all kinds."""

    # Above it, in two
    # lines.
    first: int = 3
    described: int = Field(1, description="What it is.")
    # The description counts.
    both: int = Field(1, description="Told.")
    plain: int = 4

    several: tuple[int, ...] = (
        1,
        2,
    )  # über mehrere Zeilen

    def method(self) -> int:
        # No setting.
        return 1


def test_settings_mean_what_is_written_beside_them() -> None:
    assert meanings(Section) == {
        "first": "Above it, in two lines.",
        "inherited": "behind it",
        "described": "What it is.",
        "both": "Told.",
        "several": "über mehrere Zeilen",
    }


def test_a_section_without_a_file_has_its_descriptions() -> None:
    names: dict[str, Any] = {"Config": Config, "Field": Field, "__name__": "nowhere"}
    exec(textwrap.dedent("""
        class Typed(Config):
            # Lost.
            a: int = 1
            b: int = Field(1, description="Kept.")
    """), names)  # fmt: skip
    assert meanings(names["Typed"]) == {"b": "Kept."}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_a_task_is_described(task: Any) -> None:
    told = describe(task)
    assert {file["split"] for file in told["files"]} >= {"train", "eval"}
    assert told["settings"]["train.num_epochs"]["default"] == task.override({}).train.num_epochs
    assert told["settings"]["train.num_steps"]["meaning"] == "Optimizer steps; overrides num_epochs."
    assert told["settings"]["push.keep_versions"]["default"] == 5
    assert all(feature["dtype"] for feature in told["features"].values())


def test_a_task_is_shown_without_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys; from pipelines.cli import main as cli\n"
        "try: cli.main(['tasks', 'show', 'cola'])\n"
        "finally: print('HEAVY', [n for n in ('tensorflow', 'tfx', 'keras') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "cola: Is an English sentence acceptable?"
    assert "train\ttrain.tsv" in lines
    assert "text_a\tbytes\tyes" in lines
    assert (
        "model.layer_decay\t1.0\tEach layer's learning rate as a fraction of that of the one above." in lines
    )
    assert lines[-1] == "HEAVY []"


def test_signatures_are_told_where_they_are_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["--signatures"]):
        with pytest.raises(SystemExit):
            cli.main(["tasks", "show", "mnist", "--json", *options])
        told = document("shown_task", capfd.readouterr().out)
        signatures = told["signatures"] or {}
        assert sorted(signatures) == (["classify", "png"] if options else [])
    assert signatures["png"] == {"png_bytes": {"dtype": "string", "shape": [None]}}


def test_a_misspelled_verb_of_tasks_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["tasks", "shwo", "cola"])
    assert "no such command 'tasks shwo'; did you mean 'tasks show'?" in capfd.readouterr().err
