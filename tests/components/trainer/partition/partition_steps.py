"""One step of some models on JAX, by partitions: `python partition_steps.py`, in an environment of JAX.

Prints {"optimizers": what `updated` returns, "models": {model: {partition: {"terms": …, "norm": …,
"gradients": …, "averages": …, "bytes": …}}}} as JSON, with relative differences from the first partition's
gradients and moving averages.
"""

import json
from typing import Any

import keras
import numpy as np
from tiny_updates import OPTIMIZERS, updated
from tiny_volumes import make_task

from components.models.precision import dtype_policy
from components.trainer.optimizer import make_optimizer
from components.trainer.partition.devices import Grid
from components.trainer.partition.steps import PartitionedLoop

WHOLE = (1, 1, 1, 1, 1)
LARGE = {"patch_size": (32, 16, 16), "filters": (4, 8), "convolutions": 1}
MODELS: dict[str, tuple[dict[str, Any], list[tuple[int, ...]]]] = {
    "batch": (LARGE, [(1, 4, 1, 1, 1)]),
    "instance": ({**LARGE, "normalization": "instance"}, [(1, 4, 1, 1, 1)]),
    "group": ({**LARGE, "normalization": "group"}, [(1, 4, 1, 1, 1)]),
    # Two voxels along the depth of the lowest level, where there are four devices.
    "anisotropic": (
        {
            "patch_size": (4, 8, 8), "filters": (4, 4, 4), "convolutions": 1,
            "strides": ((1, 2, 2), (2, 2, 2)), "deep_supervision": True, "residual_encoder": True,
            "upsampling": "nearest",
        },
        [(1, 4, 1, 1, 1), (2, 1, 1, 2, 1)],
    ),
    "2d": ({"spatial_dims": 2, "patch_size": (16, 16), "convolutions": 1}, [(1, 4, 1, 1)]),
}  # fmt: skip


def measured(settings: dict[str, Any], partitions: list[tuple[int, ...]]) -> dict[str, Any]:
    dims = settings.get("spatial_dims", 3)
    found = {}
    first: Any = None
    for partition in [WHOLE[: dims + 2], *partitions]:
        loop, batch = prepared(settings, partition)
        state, terms, norm = loop.step(loop.state(), batch)
        # The first momentum of SGD with a rate of 1 is the gradient.
        gradients = state.optimizer[2:]
        first = first or (gradients, state.others)
        found[str(list(partition))] = {
            "terms": terms.tolist(),
            "norm": float(norm),
            "gradients": relative(gradients, first[0]),
            "averages": relative(state.others, first[1]),
            "bytes": loop.step_bytes,
        }
    return found


def prepared(settings: dict[str, Any], partition: tuple[int, ...]) -> tuple[PartitionedLoop, Any]:
    task = make_task(settings, partition=partition, optimizer="sgd", momentum=0.9, learning_rate=1.0)
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    with dtype_policy(task.train.dtype):
        model = task.model.build()
    optimizer = make_optimizer(task.train, 10, model.trainable_variables)
    grid = Grid(partition)
    random = np.random.default_rng(0)
    shape = (2, *task.model.patch_size)
    batch = {
        "image": random.normal(size=shape).astype(np.float32),
        "label": random.integers(3, size=shape).astype(np.uint8),
        "example_weight": np.array([1, 0.5], np.float32),
    }
    return PartitionedLoop(grid, model, optimizer, task.model, task.train), grid.place(batch)


def relative(values: list[Any], expected: list[Any]) -> list[float]:
    """Returns the norms of all differences by their own, or by a hundredth of the norm of all."""
    norms = [float(np.linalg.norm(value)) for value in expected]
    # A bias before a normalization has a gradient of next to nothing, all of which is rounding.
    least = float(np.linalg.norm(norms)) / 100
    return [
        float(np.linalg.norm(np.asarray(value) - np.asarray(right))) / max(norm, least)
        for value, right, norm in zip(values, expected, norms, strict=True)
    ]


if __name__ == "__main__":
    weights = {name: updated(settings) for name, settings in OPTIMIZERS.items()}
    models = {name: measured(*model) for name, model in MODELS.items()}
    print(json.dumps({"optimizers": weights, "models": models}))
