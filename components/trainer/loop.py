"""The compiled part of training: optimizer steps in a loop on the devices, and evaluation of a batch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from components.protocols import Model
from components.train_config import TrainConfig
from components.trainer.errors import TrainConfigError
from components.trainer.loss_scale import LossScale

Features = dict[str, Any]

# What TensorFlow says of an operation that a device cannot do, such as pooling volumes in float16 on CPUs.
_NO_KERNEL: Final = re.compile(r"No OpKernel was registered to support Op '(\w+)'")


class LoopResult(NamedTuple):
    """What a loop of optimizer steps reports."""

    losses: dict[str, float]  # means over the steps that were not skipped; "loss" is the sum of the terms
    gradient_norm: float  # of the last of them, before clipping
    skipped_steps: int  # since float16 overflowed in them


class Loop(Protocol):
    """Optimizer steps and evaluation, on whatever devices."""

    def run(self, iterator: Any, num_steps: int) -> LoopResult:
        """Runs optimizer steps on the next batches."""

    def evaluate(self, batches: Any) -> dict[str, float]:
        """Returns the losses and the model's metrics over batches."""


class CompiledLoop:
    """Optimizer steps of one model under one strategy.

    Numbers do not depend on how a global batch is cut up: each replica takes the gradient of its share
    of the global loss, the shares are summed, and only the sum is clipped and applied.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        keras_model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        model: Model,
        config: TrainConfig,
        loss_scale: LossScale | None,
    ) -> None:
        self._strategy = strategy
        self._keras_model = keras_model
        self._optimizer = optimizer
        self._model = model
        self._config = config
        self._loss_scale = loss_scale
        self._input_names = [tensor.name for tensor in keras_model.inputs]
        self._variables = keras_model.trainable_variables
        # XLA compiles the model's part alone; sums over replicas and the update stay outside, where every
        # strategy supports them.
        self._gradients = tf.function(self._gradients_of_share, jit_compile=config.jit_compile or None)
        self._sums = tf.function(self._eval_sums, jit_compile=config.jit_compile or None)
        self._run_steps = tf.function(self._many_steps)
        self._run_eval = tf.function(self._eval_batch)

    def run(self, iterator: Any, num_steps: int) -> LoopResult:
        """Runs `num_steps` optimizer steps inside one tf.function."""
        with _told_of_kernels(self._config.dtype):
            sums, gradient_norm, applied = self._run_steps(iterator, tf.constant(num_steps))
        means = sums.numpy() / applied.numpy() if applied else np.full(len(sums), np.nan)
        terms = dict(zip(self._model.loss_terms, means.tolist(), strict=True))
        losses = {"loss": float(means.sum()), **terms}
        return LoopResult(losses, float(gradient_norm), num_steps - int(applied))

    def evaluate(self, batches: Any) -> dict[str, float]:
        """Returns the losses and the model's metrics over distributed batches."""
        return evaluated(self._model, map(self._run_eval, batches))

    def _forward(self, features: Features, training: bool) -> Any:
        inputs = {name: features[name] for name in self._input_names}
        if self._config.partition is not None:
            # The batch is split over replicas already.
            parts = [1, *self._config.partition[1:-1]]
            split = self._strategy.experimental_split_to_logical_devices
            inputs = {name: split(value, parts) for name, value in inputs.items()}
        return self._keras_model(inputs, training=training)

    def _many_steps(self, iterator: Any, num_steps: Any) -> Any:
        sums = tf.zeros([len(self._model.loss_terms)])
        gradient_norm = tf.constant(np.nan)
        applied = tf.constant(0)
        for _ in tf.range(num_steps):
            losses, norm, is_applied = self._one_step(next(iterator))
            if is_applied:
                sums, gradient_norm, applied = sums + losses, norm, applied + 1
        return sums, gradient_norm, applied

    def _one_step(self, batch: Any) -> Any:
        """Returns the loss terms, the gradients' norm, and whether the weights were updated."""
        applied = tf.constant(True)
        if self._loss_scale is None:
            losses, norms = self._strategy.run(self._reduce_and_apply, args=(batch,))
        else:
            gradients, losses, norms = self._strategy.run(self._reduced_gradients, args=(batch,))
            applied = tf.math.is_finite(self._first(norms))
            if applied:
                self._strategy.run(self._apply, args=(gradients,))
            self._loss_scale.update(applied)
        losses = self._strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)
        return losses, self._first(norms), applied

    def _first(self, per_replica: Any) -> Any:
        return self._strategy.experimental_local_results(per_replica)[0]

    def _reduce_and_apply(self, features: Features) -> Any:
        gradients, losses, norm = self._reduced_gradients(features)
        self._apply(gradients)
        return losses, norm

    def _apply(self, gradients: Any) -> None:
        self._optimizer.apply(gradients, self._variables)

    def _reduced_gradients(self, features: Features) -> Any:
        """Returns the gradients over the global batch, this replica's share of the loss terms, the norm."""
        context = tf.distribute.get_replica_context()
        weights = self._model.loss_weights(features)
        totals = {name: tf.reduce_sum(weight) for name, weight in weights.items()}
        if context.num_replicas_in_sync > 1:
            totals = context.all_reduce(tf.distribute.ReduceOp.SUM, totals)
        gradients, losses = self._accumulated_gradients(features, totals)
        if context.num_replicas_in_sync > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if self._loss_scale is not None:
            gradients = [gradient / self._loss_scale.scale for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        if self._config.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._config.clip_norm, use_norm=norm)
        return gradients, losses, norm

    def _accumulated_gradients(self, features: Features, totals: Features) -> Any:
        """Returns the summed gradients and losses of the micro-batches that `features` is cut into."""
        parts = self._config.gradient_accumulation_steps
        if parts == 1:
            return self._gradients(features, totals)
        micro_batches = {name: _cut(value, parts) for name, value in features.items()}
        gradients = [tf.zeros(variable.shape) for variable in self._variables]
        losses = tf.zeros([len(self._model.loss_terms)])
        for part in tf.range(parts):
            micro_batch = {name: value[part] for name, value in micro_batches.items()}
            new_gradients, new_losses = self._gradients(micro_batch, totals)
            gradients = [old + new for old, new in zip(gradients, new_gradients, strict=True)]
            losses += new_losses
        return gradients, losses

    def _gradients_of_share(self, features: Features, totals: Features) -> Any:
        """Returns gradients and terms of this share of the global loss: sum(loss·weight) / total weight."""
        variables = [variable.value for variable in self._variables]
        with tf.GradientTape() as tape:
            terms = self._weighted_sums(features, self._forward(features, training=True))
            shares = tf.stack([tf.math.divide_no_nan(terms[name], totals[name]) for name in terms])
            loss = tf.reduce_sum(shares)
            if self._loss_scale is not None:
                loss *= self._loss_scale.scale
        gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.convert_to_tensor(gradient) for gradient in gradients], shares

    def _weighted_sums(self, features: Features, outputs: Any) -> Features:
        weights = self._model.loss_weights(features)
        losses = self._model.losses(features, outputs)
        return {name: tf.reduce_sum(losses[name] * weights[name]) for name in self._model.loss_terms}

    def _eval_batch(self, batch: Any) -> Features:
        per_replica = self._strategy.run(self._sums, args=(batch,))
        reduce = self._strategy.reduce
        return {k: reduce(tf.distribute.ReduceOp.SUM, v, axis=None) for k, v in per_replica.items()}

    def _eval_sums(self, features: Features) -> Features:
        outputs = self._forward(features, training=False)
        weights = self._model.loss_weights(features)
        sums = self._weighted_sums(features, outputs)
        terms = {name: tf.stack([total, tf.reduce_sum(weights[name])]) for name, total in sums.items()}
        return {**terms, **{n: m.update(features, outputs) for n, m in self._model.metrics().items()}}


