"""The journeys of docs/architecture.md, held against the tasks and their imports."""

import ast
import functools
import re
from pathlib import Path

import pytest

from pipelines.tasks import TASKS

ROOT = Path(__file__).parents[1]
JOURNEYS = {
    task: [f"components.{module}" for module in re.findall(r"`([a-z_.]+)`", journey)]
    for task, journey in re.findall(
        r"^\| `(\w+)` \| (.*→.*) \|$",
        (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
}


@functools.cache
def imported(module: str) -> frozenset[str]:
    """Returns the project's modules that one imports, late and for types, too."""
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
        found |= {
            name for name in names if name.split(".")[0] in ("components", "pipelines") and is_module(name)
        }
    return frozenset(name for name in found if is_module(name))


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def reached(start: str) -> set[str]:
    """Returns all modules that one imports, and those that these import."""
    found, waiting = set(), [start]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting.extend(imported(module))
    return found


def test_every_task_has_a_journey() -> None:
    assert JOURNEYS.keys() == TASKS.keys()


@pytest.mark.parametrize("task", TASKS)
def test_a_journey_goes_through_modules_that_the_task_imports(task: str) -> None:
    assert set(JOURNEYS[task]) <= reached(f"pipelines.tasks.{task}")


@pytest.mark.parametrize("task", TASKS)
def test_a_journey_names_the_module_of_each_of_the_tasks_parts(task: str) -> None:
    declared = TASKS[task]
    parts = (declared.source, declared.preprocessing, declared.windowing, declared.model, declared.evaluation)
    modules = [type(part).__module__ for part in (*parts, declared.asking) if part is not None]
    assert [module for module in JOURNEYS[task] if module in modules] == modules


def test_files_of_tests_have_names_of_their_own() -> None:
    # pytest imports them by name alone; two of a name are an error where all are collected.
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert [name for name in set(names) if names.count(name) > 1] == []
