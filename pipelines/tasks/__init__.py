"""The tasks by name. A new task is one module here and one entry in TASKS."""

from components.config import ConfigError, unknown_name
from components.task import Task
from pipelines.tasks.cola import COLA
from pipelines.tasks.mnist import MNIST
from pipelines.tasks.mnli import MNLI
from pipelines.tasks.mrpc import MRPC
from pipelines.tasks.squad import SQUAD
from pipelines.tasks.xnli import XNLI

TASKS: dict[str, Task] = {task.name: task for task in (COLA, MNIST, MNLI, MRPC, SQUAD, XNLI)}


def get_task(name: str) -> Task:
    """Returns the task; an unknown name is an error that lists the known ones."""
    if name not in TASKS:
        raise ConfigError(unknown_name("task", name, TASKS))
    return TASKS[name]
