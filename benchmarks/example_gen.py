"""How fast ExampleGen converts 60,000 images of 28×28, beside one Beam element per image.

    python benchmarks/example_gen.py [--images 60000] [--workers 1] [--out example_gen.json]

A run counts from the start of `Executor.Do` (which checks the files, builds the Beam graph, converts, and
moves the shards into place) to its end, so imports and start-up are left out; a small conversion goes
before it. With --workers 2, Beam starts two worker processes, which import TensorFlow for themselves: the
time of a conversion of one image per split is then measured too, and taken off.
"""

import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import apache_beam as beam
import numpy as np
import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table
from tfx.types import standard_artifacts

from components.example_gen.component import example_gen
from components.example_gen.idx import Executor
from components.example_gen.shards import to_example
from components.formats.idx import read_idx, write_idx
from components.sources.idx import IdxSource
from pipelines.datasets.made_digits import make_digits

BEAM_ARGS = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--sdk_container_image=none"]
NUM_T10K = 10_000


def main(
    images: Annotated[int, typer.Option(help="Training images; t10k has 10,000 more.")] = 60_000,
    workers: Annotated[int, typer.Option(help="Beam worker processes; 1 stays in this process.")] = 1,
    compressed: Annotated[bool, typer.Option(help="Read gzip files.")] = True,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints a table of images per second, and the ratio."""
    beam_args = [*BEAM_ARGS, *_worker_args(workers)]
    suffix = ".gz" if compressed else ""
    with tempfile.TemporaryDirectory() as folder:
        small = write_files(Path(folder, "small"), 1, 1, suffix)
        whole = write_files(Path(folder, "whole"), images, NUM_T10K, suffix)
        rows = []
        for name, convert in (
            ("millrace ExampleGen", convert_in_shards),
            ("one element per image", convert_each),
        ):
            start_up_s = _seconds(convert, small, Path(folder, name, "small"), beam_args)
            wall_s, cpu_s = _seconds_and_cpu(convert, whole, Path(folder, name, "whole"), beam_args)
            steady_s = wall_s - start_up_s if workers > 1 else wall_s
            rows.append(_row(name, images + NUM_T10K, steady_s, cpu_s, Path(folder, name, "whole")))
    report(rows, workers, suffix, out)


def write_files(directory: Path, num_train: int, num_t10k: int, suffix: str) -> Path:
    """Writes the four files with digits drawn from the embedded ones, which compress as digits do."""
    directory.mkdir()
    make_digits(directory)
    images = read_idx(directory / "train-images-idx3-ubyte.gz")
    labels = read_idx(directory / "train-labels-idx1-ubyte.gz")
    generator = np.random.default_rng(0)
    for prefix, count in (("train", num_train), ("t10k", num_t10k)):
        chosen = generator.integers(len(images), size=count)
        write_idx(directory / f"{prefix}-images-idx3-ubyte{suffix}", images[chosen])
        write_idx(directory / f"{prefix}-labels-idx1-ubyte{suffix}", labels[chosen])
    return directory


def convert_in_shards(data_dir: Path, output: Path, beam_args: list[str]) -> None:
    """Runs the project's executor."""
    examples = standard_artifacts.Examples()
    examples.uri = str(output)
    context = Executor.Context(beam_pipeline_args=beam_args)
    node = example_gen(IdxSource(), str(data_dir))
    Executor(context).Do({}, {"examples": [examples]}, dict(node.exec_properties))


def convert_each(data_dir: Path, output: Path, beam_args: list[str]) -> None:
    """Runs the way of TFX's own ExampleGens: read, serialize, shuffle, WriteToTFRecord, image by image."""
    source = IdxSource()
    with beam.Pipeline(argv=beam_args) as pipeline:
        for split in source.input_splits:
            parts = source.ranges(data_dir, split)
            _ = (
                pipeline
                | f"Parts[{split.name}]" >> beam.Create(parts)
                | f"Read[{split.name}]" >> beam.FlatMap(lambda part: part.records())
                | f"ToExample[{split.name}]" >> beam.Map(to_example)
                | f"Serialize[{split.name}]" >> beam.Map(lambda example: example.SerializeToString())
                | f"Shuffle[{split.name}]" >> beam.Reshuffle()
                | f"Write[{split.name}]"
                >> beam.io.WriteToTFRecord(
                    f"{output}/Split-{split.name}/data_tfrecord", file_name_suffix=".gz"
                )
            )


Convert = Callable[[Path, Path, list[str]], None]


def _seconds(convert: Convert, *arguments: Any) -> float:
    return _seconds_and_cpu(convert, *arguments)[0]


def _seconds_and_cpu(convert: Convert, *arguments: Any) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), _cpu_s()
    convert(*arguments)
    return time.perf_counter() - wall, _cpu_s() - cpu


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _worker_args(workers: int) -> list[str]:
    if workers == 1:
        return []
    return [f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"]


def _row(name: str, images: int, seconds: float, cpu_s: float, output: Path) -> dict[str, Any]:
    files = [str(file) for file in output.rglob("*.gz")]
    written = sum(1 for _ in tf.data.TFRecordDataset(files, "GZIP"))
    if written != images:
        raise RuntimeError(f"{name}: expected {images} records, got {written}")
    return {
        "name": name,
        "images_per_s": round(images / seconds),
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu_s, 2),
        "megabytes": round(sum(os.path.getsize(file) for file in files) / 1e6, 1),
    }


def report(rows: list[dict[str, Any]], workers: int, suffix: str, out: Path | None) -> None:
    ratio = round(rows[0]["images_per_s"] / rows[1]["images_per_s"], 1)
    table = Table(
        title=f"ExampleGen, idx files{suffix}, {workers} worker(s), {os.cpu_count()} cores: ×{ratio}"
    )
    for key in rows[0]:
        table.add_column(key, justify="left" if key == "name" else "right")
    for row in rows:
        table.add_row(*(f"{value:,}" if key != "name" else value for key, value in row.items()))
    Console().print(table)
    if out:
        figures = {
            "workers": workers,
            "cores": os.cpu_count(),
            "suffix": suffix,
            "ratio": ratio,
            "rows": rows,
        }
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
