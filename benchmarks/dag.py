"""What the whole MNIST DAG costs over training alone: seconds by node, and their sum over the training.

    python benchmarks/dag.py [--epochs 10] [--out dag.json]

Runs the DAG on the embedded digits with LocalDagRunner, nothing cached, then trains once more on the same
transformed examples with nothing around it. Both in one process, so neither counts the imports; the second
training finds TensorFlow warm, which makes the overhead look larger, not smaller.
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import tensorflow as tf
import tensorflow_transform as tft
import typer
from rich.console import Console
from rich.table import Table

from components.task import Task
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.train import train
from pipelines import console
from pipelines.dag.settings import Overrides, RunConfig
from pipelines.datasets.made_digits import make_digits
from pipelines.runs import local
from pipelines.tasks.mnist import MNIST


def main(
    epochs: Annotated[int, typer.Option(help="Epochs of training, on both sides.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints the seconds of each node, of training alone, and the overhead."""
    overrides: Overrides = {"train": {"num_epochs": epochs, "learning_rate": 1e-3}}
    with tempfile.TemporaryDirectory() as folder, console.quiet(Path(folder, "log"), debug=False):
        nodes = run_dag(overrides, Path(folder))
        alone_s = train_alone(MNIST.override(overrides), Path(folder))
    total_s = sum(nodes.values())
    figures = {
        "nodes_s": {name: round(seconds, 2) for name, seconds in nodes.items()},
        "dag_s": round(total_s, 2),
        "training_alone_s": round(alone_s, 2),
        "overhead_s": round(total_s - alone_s, 2),
        "dag_over_training": round(total_s / alone_s, 2),
    }
    Console().print(_table(figures, epochs))
    if out is not None:
        out.write_text(json.dumps(figures, indent=2) + "\n")


def run_dag(overrides: Overrides, folder: Path) -> dict[str, float]:
    """Returns the seconds of each node."""
    (folder / "data").mkdir()
    make_digits(folder / "data")
    config = RunConfig(
        data_dir=str(folder / "data"), pipeline_root=str(folder / "root"), models_dir=str(folder / "models")
    )
    report = local.run(MNIST.override(overrides), config)
    return {node.node: node.seconds for node in report.nodes}


def train_alone(task: Task, folder: Path) -> float:
    """Returns the seconds of a training on what Transform wrote."""
    (transform_dir,) = folder.glob("root/artifacts/mnist/Transform/transform_graph/*")
    spec = tft.TFTransformOutput(str(transform_dir)).transformed_feature_spec()
    (counts_file,) = folder.glob("root/artifacts/mnist/ExampleGen/examples/*/counts.json")
    counts = json.loads(counts_file.read_text())
    files = {
        split: ExampleFiles(
            tf.io.gfile.glob(
                f"{folder}/root/artifacts/mnist/Transform/transformed_examples/*/Split-{split}/*"
            ),
            spec,
            num_examples,
        )
        for split, num_examples in counts.items()
    }
    start = time.perf_counter()
    train(task, files["train"], files["eval"], str(folder / "working"), str(folder / "logs"))
    return time.perf_counter() - start


def _table(figures: dict[str, object], epochs: int) -> Table:
    table = Table(title=f"MNIST DAG, 1,437 + 360 digits, {epochs} epochs, {os.cpu_count()} cores")
    table.add_column("")
    table.add_column("seconds", justify="right")
    nodes = figures["nodes_s"]
    for name, seconds in nodes.items() if isinstance(nodes, dict) else ():
        table.add_row(name, str(seconds))
    table.add_section()
    for name in ("dag_s", "training_alone_s", "overhead_s", "dag_over_training"):
        table.add_row(name, str(figures[name]))
    return table


if __name__ == "__main__":
    typer.run(main)
