"""Training of a task from example files to weights; "one loop" for every model and strategy."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.models.precision import dtype_policy
from components.task import Task
from components.train_config import TrainConfig
from components.trainer import hosts
from components.trainer.best import Best
from components.trainer.checkpoints import Checkpoints
from components.trainer.curves import Curves, Points
from components.trainer.errors import TrainConfigError, TrainingFailure
from components.trainer.input_pipeline import EvalStream, ExampleFiles, TrainingStream
from components.trainer.loop import CompiledLoop, Loop, LoopResult
from components.trainer.loss_scale import LossScale
from components.trainer.optimizer import make_optimizer
from components.trainer.partition import process
from components.trainer.partition.messages import Job
from components.trainer.progress import Progress
from components.trainer.records import Records, unpacked
from components.trainer.replica_seeds import draw_by_replica
from components.trainer.strategies import is_tpu, leave_accelerators, make_strategy
from components.trainer.window_streams import (
    ExampleWindows,
    WindowEvalStream,
    WindowStream,
    window_eval_stream,
    window_stream,
)

Stream = TrainingStream | WindowStream
Evaluation = EvalStream | WindowEvalStream

logger = logging.getLogger(__name__)


class TrainResult(NamedTuple):
    """Trained weights in the order of the Keras model's `weights`, and how they do on the eval split."""

    weights: list[np.ndarray[Any, Any]]
    metrics: Mapping[str, float]
    num_steps: int
    # Before all steps were done, since the eval split's metric was good enough, or became no better.
    stopped_early: bool
    # After how many steps the weights were so.
    kept_step: int
    # What was measured meanwhile.
    curves: Points


def start(config: TrainConfig) -> tf.distribute.Strategy:
    """Returns the strategy; to be called before any other work of TensorFlow."""
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    if config.partition is not None and not is_tpu(config.strategy):
        return leave_accelerators()
    return make_strategy(config.strategy, config.partition)


def train(
    task: Task, train_files: ExampleFiles, eval_files: ExampleFiles, working_dir: str, log_dir: str
) -> TrainResult:
    """Trains a task and returns its weights.

    `working_dir` holds the checkpoints: a run that finds some there goes on from the last one and ends
    with the weights that it would have had without the interruption. TensorBoard's events go to `log_dir`.
    """
    config = task.train
    strategy = start(config)
    check_batch_sizes(config, strategy.num_replicas_in_sync)
    if config.partition is not None and not isinstance(strategy, tf.distribute.TPUStrategy):
        begin_keras(config.seed)
        initial = [np.asarray(weight) for weight in built(task).weights]
        job = Job(task, train_files, eval_files, working_dir, log_dir, initial)
        return process.run(job)
    with streams(task, train_files, eval_files) as (stream, evaluation):
        return Training(task, strategy, stream, evaluation, working_dir, log_dir).run()


def begin_keras(seed: int) -> None:
    """Lets Keras begin anew; outside of any strategy's scope."""
    # Checkpoints know weights by name, and Keras counts the names of layers over a whole process.
    keras.utils.clear_session()
    # Initial weights and dropout draw from Keras' global seed.
    keras.utils.set_random_seed(seed)


def built(task: Task) -> keras.Model:
    """Returns the task's model with its initial weights."""
    with dtype_policy(task.train.dtype):
        model = task.model.build()
        task.model.initialize(model)
    return model


@contextmanager
def streams(
    task: Task, train_files: ExampleFiles, eval_files: ExampleFiles
) -> Iterator[tuple[Stream, Evaluation]]:
    """Yields what the model trains on and is evaluated on; TrainConfigError for less than a batch."""
    with unpacked(train_files.files, train_files.num_examples) as records:
        stream, evaluation = _streams(task, records, train_files, eval_files)
        if not stream.steps_per_epoch:
            size = task.train.global_batch_size
            raise TrainConfigError(f"train.global_batch_size: expected at most the {stream.size}, got {size}")
        yield stream, evaluation


def _streams(
    task: Task, records: Records, train_files: ExampleFiles, eval_files: ExampleFiles
) -> tuple[Stream, Evaluation]:
    """Returns streams of whole examples, or of windows of them."""
    config = task.train
    if task.windowing is None:
        stream = TrainingStream(records, train_files, config.global_batch_size, config.seed)
        return stream, EvalStream(eval_files, config.eval_batch_size)
    return (
        window_stream(records, ExampleWindows(train_files, task.windowing), config),
        window_eval_stream(ExampleWindows(eval_files, task.windowing), config.eval_batch_size),
    )


