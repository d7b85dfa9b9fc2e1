"""U-Nets in 2D and 3D, trained and asked: op by op or as a graph, with XLA or without, in three precisions.

    python benchmarks/unet_precision.py [--size small] [--dims 2,3] [--batch-size 2] [--batches 20]
        [--dtypes float32,mixed_bfloat16,mixed_float16] [--backend tensorflow] [--out unet_precision.json]

"small" is for CPUs, "preset" the project's UNET_2D (256²) and UNET_3D (128³). A step takes the gradient of
Dice and cross-entropy on one batch in memory and applies it with momentum; float16 is not scaled here. The
first batches warm up and are left out; what a device has no kernel for is nan. With `--backend jax` Keras
runs the same network on JAX, where a graph is always XLA's; neither TensorFlow nor TFX is needed then.
"""

import functools
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# As `millrace` does.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from components.features import EXAMPLE_WEIGHT, IMAGE, LABEL
from components.models.segmentation import Segmentation
from components.models.unet import UNET_2D, UNET_3D

MODELS = {
    ("small", 2): Segmentation(spatial_dims=2, patch_size=(64, 64), filters=(8, 16, 32)),
    ("small", 3): Segmentation(patch_size=(32, 32, 32), filters=(8, 16, 32)),
    ("preset", 2): Segmentation(**UNET_2D.model_dump()),
    ("preset", 3): Segmentation(**UNET_3D.model_dump()),
}
# What TensorFlow says of an operation that a device cannot do, in a graph and without one.
NO_KERNEL = ("No OpKernel was registered", "Could not find device for node")
DTYPES = ("float32", "mixed_bfloat16", "mixed_float16")
WARM_UP = 2
PERCENTILES = (50, 90, 99)


class Mode(NamedTuple):
    """How a step is run."""

    graph: bool
    xla: bool


MODES = {
    "tensorflow": (Mode(False, False), Mode(True, False), Mode(True, True)),
    "jax": (Mode(False, False), Mode(True, True)),
}


