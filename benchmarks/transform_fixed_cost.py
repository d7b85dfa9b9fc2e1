"""What ExampleGen and Transform take for twenty rows of text, beside the same two nodes for digits.

    python benchmarks/transform_fixed_cost.py [VOCAB.txt] [--repeats 5] [--out transform_fixed_cost.json]

Twenty rows leave the cost that does not grow with the data: tf.Transform traces the preprocessing about ten
times, exports it and starts Beam. `given` has the vocabulary, `learned` learns it in a pass of its own; the
digits are the embedded ones, whose preprocessing is a few operations. All take turns in one process, after
a first turn that does not count. The fastest of the repeats counts, of wall time and of CPU time each;
`ratio` is of CPU time to that of the digits, since other work does not slow it as much.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import typer
from rich.console import Console
from rich.table import Table
from support import defaults
from text_end_to_end import FILES

from components.formats.tsv import read_rows, write_tsv
from components.formats.vocabulary import read_vocabulary
from components.task import Task
from pipelines import console
from pipelines.dag import nodes
from pipelines.dag.settings import RunConfig
from pipelines.datasets.made_cola import make_cola
from pipelines.datasets.made_digits import make_digits
from pipelines.runs import local
from pipelines.runs.display import NodeReport
from pipelines.tasks.cola import COLA
from pipelines.tasks.mnist import MNIST

TIMED = (nodes.EXAMPLE_GEN, nodes.TRANSFORM)


def main(
    vocabulary: Annotated[Path | None, typer.Argument(help="A vocab.txt; default: MiniLM's.")] = None,
    repeats: Annotated[int, typer.Option(help="Turns of each that count.")] = 5,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints the seconds of both nodes together."""
    with tempfile.TemporaryDirectory() as name, console.quiet(Path(name, "log"), debug=False):
        folder = Path(name)
        texts = make(folder / "texts", make_few_texts)
        tasks = {
            "given": (with_vocabulary(vocabulary or defaults.minilm() / "vocab.txt"), texts),
            "learned": (COLA, texts),
            "digits": (MNIST, make(folder / "digits", make_digits)),
        }
        turns: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
        for turn in range(1 + repeats):
            for name, (task, data) in tasks.items():
                turns[name].append(seconds(task, data, folder / f"{name}-{turn}"))
    report({name: tuple(map(min, zip(*each[1:], strict=True))) for name, each in turns.items()}, out)


def make(folder: Path, write: Callable[[Path], Any]) -> Path:
    folder.mkdir()
    write(folder)
    return folder


def make_few_texts(folder: Path) -> None:
    make_cola(folder)
    for name in FILES:
        write_tsv(folder / name, list(read_rows(folder / name))[:10])


def with_vocabulary(path: Path) -> Task:
    size = {"vocabulary_size": len(read_vocabulary(str(path)))}
    return COLA.override({"preprocessing": {"vocabulary": str(path.resolve())}, "model": {"encoder": size}})


def seconds(task: Task, data: Path, output: Path) -> tuple[float, float]:
    """Returns wall and CPU seconds of the two nodes."""
    starts: dict[str, float] = {}
    cpu = 0.0

    def note(report: NodeReport) -> None:
        nonlocal cpu
        if report.state == "running":
            starts[report.node] = time.process_time()
        elif report.node in TIMED:
            cpu += time.process_time() - starts[report.node]

    config = RunConfig(data_dir=str(data), pipeline_root=str(output), models_dir=str(output / "models"))
    done = local.run(task, config, until_node=nodes.TRANSFORM, on_node=note).nodes
    return sum(node.seconds for node in done if node.node in TIMED), cpu


def report(fastest: dict[str, tuple[float, ...]], out: Path | None) -> None:
    rows = [
        {
            "data": name,
            "seconds": round(wall, 2),
            "cpu_s": round(cpu, 2),
            "ratio": round(cpu / fastest["digits"][1], 2),
        }
        for name, (wall, cpu) in fastest.items()
    ]
    table = Table(title=f"ExampleGen and Transform, one process, {os.cpu_count()} cores")
    for key in rows[0]:
        table.add_column(key, justify="left" if key == "data" else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if out is not None:
        out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
