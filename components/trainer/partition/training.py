"""The trainer's own loop in a process of JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from components.progress import BOARD
from components.task import Task
from components.trainer.loop import Loop
from components.trainer.partition.devices import Grid
from components.trainer.partition.messages import Job
from components.trainer.partition.steps import PartitionedLoop
from components.trainer.strategies import leave_accelerators
from components.trainer.train import Evaluation, Stream, Training, TrainResult, built, streams


def train(job: Job, tell: Callable[[Any], None]) -> TrainResult:
    """Trains a task whose `train.partition` is set; `tell` gets each loop of steps that begins."""
    # To JAX, before TensorFlow looks at them.
    strategy = leave_accelerators()
    with streams(job.task, job.train_files, job.eval_files) as (stream, evaluation):
        return _PartitionedTraining(job, strategy, stream, evaluation, tell).run()


class _PartitionedTraining(Training):
    """One run of training on a grid of devices, of which JAX knows; TensorFlow reads and keeps files."""

    def __init__(
        self, job: Job, strategy: Any, stream: Stream, evaluation: Evaluation, tell: Callable[[Any], None]
    ) -> None:
        self._job = job
        self._tell = tell
        # Checkpoints are of TensorFlow's variables: a copy of each of Keras'.
        self._copies: list[tuple[Any, tf.Variable]] = []
        super().__init__(job.task, strategy, stream, evaluation, job.working_dir, job.log_dir)

    def _initialized(self, task: Task) -> keras.Model:
        model = built(task)
        model.set_weights(self._job.initial_weights)
        return model

    def _compiled(self, task: Task) -> Loop:
        grid = Grid(task.train.partition or ())
        return PartitionedLoop(grid, self._model, self._optimizer, task.model, task.train)

    @property
    def _devices(self) -> str:
        return f"the devices of JAX by {list(self._config.partition or ())}"

    def _saved(self, variable: Any) -> tf.Variable:
        copy = tf.Variable(variable.numpy(), trainable=False)
        self._copies.append((variable, copy))
        return copy

    def _restore(self) -> bool:
        found = super()._restore()
        for variable, copy in self._copies:
            variable.assign(copy.numpy())
        return found

    def _save(self, step: int) -> None:
        for variable, copy in self._copies:
            copy.assign(variable.numpy())
        super()._save(step)

    def _begins(self, start: int, end: int) -> None:
        super()._begins(start, end)
        self._tell(BOARD.loop)
