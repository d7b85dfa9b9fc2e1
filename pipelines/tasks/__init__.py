"""The tasks by name. A new task is one module here, which declares it, and its name in _NAMES.

Those of other packages are found by their entry points (packages.py), and imported when they are wanted.
"""

from typing import Final

from components.config import ConfigError, unknown_name
from components.task import Task
from pipelines.tasks import packages
from pipelines.tasks.loading import Loaded, load

_NAMES: Final = ("cola", "lits", "mnist", "mnli", "mrpc", "pretraining", "squad", "xnli")

TASKS: dict[str, Task]
# Why a declared task cannot be used, by name.
BROKEN: dict[str, str]
TASKS, BROKEN = load(_NAMES, __name__)


def get_task(name: str) -> Task:
    """Returns the task of a name, or at "package.module:TASK"; "my-task" is "my_task", too.

    Raises ConfigError: one that is not declared well tells why, an unknown name lists the known ones.
    """
    if packages.is_reference(name):
        return packages.at(name)
    key = name.replace("-", "_")
    if key in BROKEN:
        raise ConfigError(BROKEN[key])
    if key in TASKS:
        return TASKS[key]
    installed = packages.references()
    if key not in installed:
        raise ConfigError(unknown_name("task", name, (*TASKS, *BROKEN, *installed)))
    return packages.installed(key, installed[key])


def task_names() -> list[str]:
    """Returns the names of all tasks, for which none of another package is imported."""
    return list(dict.fromkeys([*TASKS, *packages.references()]))


def all_tasks() -> Loaded:
    """Returns our own tasks and those of other packages, by what `get_task` takes.

    One whose name is taken is known by where it is.
    """
    loaded = Loaded({**TASKS}, {**BROKEN})
    for name, where in packages.references().items():
        is_free = name not in (*TASKS, *BROKEN) and len(where) == 1
        for known in [name] if is_free else where:
            try:
                loaded.tasks[known] = get_task(known)
            except ConfigError as error:
                loaded.broken[known] = str(error)
    return loaded
