"""Declarations of tasks, each on its own: a mistake in one leaves the others whole."""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import pydantic

from components.config import ConfigError, in_words
from components.task import Task

# Of this package, but no declarations.
_MACHINERY: Final = ("__init__.py", "loading.py", "packages.py")


class Loaded(NamedTuple):
    """The tasks that can be used, and why the others cannot, by name."""

    tasks: dict[str, Task]
    broken: dict[str, str]


def load(names: Iterable[str], package: str) -> Loaded:
    """Returns what the modules of a package declare: of `mnist`, the Task called MNIST."""
    loaded = Loaded({}, {})
    for name in names:
        try:
            loaded.tasks[name] = declared(f"{package}.{name}:{name.upper()}", name)
        except ConfigError as error:
            loaded.broken[name] = str(error)
    return loaded


def declared(reference: str, name: str | None = None) -> Task:
    """Returns the Task at "package.module:TASK", whose own name is to be `name`.

    Raises ConfigError, in one line: "pipelines/tasks/mnist.py, line 14: task 'mnist': train.num_epohs: …".
    """
    module, _, attribute = reference.partition(":")
    try:
        task = getattr(importlib.import_module(module), attribute, None)
        if not isinstance(task, Task):
            raise TypeError(f"expected a Task called {attribute}, got {type(task).__name__}")
        if name not in (None, task.name):
            raise ValueError(f"expected a Task with this name, got {task.name!r}")
    # Whatever it is: a module is code.
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{_place(error, module)}: task {name or reference!r}: {_reason(error)}") from error
    return task


def _place(error: BaseException, module: str) -> str:
    """Returns the last line of the module's package that was run, or that is not Python."""
    package, _, name = module.rpartition(".")
    folder = Path(*package.split("."))
    if isinstance(error, SyntaxError) and error.filename:
        return f"{folder / Path(error.filename).name}, line {error.lineno}"
    folders = _folders(package or module)
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parent in folders and Path(frame.filename).name not in _MACHINERY
    ]
    if not own:
        return str(folder / f"{name}.py")
    return f"{folder / Path(own[-1].filename).name}, line {own[-1].lineno}"


def _folders(module: str) -> list[Path]:
    """Returns where the modules of a package lie, or where a module does that is in none; [] for no such."""
    # Importing a package that is looked for may fail in any way.
    with suppress(Exception):
        if spec := importlib.util.find_spec(module):
            alone = [Path(spec.origin).parent] if spec.origin else []
            return [Path(path) for path in spec.submodule_search_locations or ()] or alone
    return []


def _reason(error: BaseException) -> str:
    """Returns what is wrong: of several mistakes, the first."""
    if isinstance(error, pydantic.ValidationError):
        first = error.errors()[0]
        where = ".".join([error.title, *(str(part) for part in first["loc"])])
        return f"{where}: {in_words(first)}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