def main(
    size: Annotated[str, typer.Option(help="small or preset.")] = "small",
    dims: Annotated[str, typer.Option(help="2, 3 or both.")] = "2,3",
    batch_size: Annotated[int, typer.Option(help="Patches in a batch.")] = 2,
    batches: Annotated[int, typer.Option(help="That are timed.")] = 20,
    dtypes: Annotated[str, typer.Option(help="Keras' names of precisions.")] = ",".join(DTYPES),
    backend: Annotated[str, typer.Option(help="tensorflow or jax.")] = "tensorflow",
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints patches a second, and the milliseconds of a batch, of each way."""
    os.environ["KERAS_BACKEND"] = backend
    device = device_of(backend)
    rows = []
    for number in map(int, dims.split(",")):
        model = MODELS[size, number]
        for dtype in dtypes.split(","):
            found = measure(model, dtype, backend, batch_size, batches)
            rows += [{"model": f"{number}D", **row} for row in found]
    table = Table(title=f"{size} U-Nets, batch {batch_size}, Keras on {backend}, {device}")
    for key in rows[0]:
        table.add_column(key, justify="left" if isinstance(rows[0][key], str) else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=110).print(table)
    if out is not None:
        out.write_text(json.dumps({"device": device, "backend": backend, "rows": rows}, indent=2) + "\n")


def device_of(backend: str) -> str:
    """Returns the names of the devices that compute."""
    if backend == "jax":
        import jax

        names = [device.device_kind for device in jax.devices()]
    else:
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        names = [tf.config.experimental.get_device_details(gpu)["device_name"] for gpu in gpus]
    cores = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    return cores if not names or names == ["cpu"] else ", ".join(names)


def measure(
    model: Segmentation, dtype: str, backend: str, batch_size: int, batches: int
) -> Iterator[dict[str, Any]]:
    """Yields the figures of each mode, in training and in prediction."""
    step_of = {"tensorflow": tensorflow_step, "jax": jax_step}[backend]
    for mode in MODES[backend]:
        for work in ("training", "prediction"):
            step = step_of(model, dtype, mode, batch_of(model, batch_size), work == "training")
            seconds = timed(step, batches) if has_kernels(step) else [math.nan]
            latencies = np.percentile(seconds, PERCENTILES) * 1e3
            yield {
                "work": work,
                "dtype": dtype,
                "graph": "on" if mode.graph else "off",
                "xla": "on" if mode.xla else "off",
                "patches/s": round(batch_size / float(np.median(seconds)), 2),
                **{f"p{p} ms": round(float(ms), 1) for p, ms in zip(PERCENTILES, latencies, strict=True)},
            }


def has_kernels(step: Callable[[], Any]) -> bool:
    """Takes a step; whether the device can, as CPUs cannot pool volumes in float16 without XLA."""
    try:
        step()
    except Exception as error:
        if not any(words in str(error) for words in NO_KERNEL):
            raise
        return False
    return True


def timed(step: Callable[[], Any], batches: int) -> list[float]:
    """Returns the seconds of each batch after the warm-up."""
    seconds = []
    for _ in range(WARM_UP + batches):
        start = time.perf_counter()
        # To NumPy, since devices work on after a call has returned.
        np.asarray(step())
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP:]


def batch_of(model: Segmentation, size: int) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    shape = (size, *model.patch_size)
    return {
        IMAGE: generator.normal(size=shape).astype(np.float32),
        LABEL: generator.integers(0, model.num_classes, shape).astype(np.uint8),
        EXAMPLE_WEIGHT: np.ones(size, np.float32),
    }


def built(model: Segmentation, dtype: str) -> tuple[Any, Any]:
    """Returns the network, and an optimizer with its state."""
    import keras

    from components.models.precision import dtype_policy

    keras.utils.clear_session()
    with dtype_policy(dtype):
        network = model.build()
        optimizer = keras.optimizers.SGD(0.01, momentum=0.99, nesterov=True)
        optimizer.build(network.trainable_variables)
    return network, optimizer


def loss_of(model: Segmentation, batch: dict[str, Any], outputs: Any) -> Any:
    from keras import ops

    weights, losses = model.loss_weights(batch), model.losses(batch, outputs)
    return sum(ops.mean(weights[term] * losses[term]) for term in model.loss_terms)


def tensorflow_step(
    model: Segmentation, dtype: str, mode: Mode, batch: dict[str, Any], training: bool
) -> Callable[[], Any]:
    """Returns what trains on a batch and returns its loss, or what returns the classes of one."""
    import tensorflow as tf

    network, optimizer = built(model, dtype)
    tensors = {name: tf.constant(value) for name, value in batch.items()}
    weights = [weight.value for weight in network.trainable_variables]

    def gradients() -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(model, tensors, network({IMAGE: tensors[IMAGE]}, training=True))
        return loss, tape.gradient(loss, weights)

    # XLA compiles the model's part alone, as in the project's loop.
    compiled = tf.function(gradients, jit_compile=mode.xla or None) if mode.graph else gradients

    def train() -> Any:
        loss, found = compiled()
        optimizer.apply(found, network.trainable_variables)
        return loss

    def predict() -> Any:
        return tf.argmax(network({IMAGE: tensors[IMAGE]}, training=False), axis=-1, output_type=tf.int32)

    if not mode.graph:
        return train if training else predict
    return tf.function(train) if training else tf.function(predict, jit_compile=mode.xla or None)


def jax_step(
    model: Segmentation, dtype: str, mode: Mode, batch: dict[str, Any], training: bool
) -> Callable[[], Any]:
    """Returns the same on JAX."""
    import jax

    network, optimizer = built(model, dtype)
    arrays = {name: jax.numpy.asarray(value) for name, value in batch.items()}
    state = [
        [variable.value for variable in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables, optimizer.variables)
    ]

    def loss(trainable: Any, fixed: Any) -> Any:
        outputs, fixed = network.stateless_call(trainable, fixed, {IMAGE: arrays[IMAGE]}, training=True)
        return loss_of(model, arrays, outputs), fixed

    def train(trainable: Any, fixed: Any, slots: Any) -> Any:
        (value, fixed), found = jax.value_and_grad(loss, has_aux=True)(trainable, fixed)
        trainable, slots = optimizer.stateless_apply(slots, found, trainable)
        return value, [trainable, fixed, slots]

    def predict(trainable: Any, fixed: Any, slots: Any) -> Any:
        outputs, _ = network.stateless_call(trainable, fixed, {IMAGE: arrays[IMAGE]}, training=False)
        return jax.numpy.argmax(outputs, axis=-1), [trainable, fixed, slots]

    work = train if training else predict
    return functools.partial(_stepped, jax.jit(work) if mode.graph else work, state)


def _stepped(work: Callable[..., Any], state: list[Any]) -> Any:
    """Returns what a step gives, and leaves in `state` what the next one goes on from."""
    value, state[:] = work(*state)
    return value


if __name__ == "__main__":
    typer.run(main)
