"""Tasks of other packages: by a name that they declare as an entry point, or by where they are."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from typing import Final

from components.config import ConfigError
from components.task import Task
from pipelines.tasks.loading import declared

# [project.entry-points."millrace.tasks"] of a package's pyproject.toml: reviews = "reviews.task:TASK".
GROUP: Final = "millrace.tasks"
_REFERENCE: Final = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*")


def references() -> dict[str, tuple[str, ...]]:
    """Returns where the tasks of installed packages are, by name, of which none is imported.

    {"reviews": ("reviews.task:TASK",)}; several where several packages declare the same name.
    """
    found: dict[str, set[str]] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        found.setdefault(point.name, set()).add(point.value)
    return {name: tuple(sorted(values)) for name, values in sorted(found.items())}


def is_reference(name: str) -> bool:
    """Whether a name is not a task's own, but says where it is."""
    return ":" in name


def at(reference: str) -> Task:
    """Returns the task at "package.module:TASK", also below the folder in which the command is called.

    Raises ConfigError, in one line.
    """
    if not _REFERENCE.fullmatch(reference):
        raise ConfigError(f"task {reference!r}: expected a name, or package.module:TASK")
    # The last place, so that no file there stands for an installed package.
    if not {"", os.getcwd()} & {*sys.path}:
        sys.path.append(os.getcwd())
    return declared(reference).model_copy(update={"location": reference})


def installed(name: str, where: tuple[str, ...]) -> Task:
    """Returns the task of an entry point; raises ConfigError, also where two packages declare the name."""
    if where[1:]:
        raise ConfigError(f"task {name!r}: expected one package to declare it, got {' and '.join(where)}")
    return declared(where[0], name)
