"""Keras optimizers and learning-rate schedules from a TrainConfig."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from components.train_config import TrainConfig


class _Reduced(keras.optimizers.Optimizer):
    """Mixin: the gradients are already summed over all replicas, and each weight has a learning rate.

    The loop sums them itself, because clipping by the global norm needs the sum; Keras would sum again.
    """

    # Factors of the learning rate, by the weights' order.
    multipliers: Sequence[float] = ()

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars

    def _apply_weight_decay(self, variables: Any) -> None:
        """Nothing: `update_step` does it, since decay follows a weight's own learning rate."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        multiplier = self.multipliers[self._get_variable_index(variable)]
        rate = learning_rate * multiplier if multiplier != 1 else learning_rate
        if self.weight_decay is not None and self._use_weight_decay(variable):
            decay = ops.cast(rate * self.weight_decay, variable.dtype)
            self.assign_sub(variable, variable * decay)
        super().update_step(gradient, variable, rate)


class _Fused(keras.optimizers.Adam):
    """Mixin: Adam's update of a weight in one operation, where Keras has one for each line of its formula."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if keras.config.backend() != "tensorflow":
            # XLA, which compiles all of a step for JAX, joins operations itself.
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations.value + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class _LayerAdapted(keras.optimizers.Lamb):
    """Mixin: LAMB's decay is part of the update whose size is adapted to the weight's; Keras decays before.

    Y. You et al. (arxiv.org/abs/1904.00962), algorithm 2. What does not decay is not adapted either, as in
    google-research/albert, lamb_optimizer.py: a bias of 0 would be kept from growing by its own size.
    """

    decay: float = 0.0

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index], self._velocities[index]
        gradient = ops.cast(gradient, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        self.assign_add(momentum, (gradient - momentum) * (1 - self.beta_1))
        self.assign_add(velocity, (ops.square(gradient) - velocity) * (1 - self.beta_2))
        size = ops.sqrt(velocity / (1 - self.beta_2**step)) + self.epsilon
        update = momentum / ((1 - self.beta_1**step) * size)
        rate = ops.cast(learning_rate, variable.dtype)
        if self._use_weight_decay(variable):
            update += self.decay * variable
            rate *= _trust_ratio(variable, update)
        self.assign_sub(variable, rate * update)


def _trust_ratio(variable: Any, update: Any) -> Any:
    """Returns the norm of a weight as a multiple of its update's; 1 where either is 0."""
    norm, update_norm = (ops.sqrt(ops.sum(ops.square(each))) for each in (variable, update))
    is_known = ops.logical_and(norm > 0, update_norm > 0)
    return ops.where(is_known, ops.divide_no_nan(norm, update_norm), 1.0)


class _Adam(_Reduced, _Fused):
    pass


class _AdamW(_Reduced, _Fused, keras.optimizers.AdamW):
    pass


class _Lamb(_Reduced, _LayerAdapted):
    pass


class _SGD(_Reduced, keras.optimizers.SGD):
    pass


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from 0 to the peak in `warmup_steps`, then follows `after` (a rate or a schedule)."""

    def __init__(self, peak: float, warmup_steps: int, after: Any) -> None:
        self._peak, self._warmup_steps, self._after = peak, warmup_steps, after

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rising = self._peak * step / max(1, self._warmup_steps)
        after = self._after(step - self._warmup_steps) if callable(self._after) else self._after
        return ops.where(step < self._warmup_steps, rising, after)


def make_schedule(config: TrainConfig, num_steps: int) -> Any:
    """Returns the learning rate by step; decays end at `num_steps`."""
    warmup_steps = round(config.warmup_fraction * num_steps)
    decayed = _make_decay(config, max(1, num_steps - warmup_steps))
    return WarmUp(config.learning_rate, warmup_steps, decayed) if warmup_steps else decayed


def _make_decay(config: TrainConfig, num_steps: int) -> Any:
    schedules, rate = keras.optimizers.schedules, config.learning_rate
    if config.schedule in ("linear", "polynomial"):
        power = config.power if config.schedule == "polynomial" else 1.0
        return schedules.PolynomialDecay(rate, num_steps, end_learning_rate=0.0, power=power)
    if config.schedule == "cosine":
        return schedules.CosineDecay(rate, num_steps)
    if config.schedule == "exponential":
        return schedules.ExponentialDecay(rate, config.decay_steps, config.decay_rate)
    return rate


def make_optimizer(
    config: TrainConfig, num_steps: int, variables: list[Any], multipliers: Mapping[str, float] | None = None
) -> keras.optimizers.Optimizer:
    """Returns the optimizer, built for `variables`, so that its state exists before a checkpoint is read.

    `multipliers`: factors of the learning rate, by the path of a variable.
    """
    schedule = make_schedule(config, num_steps)
    # Named, since what Keras makes of a class's name differs with its version and counts optimizers.
    name = config.optimizer
    if name == "sgd":
        optimizer = _SGD(schedule, momentum=config.momentum, nesterov=config.nesterov, name=name)
    elif name == "adam":
        optimizer = _Adam(schedule, epsilon=config.epsilon, name=name)
    elif name == "adamw":
        decay = config.weight_decay
        optimizer = _AdamW(schedule, weight_decay=decay, epsilon=config.epsilon, name=name)
    else:
        optimizer = _Lamb(schedule, epsilon=config.epsilon, name=name)
        optimizer.decay = config.weight_decay
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in variables if _excluded(v.path, config.weight_decay_exclude)]
    )
    optimizer.multipliers = [(multipliers or {}).get(variable.path, 1.0) for variable in variables]
    optimizer.build(variables)
    return optimizer


def _excluded(path: str, words: tuple[str, ...]) -> bool:
    """Whether the weight's own name holds one of the words: "encoder/dense/bias" -> True for "bias"."""
    return any(word in path.rsplit("/", 1)[-1] for word in words)
