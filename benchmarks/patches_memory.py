"""Peak memory and time of labels for scans of several sizes, in overlapping patches.

    python benchmarks/patches_memory.py [--scans 512x512x200,512x512x600] [--patch 128] [--coarser 1.0]
        [--out patches_memory.json]

Each scan is answered in a process of its own, by the graph of a model with one convolution, so that little of
what is measured is the network. Memory must not follow the voxels times the classes, and the time of a
window not the voxels.
"""

import json
import multiprocessing
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
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

from components.features import IMAGE, NORMALIZATION, SHAPE, SPACING_MM
from components.windows.fold import fold
from components.windows.patches import Patches

NUM_CLASSES = 3
SPACING_MM_OF_ALL = (1.0, 0.75, 0.75)


def main(
    scans: Annotated[str, typer.Option(help="Width, height and depth of each.")] = "512x512x200,512x512x600",
    patch: Annotated[int, typer.Option(help="Voxels of a patch along each axis.")] = 128,
    coarser: Annotated[float, typer.Option(help="Spacing of the working grid over that of the scan.")] = 1.0,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints the peak memory and the time of each scan."""
    rows = [in_own_process(scan, patch, coarser) for scan in scans.split(",")]
    table = Table(title=f"Labels of {NUM_CLASSES} classes in patches of {patch}³, {os.cpu_count()} cores")
    for key in rows[0]:
        table.add_column(key, justify="right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if out is not None:
        out.write_text(json.dumps({"patch": patch, "coarser": coarser, "scans": rows}, indent=2) + "\n")


def in_own_process(scan: str, patch: int, coarser: float) -> dict[str, Any]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, scan, patch, coarser).result()


def measure(scan: str, patch: int, coarser: float) -> dict[str, Any]:
    """Returns the figures of one scan; the process must have done nothing else."""
    width, height, depth = map(int, scan.split("x"))
    spacing_mm = tuple(each * coarser for each in SPACING_MM_OF_ALL)
    patches = Patches(patch_size=(patch,) * 3, spacing_mm=spacing_mm, num_classes=NUM_CLASSES)
    answer = answering(patches, one_convolution(patches))
    features = scan_of(depth, height, width)
    places = tf.function(lambda features: patches.places(patches.prepared(features)))
    start_mib = peak_mib()
    start, cpu_start = time.perf_counter(), time.process_time()
    label = answer(features)["label"]
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak = peak_mib()
    windows = len(places(features))
    return {
        "scan": scan,
        "scan_mib": round(label.numpy().size * 2 / 2**20),
        "start_mib": round(start_mib),
        "peak_mib": round(peak),
        "windows": windows,
        "seconds": round(seconds, 1),
        # Of all cores: what else runs does not count.
        "cpu_ms_a_window": round(1000 * cpu_seconds / windows),
    }


def one_convolution(patches: Patches) -> keras.Model:
    image = keras.Input(patches.patch_size, name=IMAGE)
    channel = keras.layers.Reshape((*patches.patch_size, 1))(image)
    return keras.Model({IMAGE: image}, keras.layers.Conv3D(patches.num_classes, 3, padding="same")(channel))


def answering(patches: Patches, network: keras.Model) -> Any:
    """Returns the graph that answers for whole scans; it has answered once, about a small one."""
    small = scan_of(1, 1, 1)
    specs = {name: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for name, value in small.items()}
    answer = tf.function(lambda features: fold(patches, features, network), input_signature=[specs])
    answer(small)
    return answer


def scan_of(depth: int, height: int, width: int) -> dict[str, Any]:
    voxels = np.random.default_rng(0).integers(-1000, 1000, (depth, height, width), np.int16)
    return {
        IMAGE: tf.constant([voxels.tobytes()]),
        SHAPE: tf.constant([voxels.shape], tf.int64),
        SPACING_MM: tf.constant([SPACING_MM_OF_ALL]),
        NORMALIZATION: tf.constant([[0.0, 100.0, -200.0, 200.0]]),
    }


def peak_mib() -> float:
    # Kilobytes on Linux.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    typer.run(main)
