"""The tasks by name. A new task is one module here and one entry in TASKS."""

from components.config import ConfigError, unknown_name
from components.task import Task
from pipelines.tasks.mnist import MNIST

TASKS: dict[str, Task] = {task.name: task for task in (MNIST,)}


def get_task(name: str) -> Task:
    """Returns the task; an unknown name is an error that lists the known ones."""
    if name not in TASKS:
        raise ConfigError(unknown_name("task", name, TASKS))
    return TASKS[name]
