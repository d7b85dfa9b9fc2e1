"""What the Trainer and the process that splits volumes tell each other; pickles over a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

from components.task import Task

if TYPE_CHECKING:
    from components.trainer.input_pipeline import ExampleFiles


class Job(NamedTuple):
    """One training, as components.trainer.train.train takes it."""

    task: Task
    train_files: ExampleFiles
    eval_files: ExampleFiles
    working_dir: str
    log_dir: str
    # In Keras' order, since the same seed gives other ones on JAX.
    initial_weights: list[NDArray[Any]]


class Crash(NamedTuple):
    """An error that nobody expected."""

    line: str
    traceback: str
