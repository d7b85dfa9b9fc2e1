"""How long TSV rows take to become token ids, by way of TFRecords.

    python benchmarks/text_end_to_end.py [DATA] [VOCAB.txt] [--repeats 3] [--out text_end_to_end.json]

DATA holds CoLA's train.tsv and dev.tsv; without them, `millrace data make cola DATA` makes smaller ones.

`stream`: ExampleGen's executor writes the TFRecords, which are then read again, parsed and tokenized, in
batches of 1,000, by the graph that is served. `nodes`: the DAG's ExampleGen and Transform, with which the
token ids are TFRecords, too; their seconds include tracing and exporting the graph, and what TFX and Beam
do around the work. One process converts twenty rows each way before anything is timed, so imports are
left out. The fastest of the repeats counts; beside it stands what twenty rows take, the part of the time
that does not grow with the rows.
"""

import json
import os
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table
from support import defaults
from text_example_gen import convert
from tokenization import BATCH_SIZE, OURS, Answer, load

from components.features import TEXT_A
from components.formats.tsv import read_rows, write_tsv
from components.formats.vocabulary import read_vocabulary
from pipelines import console
from pipelines.dag import nodes
from pipelines.dag.settings import RunConfig
from pipelines.runs import local
from pipelines.tasks.cola import COLA

FILES = ("train.tsv", "dev.tsv")


def main(
    data: Annotated[Path | None, typer.Argument(help="CoLA's train.tsv and dev.tsv; default: made.")] = None,
    vocabulary: Annotated[Path | None, typer.Argument(help="A vocab.txt; default: MiniLM's.")] = None,
    repeats: Annotated[int, typer.Option(help="Conversions each way.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints seconds and rows per second of both ways."""
    vocabulary = vocabulary or defaults.minilm() / "vocab.txt"
    with tempfile.TemporaryDirectory() as name, console.quiet(Path(name, "log"), debug=False):
        data = data or defaults.cola(Path(name, "cola"))
        rows = sum(1 for file in FILES for _ in read_rows(data / file))
        folder, few = Path(name), first_rows(data, Path(name, "few"))
        tokenize = load(str(vocabulary), folder / "served")[OURS]["inputs"]
        ways = {
            "stream": lambda data_dir, output: stream(data_dir, output, tokenize),
            "nodes": lambda data_dir, output: through_nodes(data_dir, output, vocabulary),
        }
        figures = []
        for way, run in ways.items():
            run(few, folder / f"{way}-warm-up")
            fixed = run(few, folder / f"{way}-few")
            seconds = min(run(data, folder / f"{way}-{repeat}") for repeat in range(repeats))
            speed = {"seconds": round(seconds, 2), "rows_per_s": round(rows / seconds)}
            figures.append({"way": way, "rows": rows, **speed, "twenty_rows_s": round(fixed, 2)})
    report(figures, out)


def first_rows(data: Path, folder: Path) -> Path:
    """Writes the first ten rows of each file."""
    folder.mkdir()
    for name in FILES:
        write_tsv(folder / name, islice(read_rows(data / name), 10))
    return folder


def stream(data: Path, output: Path, tokenize: Answer) -> float:
    """Converts, then tokenizes what was written; returns the seconds of both."""
    start = time.perf_counter()
    convert(data, output)
    spec = {TEXT_A: tf.io.FixedLenFeature([], tf.string)}
    files = tf.io.gfile.glob(f"{output}/Split-*/*.gz")
    for records in tf.data.TFRecordDataset(files, "GZIP").batch(BATCH_SIZE):
        tokenize(tf.io.parse_example(records, spec)[TEXT_A])
    return time.perf_counter() - start


def through_nodes(data: Path, output: Path, vocabulary: Path) -> float:
    """Runs the DAG up to Transform; returns the seconds of the two nodes."""
    config = RunConfig(
        data_dir=str(data.resolve()), pipeline_root=str(output), models_dir=str(output / "models")
    )
    size = {"vocabulary_size": len(read_vocabulary(str(vocabulary)))}
    task = COLA.override(
        {"preprocessing": {"vocabulary": str(vocabulary.resolve())}, "model": {"encoder": size}}
    )
    done = local.run(task, config, until_node=nodes.TRANSFORM).nodes
    return sum(node.seconds for node in done if node.node in (nodes.EXAMPLE_GEN, nodes.TRANSFORM))


def report(figures: list[dict[str, Any]], out: Path | None) -> None:
    table = Table(title=f"TSV to TFRecords to token ids, one process, {os.cpu_count()} cores")
    for key in figures[0]:
        table.add_column(key, justify="left" if key == "way" else "right")
    for row in figures:
        table.add_row(*(f"{value:,}" if key != "way" else value for key, value in row.items()))
    Console().print(table)
    if out is not None:
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
