"""Training speed of the 3D U-Net beside the same network in PyTorch: the same patch, batch and threads.

    python benchmarks/unet_training.py --peer-python PEER/bin/python [--out unet_training.json]

PEER is an environment of its own: `uv venv PEER && uv pip install --python PEER/bin/python torch==2.13.0
numpy`. Without one, only the project's own figures are printed.

Both sides train all weights with SGD and Nesterov momentum on Dice and cross-entropy, on one batch in
memory; ours through the loop of `components/trainer/loop.py`. The peer waits in a process of its own
(`unet_peer.py`), and the two take turns, so that a change in the machine's load hits both. The first round of
each warms up and is left out. Seconds of the CPU stand beside those of the clock, since they hardly depend on
what else runs.
"""

import json
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow switches oneDNN's kernels on by itself only where a CPU has AVX-512 VNNI or AMX.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table

from components.features import EXAMPLE_WEIGHT, IMAGE, LABEL
from components.models.segmentation import Segmentation
from components.train_config import TrainConfig
from components.trainer.loop import CompiledLoop
from components.trainer.optimizer import make_optimizer
from components.trainer.strategies import make_strategy


class Seconds(NamedTuple):
    """What a step takes."""

    clock: float
    cpu: float


Side = Callable[[int], Seconds]  # steps -> seconds of one


def main(
    peer_python: Annotated[Path | None, typer.Option(help="Python with torch.")] = None,
    size: Annotated[int, typer.Option(help="Voxels of a patch along each axis.")] = 64,
    filters: Annotated[str, typer.Option(help="By level, separated by commas.")] = "16,32,64,128",
    normalization: Annotated[str, typer.Option(help="batch or instance.")] = "batch",
    batch_size: Annotated[int, typer.Option(help="Patches in a step.")] = 2,
    threads: Annotated[int, typer.Option(help="Threads of an operation, on both sides.")] = 2,
    steps: Annotated[int, typer.Option(help="Steps in a round.")] = 2,
    rounds: Annotated[int, typer.Option(help="Rounds of each side after the warm-up.")] = 7,
    xla: Annotated[bool, typer.Option(help="Compile our model with XLA.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints the milliseconds of a step on both sides, and their ratios."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    levels = tuple(map(int, filters.split(",")))
    model = Segmentation(patch_size=(size,) * 3, filters=levels, normalization=normalization)
    sides = {"millrace": make_side(model, batch_size, xla)}
    if peer_python is not None:
        sides["pytorch"] = make_peer_side(peer_python, size, filters, normalization, batch_size, threads)
    row = measure(sides, steps, rounds)
    table = Table(title=f"{size}³ voxels, filters {filters}, batch {batch_size}, {threads} threads")
    for key in row:
        table.add_column(key, justify="right")
    table.add_row(*map(str, row.values()))
    Console().print(table)
    if out is not None:
        out.write_text(json.dumps(row, indent=2) + "\n")


def measure(sides: dict[str, Side], steps: int, rounds: int) -> dict[str, Any]:
    """Returns medians over the rounds, and the medians of the rounds' ratios: above 1, ours is faster."""
    found: dict[str, list[Seconds]] = {name: [] for name in sides}
    for run_steps in sides.values():
        run_steps(steps)
    for _ in range(rounds):
        for name, run_steps in sides.items():
            found[name].append(run_steps(steps))
    row: dict[str, Any] = {}
    for kind in Seconds._fields:
        by_side = [[getattr(each, kind) for each in of_side] for of_side in found.values()]
        for name, of_side in zip(found, by_side, strict=True):
            row[f"{name}_{kind}_ms"] = round(statistics.median(of_side) * 1e3)
        if len(by_side) > 1:
            ratios = [theirs / ours for ours, theirs in zip(*by_side, strict=True)]
            row[f"{kind}_ratio"] = round(statistics.median(ratios), 2)
    return row


def make_side(model: Segmentation, batch_size: int, xla: bool) -> Side:
    """Returns a function that takes steps of the project's loop."""
    config = TrainConfig(
        global_batch_size=batch_size, optimizer="sgd", learning_rate=0.01, momentum=0.99, nesterov=True,
        strategy="one_device", jit_compile=xla,
    )  # fmt: skip
    strategy = make_strategy(config.strategy)
    with strategy.scope():
        network = model.build()
        optimizer = make_optimizer(config, 1_000_000, network.trainable_variables)
    loop = CompiledLoop(strategy, network, optimizer, model, config, None)
    batches = tf.data.Dataset.from_tensors(make_batch(batch_size, model.patch_size)).repeat()
    iterator = iter(strategy.distribute_datasets_from_function(lambda context: batches))

    def run_steps(steps: int) -> Seconds:
        clock, cpu = time.perf_counter(), cpu_s()
        loop.run(iterator, steps)
        return Seconds((time.perf_counter() - clock) / steps, (cpu_s() - cpu) / steps)

    return run_steps


def make_batch(batch_size: int, patch: tuple[int, ...]) -> dict[str, Any]:
    """Returns noise and the class of each voxel; unet_peer.py makes the same."""
    image = np.random.default_rng(0).normal(size=(batch_size, *patch)).astype(np.float32)
    label = np.digitize(image, [1, 2]).astype(np.uint8)
    return {IMAGE: image, LABEL: label, EXAMPLE_WEIGHT: np.ones(batch_size, np.float32)}


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def make_peer_side(python: Path, *settings: object) -> Side:
    """Starts the peer, which ends with this process, and returns a function that asks it to take steps."""
    script = Path(__file__).parent / "support" / "unet_peer.py"
    peer = subprocess.Popen(
        [python, script, *map(str, settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def run_steps(steps: int) -> Seconds:
        if peer.stdin is None or peer.stdout is None:
            raise RuntimeError("the peer has no pipes")
        peer.stdin.write(f"{steps}\n")
        peer.stdin.flush()
        return Seconds(*map(float, peer.stdout.readline().split()))

    return run_steps


if __name__ == "__main__":
    typer.run(main)