def evaluated(model: Model, sums_by_batch: Iterable[Features]) -> dict[str, float]:
    """Returns the losses and metrics, of the sums of each batch by name; of a term: loss and weight."""
    totals: dict[str, Any] = {}
    for batch in sums_by_batch:
        for name, sums in batch.items():
            totals[name] = totals.get(name, 0.0) + np.asarray(sums).astype(np.float64)
    results = {name: metric.result(totals[name]) for name, metric in model.metrics().items()}
    # A term that nothing counts in is 0, as in training.
    terms = {name: float(totals[name][0] / (totals[name][1] or 1)) for name in model.loss_terms}
    return {"loss": sum(terms.values()), **(terms if len(terms) > 1 else {}), **results}


@contextmanager
def _told_of_kernels(dtype: str) -> Iterator[None]:
    """Raises TrainConfigError in place of TensorFlow's error where a device cannot do an operation."""
    try:
        yield
    except tf.errors.OpError as error:
        missing = _NO_KERNEL.search(error.message)
        if missing is None or dtype == "float32":
            raise
        expected = "expected float32, or train.jit_compile=true beside it"
        reason = f"TensorFlow has no {missing[1]} for it on this device"
        raise TrainConfigError(f"train.dtype: {expected}, got {dtype}: {reason}") from error


def _cut(value: Any, parts: int) -> Any:
    """Returns a batch as micro-batches: [batch, …] -> [parts, batch / parts, …]."""
    sizes = tf.shape(value)
    inner = [sizes[axis] if size is None else size for axis, size in enumerate(value.shape)]
    return tf.reshape(value, [parts, -1, *inner[1:]])
