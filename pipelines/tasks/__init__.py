"""The tasks by name. A new task is one module here, which declares it, and its name in _NAMES."""

from typing import Final

from components.config import ConfigError, unknown_name
from components.task import Task
from pipelines.tasks.loading import load

_NAMES: Final = ("cola", "lits", "mnist", "mnli", "mrpc", "pretraining", "squad", "xnli")

TASKS: dict[str, Task]
# Why a declared task cannot be used, by name.
BROKEN: dict[str, str]
TASKS, BROKEN = load(_NAMES, __name__)


def get_task(name: str) -> Task:
    """Returns the task; one that is not declared well tells why, an unknown name lists the known ones."""
    if name in BROKEN:
        raise ConfigError(BROKEN[name])
    if name not in TASKS:
        raise ConfigError(unknown_name("task", name, (*TASKS, *BROKEN)))
    return TASKS[name]
