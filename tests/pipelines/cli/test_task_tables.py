"""One task as its users meet it."""

import re
import subprocess
import sys
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
    first: int = Field(1, description="Of the parent.")
    second: int = Field(2, description="Of the parent, too.")
    inherited: int = Field(3, description="Inherited.")


class Section(Parent):
    # A comment is for who reads the code.
    first: int = 4
    second: int = Field(5, description="Told anew.")
    plain: int = 6


def test_a_setting_that_is_declared_anew_keeps_its_meaning_or_has_another() -> None:
    told = {"first": "Of the parent.", "second": "Told anew.", "inherited": "Inherited."}
    assert meanings(Section) == told


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_a_task_is_described(task: Any) -> None:
    told = describe(task)
    assert {file["split"] for file in told["files"]} >= {"train", "eval"}
    assert told["settings"]["train.num_epochs"]["default"] == task.override({}).train.num_epochs
    assert told["settings"]["train.num_steps"]["meaning"] == "Optimizer steps; overrides num_epochs."
    assert told["settings"]["push.keep_versions"]["default"] == 5
    assert all(feature["dtype"] for feature in told["features"].values())


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_every_setting_of_a_task_says_what_it_means(task: Any) -> None:
    settings = describe(task)["settings"]
    assert [name for name, setting in settings.items() if not setting["meaning"]] == []
    # One line that a shell shows beside the name: a sentence.
    meanings = [setting["meaning"] for setting in settings.values()]
    assert [text for text in meanings if not re.fullmatch(r"\S.*[.…]", text) or len(text) > 110] == []


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
