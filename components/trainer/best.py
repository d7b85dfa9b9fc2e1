"""The weights that did best on the eval split, kept beside the checkpoints until training ends."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components import files
from components.task import Task

_PREFIX: Final = "best-"
_LOSS: Final = "loss"

Weights = list[NDArray[Any]]


class Best:
    """What the evaluations so far have shown; its `variables` belong into every checkpoint.

    The best weights are a file for each step that was ever the best, of which `sweep` leaves one. A training
    that is interrupted between the file and the checkpoint that knows it still has the one before.
    """

    def __init__(self, folder: str, task: Task) -> None:
        """Judges by the metric that blesses where the model itself measures it, otherwise by the loss."""
        self._folder = folder
        self._metric = task.blessing.metric if task.blessing.metric in task.model.metrics() else _LOSS
        # No replica's: all processes judge the same numbers.
        with tf.device("CPU:0"):
            self._value = tf.Variable(-math.inf, dtype=tf.float64, trainable=False)
            self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
            self._stale = tf.Variable(0, dtype=tf.int64, trainable=False)
            self._metrics = tf.Variable("{}", dtype=tf.string, trainable=False)

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """The state of judging, by name."""
        return {
            "best/value": self._value,
            "best/step": self._step,
            "best/stale": self._stale,
            "best/metrics": self._metrics,
        }

    @property
    def step(self) -> int:
        """The optimizer step after which the eval split's metric was best; 0: it never existed."""
        return int(self._step.numpy())

    @property
    def stale(self) -> int:
        """How many evaluations there were since."""
        return int(self._stale.numpy())

    @property
    def metrics(self) -> dict[str, float]:
        """What was measured after that step."""
        return dict(json.loads(self._metrics.numpy()))

    @property
    def judged_by(self) -> str:
        """The metric, or "loss"."""
        return self._metric

    def judge(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Takes an evaluation in, and returns whether it is the best so far; NaN never is."""
        value = -metrics[_LOSS] if self._metric == _LOSS else metrics[self._metric]
        if not value > self._value.numpy():
            self._stale.assign_add(1)
            return False
        self._value.assign(value)
        self._step.assign(step)
        self._stale.assign(0)
        self._metrics.assign(json.dumps(metrics))
        return True

    def write(self, weights: Sequence[NDArray[Any]]) -> None:
        """Keeps the weights of the best step."""
        content = io.BytesIO()
        np.savez(content, *weights)
        files.write_bytes(self._path, content.getvalue())

    def read(self) -> Weights:
        """Returns the weights of the best step, in the order in which they were written."""
        with np.load(io.BytesIO(files.read_bytes(self._path))) as found:
            return [found[f"arr_{place}"] for place in range(len(found.files))]

    def sweep(self) -> None:
        """Removes the weights of earlier steps, once a checkpoint knows the best one."""
        for path in files.find(self._folder, f"{_PREFIX}*.npz"):
            if path != self._path:
                files.remove_file(path)

    @property
    def _path(self) -> str:
        return os.path.join(self._folder, f"{_PREFIX}{self.step}.npz")
