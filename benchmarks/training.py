"""Training step time of the MNIST CNN, and what the project's loop costs over a bare step.

    python benchmarks/training.py [--steps 10] [--rounds 5] [--out training.json]

Both sides train the same Keras model with the same optimizer on the same batches in memory. The bare side
calls a `tf.function` of one step; the other runs the loop of `components/trainer/loop.py`. Rounds
alternate, so that a change in the machine's load hits both; the first round of each warms up and is left out.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# As `millrace` does.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np
import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table

from components.features import EXAMPLE_WEIGHT, IMAGE, LABEL
from components.models.mnist_cnn import MnistCnn
from components.models.precision import dtype_policy
from components.train_config import TrainConfig
from components.trainer.loop import CompiledLoop
from components.trainer.optimizer import make_optimizer
from components.trainer.strategies import make_strategy

VARIANTS = [(dtype, xla) for dtype in ("float32", "mixed_bfloat16") for xla in (False, True)]


def main(
    batch_size: Annotated[int, typer.Option(help="Examples in a step.")] = 100,
    steps: Annotated[int, typer.Option(help="Steps in a round.")] = 10,
    rounds: Annotated[int, typer.Option(help="Rounds of each side after the warm-up.")] = 5,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints step time, examples/s and the loop's overhead for each precision, with and without XLA."""
    rows = [measure(dtype, xla, batch_size, steps, rounds) for dtype, xla in VARIANTS]
    table = Table(title=f"MNIST CNN, batch {batch_size}, {os.cpu_count()} cores")
    for key in rows[0]:
        table.add_column(key, justify="left" if key in ("dtype", "xla") else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if out is not None:
        out.write_text(json.dumps(rows, indent=2) + "\n")


def measure(dtype: str, xla: bool, batch_size: int, steps: int, rounds: int) -> dict[str, Any]:
    """Returns the figures of one precision, with or without XLA."""
    config = TrainConfig(dtype=dtype, jit_compile=xla, strategy="one_device", global_batch_size=batch_size)
    batch = {
        IMAGE: tf.random.stateless_uniform([batch_size, 28, 28], [1, 2]),
        LABEL: tf.constant(np.arange(batch_size) % 10),
        EXAMPLE_WEIGHT: tf.ones([batch_size]),
    }
    sides = {"bare": bare_side(config, batch), "loop": loop_side(config, batch)}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for run_steps in sides.values():
        run_steps(steps)
    for _ in range(rounds):
        for name, run_steps in sides.items():
            start = time.perf_counter()
            run_steps(steps)
            seconds[name].append((time.perf_counter() - start) / steps)
    bare, loop = (statistics.median(seconds[name]) for name in ("bare", "loop"))
    return {
        "dtype": dtype,
        "xla": "on" if xla else "off",
        "step_ms": round(loop * 1e3, 2),
        "examples_per_s": round(batch_size / loop),
        "bare_step_ms": round(bare * 1e3, 2),
        "loop_over_bare": round(statistics.median(map(_ratio, seconds["loop"], seconds["bare"])), 3),
    }


def bare_side(config: TrainConfig, batch: dict[str, Any]) -> Callable[[int], None]:
    """Returns a function that takes steps of a plain Keras model in a `tf.function`."""
    with dtype_policy(config.dtype):
        model = MnistCnn().build()
    optimizer = keras.optimizers.Adam(config.learning_rate)
    optimizer.build(model.trainable_variables)
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(jit_compile=config.jit_compile or None)
    def gradients_of(image: Any, label: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_fn(label, model({IMAGE: image}, training=True))
        return tape.gradient(loss, [weight.value for weight in model.trainable_variables])

    @tf.function
    def step(image: Any, label: Any) -> None:
        optimizer.apply(gradients_of(image, label), model.trainable_variables)

    def run_steps(count: int) -> None:
        for _ in range(count):
            step(batch[IMAGE], batch[LABEL])

    return run_steps


def loop_side(config: TrainConfig, batch: dict[str, Any]) -> Callable[[int], None]:
    """Returns a function that takes steps of the project's loop."""
    strategy = make_strategy(config.strategy)
    with strategy.scope(), dtype_policy(config.dtype):
        model = MnistCnn().build()
        optimizer = make_optimizer(config, 1_000_000, model.trainable_variables)
    loop = CompiledLoop(strategy, model, optimizer, MnistCnn(), config, None)
    batches = tf.data.Dataset.from_tensors(batch).repeat()
    iterator = iter(strategy.distribute_datasets_from_function(lambda context: batches))

    def run_steps(count: int) -> None:
        loop.run(iterator, count)

    return run_steps


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator


if __name__ == "__main__":
    typer.run(main)
