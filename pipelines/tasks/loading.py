"""Declarations of tasks, each on its own: a mistake in one leaves the others whole."""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pydantic

from components.config import in_words
from components.task import Task


class Loaded(NamedTuple):
    """The tasks that can be used, and why the others cannot, by name."""

    tasks: dict[str, Task]
    broken: dict[str, str]


def load(names: Iterable[str], package: str) -> Loaded:
    """Returns what the modules of a package declare: of `mnist`, the Task called MNIST.

    A reason is one line: "pipelines/tasks/mnist.py, line 14: task 'mnist': train.num_epohs: unknown key …".
    """
    loaded = Loaded({}, {})
    for name in names:
        try:
            task = _declared(name, package)
        # Whatever it is: a module is code.
        except Exception as error:
            loaded.broken[name] = f"{_place(error, name, package)}: task {name!r}: {_reason(error)}"
        else:
            loaded.tasks[task.name] = task
    return loaded


def _declared(name: str, package: str) -> Task:
    module = importlib.import_module(f"{package}.{name}")
    task = getattr(module, name.upper(), None)
    if not isinstance(task, Task):
        raise TypeError(f"expected a Task called {name.upper()}, got {type(task).__name__}")
    return task


def _place(error: Exception, name: str, package: str) -> str:
    """Returns the last line of the package that was run, or that is not Python."""
    folder = Path(*package.split("."))
    if isinstance(error, SyntaxError) and error.filename:
        return f"{folder / Path(error.filename).name}, line {error.lineno}"
    spec = importlib.util.find_spec(package)
    folders = [Path(path) for path in (spec.submodule_search_locations or ())] if spec else []
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if Path(frame.filename).parent in folders and Path(frame.filename).name not in _MACHINERY
    ]
    if not own:
        return str(folder / f"{name}.py")
    return f"{folder / Path(own[-1].filename).name}, line {own[-1].lineno}"


# Of this package, but no declarations.
_MACHINERY = ("__init__.py", "loading.py")


def _reason(error: Exception) -> str:
    """Returns what is wrong: of several mistakes, the first."""
    if isinstance(error, pydantic.ValidationError):
        first = error.errors()[0]
        where = ".".join([error.title, *(str(part) for part in first["loc"])])
        return f"{where}: {in_words(first)}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
