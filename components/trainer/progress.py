"""What people see of training: a line a loop, how far it is, TensorBoard."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Final

import tensorflow as tf

from components.progress import BOARD

logger = logging.getLogger(__name__)

# Of a record that says no more than a block which lives on the terminal.
_IN_BLOCK: Final = {"in_live_block": True}


class Progress:
    """Reports one training run; with a `log_dir` of None (a worker that is not chief) it is silent."""

    def __init__(self, log_dir: str | None, num_steps: int, steps_per_epoch: int) -> None:
        self._visible = log_dir is not None
        self._num_steps = num_steps
        self._steps_per_epoch = steps_per_epoch
        self._writers = {
            name: tf.summary.create_file_writer(os.path.join(log_dir, name))
            for name in (("train", "eval") if log_dir is not None else ())
            if log_dir is not None
        }
        self._steps_per_second: float | None = None
        self._loss = self._metric = ""

    def begins(self, step: int, end: int) -> None:
        """Tells that the steps up to `end` begin."""
        last = ", ".join(filter(None, (self._loss, self._metric)))
        BOARD.begin_loop(step, end, self._num_steps, self._steps_per_second, last)

    def trained(self, step: int, losses: Mapping[str, float], rates: Mapping[str, float]) -> None:
        """Reports a loop of optimizer steps that ended at `step`."""
        self._write("train", step, {**losses, **rates})
        self._loss = f"loss {losses['loss']:.4f}"
        if BOARD.loop is not None:
            self._steps_per_second = BOARD.loop.pace(time.monotonic())
        self._log(
            "step %d/%d, epoch %.2f: loss %.4f, learning rate %.3g, %s examples/s",
            step, self._num_steps, step / self._steps_per_epoch, losses["loss"],
            rates["learning_rate"], f"{rates['examples_per_second']:,.0f}", extra=_IN_BLOCK,
        )  # fmt: skip
        if skipped := rates.get("skipped_steps"):
            self._log("step %d: %d steps were skipped, since float16 overflowed", step, skipped)

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Reports an evaluation after `step`."""
        self._write("eval", step, metrics)
        self._metric = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if name != "loss")
        self._log("step %d: eval %s", step, ", ".join(f"{k} {v:.4f}" for k, v in metrics.items()))

    def _log(self, message: str, *arguments: object, extra: Mapping[str, object] | None = None) -> None:
        if self._visible:
            logger.info(message, *arguments, extra=extra)

    def _write(self, writer: str, step: int, scalars: Mapping[str, float]) -> None:
        if writer not in self._writers:
            return
        with self._writers[writer].as_default():
            for name, value in scalars.items():
                tf.summary.scalar(name, value, step=step)
        self._writers[writer].flush()
