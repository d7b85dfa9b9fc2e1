"""How fast ExampleGen converts TSV rows, and how its memory grows with the file.

    python benchmarks/text_example_gen.py [--data DIR] [--rows 50000] [--out text_example_gen.json]

Converts CoLA's files from DIR if given, then made ones of ROWS and of ten times as many rows. Each
conversion has a process of its own, which converts ten rows first; time counts from the start of
`Executor.Do` (which checks the files' first rows, builds the Beam graph, sums up the files, converts, and
moves the shards into place) to its end, so imports and start-up are left out. Memory is the most that the
process ever held in RAM, after the first ten rows and at its end.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import typer
from rich.console import Console
from rich.table import Table
from support.children import figures, measured

from components.formats.tsv import read_rows, write_tsv
from components.sources.glue import COLA
from pipelines.datasets.made_cola import make_cola

BEAM_ARGS = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--sdk_container_image=none"]


def main(
    data: Annotated[Path | None, typer.Option(help="A folder with CoLA's train.tsv and dev.tsv.")] = None,
    rows: Annotated[int, typer.Option(help="Rows of the smaller made file.")] = 50_000,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints a table of rows per second and of memory."""
    with tempfile.TemporaryDirectory() as folder:
        warm_up = write_files(Path(folder, "warm-up"), 10)
        folders = {"CoLA": data} if data else {}
        for count in (rows, 10 * rows):
            folders[f"made, {count:,}"] = write_files(Path(folder, str(count)), count)
        results = [
            {"data": name, **figures(__file__, str(warm_up), str(directory))}
            for name, directory in folders.items()
        ]
    report(results, out)


def write_files(directory: Path, count: int) -> Path:
    """Writes CoLA's files with sentences of the embedded data, over and over."""
    directory.mkdir()
    make_cola(directory)
    rows = list(read_rows(directory / "train.tsv"))
    write_tsv(directory / "train.tsv", islice(cycle(rows), count))
    write_tsv(directory / "dev.tsv", rows[:10])
    return directory


def child(warm_up: str, directory: str) -> None:
    """Prints rows, seconds, CPU seconds and MB of memory of one conversion as JSON."""
    with tempfile.TemporaryDirectory() as output:
        convert(Path(warm_up), Path(output, "warm-up"))
        got = measured(lambda: convert(Path(directory), Path(output, "whole")))
        written = sum(1 for _ in _records(Path(output, "whole")))
    count = sum(1 for file in ("train.tsv", "dev.tsv") for _ in read_rows(Path(directory, file)))
    if written != count:
        raise RuntimeError(f"{directory}: expected {count} records, got {written}")
    speed = {"rows/s": round(count / got["seconds"]), "rows/CPU s": round(count / got["cpu_s"])}
    print(json.dumps({"rows": count, **speed, **got}))


def convert(data_dir: Path, output: Path) -> None:
    """Runs the project's executor in this process."""
    from tfx.types import standard_artifacts

    from components.example_gen.component import example_gen
    from components.example_gen.executor import Executor

    examples = standard_artifacts.Examples()
    examples.uri = str(output)
    node = example_gen(COLA, str(data_dir))
    context = Executor.Context(beam_pipeline_args=BEAM_ARGS)
    Executor(context).Do({}, {"examples": [examples]}, dict(node.exec_properties))


def _records(output: Path) -> Iterator[Any]:
    import tensorflow as tf

    for file in output.rglob("*.gz"):
        yield from tf.data.TFRecordDataset(str(file), "GZIP")


def report(results: list[dict[str, Any]], out: Path | None) -> None:
    table = Table(title=f"ExampleGen, CoLA's TSV layout, one process, {os.cpu_count()} cores")
    for key in results[0]:
        table.add_column(key, justify="left" if key == "data" else "right")
    for result in results:
        table.add_row(*(value if isinstance(value, str) else f"{value:,}" for value in result.values()))
    Console(width=100).print(table)
    if out:
        content = {"cores": os.cpu_count(), "results": results}
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        typer.run(main)
