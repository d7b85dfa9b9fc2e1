"""What people see of training: a line a loop, a progress bar on a terminal, TensorBoard."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from types import TracebackType

import rich
import rich.progress
import tensorflow as tf

logger = logging.getLogger(__name__)


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
        self._bar: rich.progress.Progress | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Progress:
        if self._visible and rich.get_console().is_terminal:
            self._bar = self._stack.enter_context(_make_bar())
            self._bar.add_task("training", total=self._num_steps)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._bar = None

    def trained(self, step: int, losses: Mapping[str, float], rates: Mapping[str, float]) -> None:
        """Reports a loop of optimizer steps that ended at `step`."""
        self._write("train", step, {**losses, **rates})
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step, description=f"loss {losses['loss']:.4f}")
        self._log(
            "step %d/%d, epoch %.2f: loss %.4f, learning rate %.3g, %s examples/s",
            step, self._num_steps, step / self._steps_per_epoch, losses["loss"],
            rates["learning_rate"], f"{rates['examples_per_second']:,.0f}",
        )  # fmt: skip
        if skipped := rates.get("skipped_steps"):
            self._log("step %d: %d steps were skipped, since float16 overflowed", step, skipped)

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Reports an evaluation after `step`."""
        self._write("eval", step, metrics)
        self._log("step %d: eval %s", step, ", ".join(f"{k} {v:.4f}" for k, v in metrics.items()))

    def _log(self, message: str, *arguments: object) -> None:
        if self._visible:
            logger.info(message, *arguments)

    def _write(self, writer: str, step: int, scalars: Mapping[str, float]) -> None:
        if writer not in self._writers:
            return
        with self._writers[writer].as_default():
            for name, value in scalars.items():
                tf.summary.scalar(name, value, step=step)
        self._writers[writer].flush()


def _make_bar() -> rich.progress.Progress:
    columns = rich.progress
    return rich.progress.Progress(
        columns.TextColumn("{task.description}"),
        columns.BarColumn(),
        columns.MofNCompleteColumn(),
        columns.TimeElapsedColumn(),
        columns.TimeRemainingColumn(),
        console=rich.get_console(),
        transient=True,
    )
