"""The compiled part of training on JAX: an optimizer step and an evaluation, each for all devices at once."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras

from components.protocols import Model
from components.train_config import TrainConfig
from components.trainer.loop import LoopResult, evaluated
from components.trainer.partition.devices import Grid

Features = Mapping[str, Any]

logger = logging.getLogger(__name__)


class State(NamedTuple):
    """What a step depends on and changes, in Keras' order."""

    trainable: list[Any]
    # Moving averages of batch normalization, and seeds.
    others: list[Any]
    optimizer: list[Any]


class PartitionedLoop:
    """Optimizer steps of one model on a grid of devices; the numbers are those of one device.

    The weights are on every device, and the batch is cut up. What a layer needs of a neighbour's part, or
    of all parts, XLA's partitioner exchanges: the borders of convolutions, and the sums of normalizations.
    """

    def __init__(
        self,
        grid: Grid,
        keras_model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        model: Model,
        config: TrainConfig,
    ) -> None:
        self._grid = grid
        self._keras_model = keras_model
        self._optimizer = optimizer
        self._model = model
        self._clip_norm = config.clip_norm
        self._input_names = [tensor.name for tensor in keras_model.inputs]
        self._metrics = model.metrics()
        compiled = functools.partial(jax.jit, out_shardings=grid.whole)
        self._steps = compiled(self._one_step)
        self._sums = compiled(self._eval_sums)
        self._step: Any = None

    def run(self, iterator: Any, num_steps: int) -> LoopResult:
        """Takes steps on the next batches of tensors; afterwards the Keras model has the weights."""
        state = self.state()
        sums = terms = jnp.zeros(len(self._model.loss_terms))
        for _ in range(num_steps):
            batch = self._placed(next(iterator))
            # So that there are never more batches on the devices than this one and the last.
            jax.block_until_ready(terms)
            state, terms, norm = self.step(state, batch)
            sums += terms
        self._keep(state)
        means = (sums / num_steps).tolist()
        losses = {"loss": sum(means), **dict(zip(self._model.loss_terms, means, strict=True))}
        return LoopResult(losses, float(norm), 0)

    def evaluate(self, batches: Any) -> dict[str, float]:
        """Returns the losses and the model's metrics over batches of tensors."""
        state = self.state()
        return evaluated(self._model, (self._sums(state, self._placed(batch)) for batch in batches))

    def state(self) -> State:
        """Returns the values of the Keras model and its optimizer, on all devices."""
        values = [[variable.value for variable in variables] for variables in self._variables()]
        return State(*jax.device_put(values, self._grid.whole))

    def step(self, state: State, batch: Features) -> tuple[State, Any, Any]:
        """Returns the state after a step, its loss terms, and the gradients' norm before clipping."""
        if self._step is None:
            self._step = self._steps.lower(state, batch).compile()
            logger.info(
                "a step takes %.1f MB on each device, beside weights and batch", self.step_bytes / 1e6
            )
        return self._step(state, batch)

    @property
    def step_bytes(self) -> int:
        """The memory that a compiled step takes on each device, beside what goes in and out."""
        return int(self._step.memory_analysis().temp_size_in_bytes)

    def _gradients(self, state: State, features: Features) -> tuple[Any, list[Any]]:
        """Returns ((moving averages and seeds after it, loss terms), gradients of the trainable weights)."""
        gradients = jax.value_and_grad(self._loss, has_aux=True)
        (_, after), found = gradients(state.trainable, state.others, features)
        return after, found

    def _variables(self) -> State:
        model = self._keras_model
        return State(model.trainable_variables, model.non_trainable_variables, self._optimizer.variables)

    def _keep(self, state: State) -> None:
        for variables, values in zip(self._variables(), state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _placed(self, batch: Features) -> dict[str, Any]:
        return self._grid.place({name: value.numpy() for name, value in batch.items()})

    def _inputs(self, features: Features) -> dict[str, Any]:
        return {name: features[name] for name in self._input_names}

    def _one_step(self, state: State, features: Features) -> tuple[State, Any, Any]:
        (others, terms), gradients = self._gradients(state, features)
        norm = jnp.sqrt(sum(jnp.sum(gradient**2) for gradient in gradients))
        if self._clip_norm is not None:
            gradients = [
                gradient * self._clip_norm / jnp.maximum(norm, self._clip_norm) for gradient in gradients
            ]
        apply = self._optimizer.stateless_apply
        trainable, optimizer = apply(state.optimizer, gradients, state.trainable)
        return State(trainable, others, optimizer), terms, norm

    def _loss(self, trainable: list[Any], others: list[Any], features: Features) -> Any:
        """Returns the loss, and beside it moving averages and seeds afterwards, and the loss's terms."""
        outputs, others = self._keras_model.stateless_call(
            trainable, others, self._inputs(features), training=True
        )
        sums = self._weighted_sums(features, outputs)
        terms = jnp.stack([keras.ops.divide_no_nan(*sums[name]) for name in self._model.loss_terms])
        return jnp.sum(terms), (others, terms)

    def _weighted_sums(self, features: Features, outputs: Any) -> dict[str, Any]:
        """Returns the loss and the weight of each term."""
        weights = self._model.loss_weights(features)
        losses = self._model.losses(features, outputs)
        return {
            name: jnp.stack([jnp.sum(losses[name] * weights[name]), jnp.sum(weights[name])])
            for name in self._model.loss_terms
        }

    def _eval_sums(self, state: State, features: Features) -> dict[str, Any]:
        outputs, _ = self._keras_model.stateless_call(
            state.trainable, state.others, self._inputs(features), training=False
        )
        sums = {name: metric.update(features, outputs) for name, metric in self._metrics.items()}
        return {**self._weighted_sums(features, outputs), **sums}
