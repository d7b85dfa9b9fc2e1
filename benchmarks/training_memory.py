"""Peak memory of training on some examples, and on many times as many.

    python benchmarks/training_memory.py [--examples 6000] [--factor 10] [--out training_memory.json]

Each training runs for one epoch in a process of its own, on images such as MNIST's. Its peak resident memory
must not follow the number of examples.
"""

import json
import multiprocessing
import os
import resource
import tempfile
import time
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

from components.features import IMAGE, LABEL
from components.models.mnist_cnn import MnistCnn
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.train import train
from pipelines.tasks import TASKS

SHAPE = (28, 28)
NUM_FILES = 4


def main(
    examples: Annotated[int, typer.Option(help="Training examples of the small training.")] = 6000,
    factor: Annotated[int, typer.Option(help="How many times as many the large one has.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints the peak memory of both trainings."""
    rows = [in_own_process(count) for count in (examples, factor * examples)]
    table = Table(title=f"One epoch of a small CNN, {os.cpu_count()} cores")
    for key in rows[0]:
        table.add_column(key, justify="right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    ratio = rows[1]["peak_mib"] / rows[0]["peak_mib"]
    Console().print(f"{factor} times the examples take {ratio:.3f} times the memory")
    if out is not None:
        out.write_text(json.dumps({"trainings": rows, "ratio": ratio}, indent=2) + "\n")


def in_own_process(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        for work in (write_examples, measure):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                result = pool.submit(work, Path(folder), count).result()
    return result


def write_examples(folder: Path, count: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    for shard in range(NUM_FILES):
        options = tf.io.TFRecordOptions("GZIP", compression_level=1)
        with tf.io.TFRecordWriter(str(folder / f"{shard}.gz"), options) as writer:
            for _ in range(count // NUM_FILES):
                writer.write(make_example(random))
    return {}


def make_example(random: np.random.Generator) -> bytes:
    pixels = random.random(SHAPE, np.float32).ravel()
    features = {
        IMAGE: tf.train.Feature(float_list=tf.train.FloatList(value=pixels)),
        LABEL: tf.train.Feature(int64_list=tf.train.Int64List(value=[int(random.integers(10))])),
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def measure(folder: Path, count: int) -> dict[str, Any]:
    """Returns the figures of one training; the process must have done nothing else."""
    spec = {IMAGE: tf.io.FixedLenFeature(SHAPE, tf.float32), LABEL: tf.io.FixedLenFeature([], tf.int64)}
    files = ExampleFiles([str(file) for file in folder.glob("*.gz")], spec, count // NUM_FILES * NUM_FILES)
    settings = {"num_epochs": 1, "global_batch_size": 100, "strategy": "one_device"}
    task = TASKS["mnist"].override({"train": settings})
    task = task.model_copy(update={"model": MnistCnn(filters=(4, 4), hidden_dim=16)})
    start = time.perf_counter()
    train(task, files, files, str(folder), str(folder))
    # Kilobytes on Linux.
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "examples": files.num_examples,
        "examples_mib": round(files.num_examples * np.prod(SHAPE) * 4 / 2**20),
        "peak_mib": round(peak_mib),
        "seconds": round(time.perf_counter() - start, 1),
    }


if __name__ == "__main__":
    typer.run(main)
