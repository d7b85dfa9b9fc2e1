"""Tasks that other packages declare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import foreign_package
import pytest

from components.config import ConfigError
from pipelines.tasks import TASKS, all_tasks, get_task, task_names

LETTERS = "letters.task:LETTERS"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder of sys.path."""
    yield from foreign_package.on_path(tmp_path, "letters", "others")


def test_a_task_is_found_by_the_name_of_its_entry_point(site: Path) -> None:
    foreign_package.write(site, {"letters": LETTERS})
    assert get_task("letters").summary == "Letters"
    assert get_task("letters").reference == "letters"
    assert all_tasks().tasks["letters"] == get_task("letters")
    assert all_tasks().tasks.keys() - {"letters"} == TASKS.keys()


def test_a_dash_is_as_good_as_an_underscore(site: Path) -> None:
    foreign_package.write(site, {"my_letters": LETTERS})
    task = site / "letters" / "task.py"
    task.write_text(task.read_text().replace('"letters"', '"my_letters"'))
    assert get_task("my-letters").name == "my_letters"


def test_a_task_is_found_where_it_is_and_remembers_that(site: Path) -> None:
    foreign_package.write(site, {})
    task = get_task(LETTERS)
    assert (task.name, task.reference) == ("letters", LETTERS)
    assert task.override({"train": {"num_epochs": 1}}).reference == LETTERS


def test_a_package_in_the_current_folder_is_found(tmp_path: Path) -> None:
    foreign_package.write(tmp_path / "project", {})
    # A program's own folder is on the path, and not the one in which it is called.
    program = tmp_path / "program.py"
    program.write_text(f"from pipelines.tasks import get_task; print(get_task({LETTERS!r}).name)")
    call = [sys.executable, str(program)]
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path / "project", check=False)
    assert (done.stdout, done.returncode) == ("letters\n", 0), done.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nowhere_at_all", "task.py, line 1: task 'letters': ModuleNotFoundError: No module named"),
        ("LETTERS = 1", "task.py: task 'letters': TypeError: expected a Task called LETTERS, got int"),
        ("raise SystemExit(3)", "task.py, line 1: task 'letters': SystemExit: 3"),
        ("LETTERS = ", "task.py, line 1: task 'letters': SyntaxError: invalid syntax"),
    ],
)
def test_a_broken_one_is_told_in_a_line_and_leaves_the_others_whole(
    site: Path, text: str, reason: str
) -> None:
    foreign_package.write(site, {"letters": LETTERS})
    (site / "letters" / "task.py").write_text(text + "\n")
    told = all_tasks().broken["letters"]
    assert told.startswith(f"letters/{reason}")
    assert "\n" not in told
    assert all_tasks().tasks.keys() == TASKS.keys()
    with pytest.raises(ConfigError, match=r"^letters/task\.py"):
        get_task("letters")


def test_a_package_that_is_gone_is_told_in_a_line(site: Path) -> None:
    foreign_package.declare(site, {"letters": LETTERS}, "letters")
    assert all_tasks().broken["letters"].startswith("letters/task.py: task 'letters': ModuleNotFoundError")


def test_an_entry_point_that_is_called_otherwise_than_its_task_is_refused(site: Path) -> None:
    foreign_package.write(site, {"capitals": LETTERS})
    with pytest.raises(ConfigError, match="task 'capitals': ValueError: expected a Task with this name"):
        get_task("capitals")


def test_a_name_that_is_taken_leaves_the_place(site: Path) -> None:
    foreign_package.write(site, {"mnist": "letters.task:OTHER"})
    assert get_task("mnist") is TASKS["mnist"]
    assert all_tasks().tasks["letters.task:OTHER"].summary == "Letters"


def test_of_two_packages_with_one_name_none_is_meant(site: Path) -> None:
    foreign_package.write(site, {"letters": LETTERS})
    foreign_package.write(site, {"letters": "others.task:LETTERS"}, "others")
    both = f"{LETTERS} and others.task:LETTERS"
    with pytest.raises(ConfigError, match=f"task 'letters': expected one package to declare it, got {both}"):
        get_task("letters")
    assert {LETTERS, "others.task:LETTERS"} <= all_tasks().tasks.keys()


def test_an_unknown_name_lists_those_of_packages_and_imports_none(site: Path) -> None:
    foreign_package.write(site, {"letters": LETTERS})
    with pytest.raises(ConfigError, match="unknown task 'leters'; did you mean 'letters'"):
        get_task("leters")
    assert task_names() == [*TASKS, "letters"]
    assert "letters" not in sys.modules


@pytest.mark.parametrize("given", ["letters:", ":LETTERS", "s3://bucket", "letters.task:LETTERS.x", "a b:C"])
def test_what_is_no_place_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a name, or package\.module:TASK"):
        get_task(given)


def test_the_command_line_lists_and_completes_them(site: Path) -> None:
    foreign_package.write(site, {"letters": LETTERS, "broken": "letters.nowhere:TASK"})
    environment = {**os.environ, "PYTHONPATH": str(site)}
    call = [sys.executable, "-m", "pipelines.cli.main", "tasks", "--json"]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=True)
    listed = {task["name"]: task for task in json.loads(done.stdout)}
    assert listed["letters"]["summary"] == "Letters"
    assert "No module named 'letters.nowhere'" in listed["broken"]["error"]
    code = "from pipelines.cli.completion import task_names; print(task_names('let'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == "[('letters', 'Letters')]\n"
