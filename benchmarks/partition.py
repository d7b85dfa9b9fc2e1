"""Memory and time of a training step on volumes that are split along their depth over 1, 2 and 4 devices.

    python benchmarks/partition.py [--patch 64] [--filters 16,32,64] [--steps 3] [--out partition.json]

Each number of devices is a process of its own, on accelerators that JAX sees, or on virtual devices of this
CPU: these show the memory of each device, but share the CPU's cores, so that their times say nothing of
accelerators.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from components.train_config import TrainConfig
from components.trainer.partition.process import environment

DEVICES = (1, 2, 4)
BATCH = 2


def main(
    patch: Annotated[int, typer.Option(help="Voxels of a patch along each axis.")] = 64,
    filters: Annotated[str, typer.Option(help="Of each level.")] = "16,32,64",
    normalization: Annotated[str, typer.Option(help="batch, instance, group or none.")] = "instance",
    steps: Annotated[int, typer.Option(help="Steps that are timed; the fastest counts.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
    child: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Prints the temporary memory of a step on each device, and how long it takes."""
    model = {
        "patch_size": [patch] * 3,
        "filters": [int(number) for number in filters.split(",")],
        "normalization": normalization,
    }
    if child:
        print(json.dumps(measured(model, (1, child, 1, 1, 1), steps)))
        return
    rows = [in_own_process(number) for number in DEVICES]
    title = f"A step on {BATCH} patches of {patch}³, filters {filters}, {normalization} normalization"
    table = Table(title=title)
    for key in rows[0]:
        table.add_column(key, justify="right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if out is not None:
        out.write_text(json.dumps(rows, indent=2) + "\n")


def in_own_process(devices: int) -> dict[str, Any]:
    added = environment(TrainConfig(global_batch_size=BATCH, partition=(1, devices, 1, 1, 1)))
    command = [sys.executable, *sys.argv, "--child", str(devices)]
    finished = subprocess.run(
        command, env={**os.environ, **added}, capture_output=True, text=True, check=False
    )
    if finished.returncode:
        sys.exit(finished.stderr)
    return json.loads(finished.stdout.splitlines()[-1])


def measured(model: dict[str, Any], partition: tuple[int, ...], steps: int) -> dict[str, Any]:
    """Returns the figures of one partition; Keras has to be on JAX."""
    import jax
    import numpy as np

    from components.models.segmentation import Segmentation
    from components.trainer.optimizer import make_optimizer
    from components.trainer.partition.devices import Grid
    from components.trainer.partition.steps import PartitionedLoop

    segmentation = Segmentation(**model)
    config = TrainConfig(global_batch_size=BATCH, partition=partition, optimizer="adamw", clip_norm=1.0)
    network, grid = segmentation.build(), Grid(partition)
    optimizer = make_optimizer(config, steps, network.trainable_variables)
    loop = PartitionedLoop(grid, network, optimizer, segmentation, config)
    random = np.random.default_rng(0)
    shape = (BATCH, *segmentation.patch_size)
    batch = grid.place(
        {
            "image": random.normal(size=shape).astype(np.float32),
            "label": random.integers(segmentation.num_classes, size=shape).astype(np.uint8),
            "example_weight": np.ones(BATCH, np.float32),
        }
    )
    start = time.perf_counter()
    state, *_ = jax.block_until_ready(loop.step(loop.state(), batch))
    first_s = time.perf_counter() - start
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        state, *_ = jax.block_until_ready(loop.step(state, batch))
        seconds.append(time.perf_counter() - start)
    device = jax.devices()[0]
    return {
        "devices": partition[1],
        "MB on each": round(loop.step_bytes / 1e6, 1),
        "s a step": round(min(seconds), 2),
        "s to compile": round(first_s - min(seconds), 1),
        "device": device.device_kind if device.platform != "cpu" else f"cpu, {os.cpu_count()} cores",
    }


if __name__ == "__main__":
    typer.run(main)
