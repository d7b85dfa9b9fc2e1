"""Peak memory of training steps of small U-Nets, against what `millrace plan` says that they take.

    python benchmarks/unet_memory.py [--only TEXT] [--out unet_memory.json]

Each network takes two steps on random patches in a process of its own, with the task's losses and optimizer.
What the process held before the first step, TensorFlow and the weights among it, does not count.
"""

import json
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# As `millrace` does.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table

from components.features import EXAMPLE_WEIGHT, IMAGE, LABEL
from components.models.segmentation import Segmentation
from components.train_config import TrainConfig
from components.trainer.optimizer import make_optimizer
from pipelines.planning.memory import step_bytes

_THICK = [[1, 2, 2], [2, 2, 2], [2, 2, 2]]
# By name: the model's settings, and patches of a step.
NETWORKS: dict[str, tuple[dict[str, Any], int]] = {
    "instance": ({"normalization": "instance"}, 2),
    "batch": ({"normalization": "batch"}, 2),
    "group": ({"normalization": "group"}, 2),
    "none": ({"normalization": "none"}, 2),
    "4 patches": ({"normalization": "instance"}, 4),
    "32 filters, thick slices": (
        {
            "normalization": "instance",
            "patch_size": [16, 64, 64],
            "filters": [32, 64, 128, 256],
            "strides": _THICK,
        },
        2,
    ),
    "leaky": ({"normalization": "instance", "activation": "leaky_relu"}, 2),
    "deep supervision": ({"normalization": "instance", "deep_supervision": True}, 2),
    "nnU-Net's": (
        {
            "normalization": "instance",
            "filters": [16, 32, 64, 128],
            "activation": "leaky_relu",
            "deep_supervision": True,
        },
        2,
    ),
    "residual": ({"normalization": "instance", "residual_encoder": True}, 2),
    "2D": (
        {
            "normalization": "batch",
            "spatial_dims": 2,
            "patch_size": [256, 256],
            "filters": [16, 32, 64, 128],
        },
        4,
    ),
}
_COMMON = {"patch_size": [32, 64, 64], "filters": [16, 32, 64]}


def main(
    only: Annotated[str, typer.Option(help="Networks whose names have this.")] = "",
    out: Annotated[Path | None, typer.Option(help="A JSON file.")] = None,
) -> None:
    table = Table("network", "measured MB", "estimated MB", "error")
    results = {}
    for name, (settings, batch_size) in NETWORKS.items():
        if only not in name:
            continue
        model, train = Segmentation(**_COMMON | settings), TrainConfig(optimizer="adamw")
        # A process of its own, since memory that was held once may stay so.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            measured = pool.submit(measure, model, train, batch_size).result()
        estimated = step_bytes(model, train, batch_size)
        results[name] = {"measured_bytes": measured, "estimated_bytes": estimated}
        table.add_row(
            name, f"{measured / 1e6:.0f}", f"{estimated / 1e6:.0f}", f"{estimated / measured - 1:+.0%}"
        )
    Console().print(table)
    if out:
        out.write_text(json.dumps(results, indent=2) + "\n")


def measure(model: Segmentation, train: TrainConfig, batch_size: int) -> int:
    """Returns bytes that two steps hold at most beyond what was held before."""
    network = model.build()
    optimizer = make_optimizer(train, 100, network.trainable_variables)

    @tf.function
    def step(image: Any, label: Any) -> None:
        features = {IMAGE: image, LABEL: label, EXAMPLE_WEIGHT: tf.ones(batch_size)}
        with tf.GradientTape() as tape:
            losses = model.losses(features, network({IMAGE: image}, training=True))
            weights = model.loss_weights(features)
            loss = tf.add_n([tf.reduce_sum(losses[term] * weights[term]) for term in losses])
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))

    generator = np.random.default_rng(0)
    shape = (batch_size, *model.patch_size)
    patches = (
        tf.constant(generator.normal(size=shape), tf.float32),
        tf.constant(generator.integers(0, model.num_classes, shape), tf.uint8),
    )
    step.get_concrete_function(*patches)
    before = _held("VmRSS")
    for _ in range(2):
        step(*patches)
    # The weights and what the optimizer remembers were there before.
    kept = sum(4 * math.prod(each.shape) for each in (*network.variables, *optimizer.variables))
    return _held("VmHWM") - before + kept


def _held(kind: str) -> int:
    """Returns what Linux says of this process, in bytes: VmRSS, VmHWM."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{kind}:")
    )
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    typer.run(main)