def check_batch_sizes(config: TrainConfig, num_replicas: int) -> None:
    """Raises TrainConfigError unless each global batch can be cut into equal parts for all replicas."""
    parts = num_replicas * config.gradient_accumulation_steps
    if config.global_batch_size % parts:
        raise TrainConfigError(
            f"train.global_batch_size: expected a multiple of {parts} ({num_replicas} replicas × "
            f"{config.gradient_accumulation_steps} accumulated micro-batches), got {config.global_batch_size}"
        )
    if config.eval_batch_size % num_replicas:
        raise TrainConfigError(
            f"train.eval_global_batch_size: expected a multiple of {num_replicas} replicas, "
            f"got {config.eval_batch_size}"
        )


class Training:
    """One run of training: the state, and the Python loop around the compiled one."""

    def __init__(
        self, task: Task, strategy: Any, stream: Stream,
        evaluation: Evaluation, working_dir: str, log_dir: str,
    ) -> None:  # fmt: skip
        self._config = task.train
        self._stop_metric = task.blessing.metric
        self._strategy = strategy
        self._stream = stream
        self._num_steps = self._config.num_steps or self._config.num_epochs * stream.steps_per_epoch
        begin_keras(self._config.seed)
        with strategy.scope():
            self._model = self._initialized(task)
            self._optimizer = make_optimizer(
                self._config, self._num_steps, self._model.trainable_variables,
                task.model.learning_rate_multipliers(self._model),
            )  # fmt: skip
            self._loss_scale = LossScale() if self._config.dtype == "mixed_float16" else None
            self._step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
            self._stopped = tf.Variable(False, trainable=False, name="stopped")
        self._best = Best(working_dir, task) if self._config.judges_epochs else None
        self._loop = self._compiled(task)
        self._eval_batches = strategy.distribute_datasets_from_function(evaluation.batches)
        self._checkpoints = Checkpoints(
            os.path.join(working_dir, "checkpoints"), self._state(), self._config.keep_checkpoints
        )  # fmt: skip
        self._curves = Curves(working_dir)
        self._progress = Progress(
            log_dir if hosts.is_chief() else None, self._num_steps, stream.steps_per_epoch
        )

    def _initialized(self, task: Task) -> keras.Model:
        model = built(task)
        draw_by_replica(model)
        return model

    def _compiled(self, task: Task) -> Loop:
        return CompiledLoop(
            self._strategy, self._model, self._optimizer, task.model, self._config, self._loss_scale
        )

    def run(self) -> TrainResult:
        """Trains to the end, from the last checkpoint where there is one."""
        if self._restore():
            self._curves.restore(int(self._step.numpy()))
            logger.info("resumed at step %d of %d", self._step.numpy(), self._num_steps)
        else:
            self._log_start()
        metrics = self._run_loops()
        # Nothing was evaluated where a finished run was resumed.
        metrics = metrics or self._measure()
        step = int(self._step.numpy())
        curves = self._curves.points()
        return self._kept(TrainResult(self._weights(), metrics, step, step < self._num_steps, step, curves))

    def _kept(self, last: TrainResult) -> TrainResult:
        """Returns the result that `train.keep` asks for."""
        best = self._best
        if best is None or self._config.keep != "best" or best.step in (0, last.kept_step):
            return last
        logger.info("keeping the weights of step %d, the best by %s", best.step, best.judged_by)
        # Only the chief's are exported.
        weights = best.read() if hosts.is_chief() else last.weights
        return last._replace(weights=weights, metrics=best.metrics, kept_step=best.step)

    def _weights(self) -> list[np.ndarray[Any, Any]]:
        return [np.asarray(weight.numpy()) for weight in self._model.weights]

    def _run_loops(self) -> dict[str, float]:
        metrics: dict[str, float] = {}
        step = int(self._step.numpy())
        if step >= self._num_steps or self._stopped.numpy():
            return metrics
        iterator = self._iterator(step)
        while step < self._num_steps and not self._stopped.numpy():
            if step % self._stream.steps_per_epoch == 0:
                iterator = self._iterator(step)
            end = self._next_boundary(step)
            self._run_loop(iterator, step, end)
            step = end
            if self._ends_epoch(step):
                metrics = self._evaluate()
            # After the evaluation, so that a resumed run cannot miss that it has to stop.
            if self._is_checkpointed(step):
                self._save(step)
        return metrics

    def _iterator(self, step: int) -> Any:
        datasets = self._strategy.distribute_datasets_from_function
        return iter(datasets(lambda context: self._stream.batches(step, context)))

    def _run_loop(self, iterator: Any, start: int, end: int) -> None:
        self._begins(start, end)
        begin = time.perf_counter()
        result = self._loop.run(iterator, end - start)
        seconds = time.perf_counter() - begin
        self._step.assign(end)
        self._check(result, start, end)
        rate = float(keras.ops.convert_to_numpy(self._optimizer.learning_rate))
        self._curves.add("train", end, {**result.losses, "learning_rate": rate})
        self._progress.trained(
            end,
            result.losses,
            {
                "learning_rate": rate,
                "gradient_norm": result.gradient_norm,
                **({} if self._loss_scale is None else {"skipped_steps": result.skipped_steps}),
                "examples_per_second": (end - start) * self._config.global_batch_size / seconds,
            },
        )

    def _restore(self) -> bool:
        return self._checkpoints.restore()

    def _save(self, step: int) -> None:
        if hosts.is_chief():
            self._curves.save()
        self._checkpoints.save(step)
        if self._best is not None and hosts.is_chief():
            self._best.sweep()

    def _begins(self, start: int, end: int) -> None:
        self._progress.begins(start, end)

    def _check(self, result: LoopResult, start: int, end: int) -> None:
        """Raises TrainingFailure where going on would come to nothing."""
        loss = result.losses["loss"]
        if self._loss_scale is None or result.skipped_steps < end - start:
            if not math.isfinite(loss):
                others = "train.jit_compile=true or " if self._is_doubtful else ""
                raise TrainingFailure(
                    f"the loss became {loss} between steps {start} and {end}; lower train.learning_rate "
                    f"or set {others}train.clip_norm"
                )
        # Before that, the next steps may be those that the halved scale lets through.
        elif self._loss_scale.is_lowest or end >= self._num_steps:
            raise TrainingFailure(
                f"float16 overflowed in every step from {start} to {end}; set train.dtype=mixed_bfloat16, "
                "or lower train.learning_rate"
            )

    @property
    def _is_doubtful(self) -> bool:
        # TensorFlow's convolutions of volumes in bfloat16 have been seen to give NaN on CPUs, XLA's have not.
        return self._config.dtype == "mixed_bfloat16" and not self._config.jit_compile

    def _measure(self) -> dict[str, float]:
        metrics = self._loop.evaluate(self._eval_batches)
        step = int(self._step.numpy())
        self._curves.add("eval", step, metrics)
        self._progress.evaluated(step, metrics)
        return metrics

    def _evaluate(self) -> dict[str, float]:
        """Returns what is measured at the end of an epoch, after deciding what follows from it."""
        metrics = self._measure()
        threshold = self._config.stop_threshold
        if threshold is not None and metrics[self._stop_metric] >= threshold:
            logger.info("stopped early: %s reached %g", self._stop_metric, threshold)
            self._stopped.assign(True)
        if self._best is not None:
            self._judge(self._best, metrics)
        return metrics

    def _judge(self, best: Best, metrics: Mapping[str, float]) -> None:
        """Keeps the weights where they are the best so far, and ends training where they have long been."""
        if best.judge(int(self._step.numpy()), metrics) and self._config.keep == "best":
            # All processes, since some weights are read from all of them.
            weights = self._weights()
            if hosts.is_chief():
                best.write(weights)
        if self._config.patience is not None and best.stale >= self._config.patience:
            logger.info("stopped early: %s was best at step %d", best.judged_by, best.step)
            self._stopped.assign(True)

    def _next_boundary(self, step: int) -> int:
        """Returns the end of the loop that starts at `step`; it depends on the step alone."""
        in_epoch = step % self._stream.steps_per_epoch
        loop_end = in_epoch - in_epoch % self._config.steps_per_loop + self._config.steps_per_loop
        return min(step - in_epoch + min(loop_end, self._stream.steps_per_epoch), self._num_steps)

    def _ends_epoch(self, step: int) -> bool:
        return step % self._stream.steps_per_epoch == 0 or step >= self._num_steps

    def _is_checkpointed(self, step: int) -> bool:
        loops = -(-(step % self._stream.steps_per_epoch) // self._config.steps_per_loop)
        return self._ends_epoch(step) or loops % self._config.checkpoint_every_loops == 0

    def _state(self) -> dict[str, Any]:
        """Returns all variables that the next step depends on, by name."""
        state = {"step": self._step, "stopped": self._stopped}
        state |= {} if self._best is None else self._best.variables
        if (scale := self._loss_scale) is not None:
            state |= {"loss_scale": scale.scale, "finite_steps": scale.finite_steps}
        # `weights` leaves out the state of dropout's random numbers, `variables` has it.
        state |= {f"model/{variable.path}": self._saved(variable) for variable in self._model.variables}
        return state | {f"optimizer/{v.path}": self._saved(v) for v in self._optimizer.variables}

    def _saved(self, variable: keras.Variable) -> Any:
        """Returns what TensorFlow saves of a variable."""
        return variable.value

    def _log_start(self) -> None:
        logger.info(
            "training %s weights for %d steps of %d, an epoch being %s, on %s",
            f"{self._model.count_params():,}", self._num_steps, self._config.global_batch_size,
            self._stream.size, self._devices,
        )  # fmt: skip

    @property
    def _devices(self) -> str:
        return f"{self._strategy.num_replicas_in_sync} × {type(self._strategy).__name__}"
