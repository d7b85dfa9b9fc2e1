"""Declarations of tasks with mistakes in them."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.config import ConfigError
from pipelines.tasks import BROKEN, TASKS, get_task
from pipelines.tasks.loading import Loaded, load

MNIST = Path(importlib.import_module("pipelines.tasks.mnist").__file__ or "").read_text(encoding="utf-8")
DIGITS = MNIST.replace('MNIST = Task(\n    name="mnist"', 'DIGITS = Task(\n    name="digits"')
LoadWith = Callable[[str, str], Loaded]


@pytest.fixture
def load_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoadWith]:
    """Loads a package of mnist, as it is, and of digits, which is mnist with a part replaced."""
    folder = tmp_path / "their_tasks"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "mnist.py").write_text(MNIST, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    def replaced(old: str, new: str) -> Loaded:
        assert old in DIGITS
        (folder / "digits.py").write_text(DIGITS.replace(old, new), encoding="utf-8")
        return load(("digits", "mnist"), "their_tasks")

    yield replaced
    for name in [name for name in sys.modules if name.partition(".")[0] == "their_tasks"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('metric="accuracy"', 'metric="acuracy"', "Task: unknown blessing metric 'acuracy'; did you mean"),
        ("num_epochs=40", "num_epohs=40", "TrainConfig: unknown key 'num_epohs'; did you mean 'num_epochs'?"),
        ("asking=", "askin=", "Task: unknown key 'askin'; did you mean 'asking'?"),
        ("learning_rate=1e-4", "learning_rate=-1", "TrainConfig.learning_rate: expected greater than 0"),
        ("    asking=ImageAsking(),\n", "", "Task.asking: Field required"),
        ("MnistCnn()", "MnistCn()", "NameError: name 'MnistCn' is not defined"),
        ("DIGITS = Task", "DIGIT = Task", "TypeError: expected a Task called DIGITS, got NoneType"),
        (
            "MnistCnn()",
            'MnistCnn().model_copy(update={"filter": (1, 1)})',
            "ConfigError: unknown key 'filter'; did you mean 'filters'?",
        ),
    ],
)  # fmt: skip
def test_a_mistake_names_file_task_and_what_is_near_and_leaves_other_tasks_whole(
    load_with: LoadWith, old: str, new: str, reason: str
) -> None:
    loaded = load_with(old, new)
    assert loaded.tasks == {"mnist": TASKS["mnist"]}
    (told,) = loaded.broken.values()
    assert told.startswith("their_tasks/digits.py")
    assert f": task 'digits': {reason}" in told
    assert "\n" not in told


def test_the_line_is_named(load_with: LoadWith) -> None:
    loaded = load_with("num_epochs=40", "num_epohs=40")
    line = 1 + DIGITS[: DIGITS.index("train=TrainConfig")].count("\n")
    assert loaded.broken["digits"].startswith(f"their_tasks/digits.py, line {line}: ")


def test_what_is_no_python_is_told_with_its_line(load_with: LoadWith) -> None:
    loaded = load_with('name="digits"', "name=")
    assert loaded.broken["digits"].startswith("their_tasks/digits.py, line ")
    assert "SyntaxError" in loaded.broken["digits"]


def test_all_declared_tasks_are_whole() -> None:
    assert BROKEN == {}


def test_running_a_broken_task_is_the_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BROKEN, "digits", "tasks/digits.py: task 'digits': NameError: x")
    with pytest.raises(ConfigError, match=r"tasks/digits.py: task 'digits': NameError: x"):
        get_task("digits")
    with pytest.raises(ConfigError, match="unknown task 'digit'; did you mean 'digits'"):
        get_task("digit")
