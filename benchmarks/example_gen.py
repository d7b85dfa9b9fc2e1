"""How fast ExampleGen converts images of 28×28, beside one Beam element per image, and how its memory grows.

    python benchmarks/example_gen.py [--images 60000] [--workers 1] [--out example_gen.json]

Converts made files, plain and gzipped, and plain ones of ten times as many images. Each conversion has a
process of its own, which converts one image per split first. Time counts from the start of `Executor.Do`
(which checks the headers, builds the Beam graph, sums up the files, converts, and moves the shards into
place) to its end, so imports and start-up are left out. With --workers 2, Beam starts two worker
processes, which import TensorFlow for themselves: the time of a second conversion of one image per split
is then taken off. Memory is the most that the process ever held in RAM, before the conversion and at its
end.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from support.children import figures, measured

from components.formats.idx import read_idx, read_shape, write_idx
from components.sources.idx import IdxSource
from pipelines.datasets.made_digits import make_digits

BEAM_ARGS = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--sdk_container_image=none"]


def main(
    images: Annotated[int, typer.Option(help="Training images; a sixth as many are in t10k.")] = 60_000,
    workers: Annotated[int, typer.Option(help="Beam worker processes; 1 stays in this process.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints a table of images per second and of memory."""
    with tempfile.TemporaryDirectory() as folder:
        small = write_files(Path(folder, "small"), 1, "")
        rows = []
        for name, count, suffix, way in (
            ("plain", images, "", "shards"),
            ("gzip", images, ".gz", "shards"),
            ("plain, 10 times as many", 10 * images, "", "shards"),
            ("plain, one element per image", images, "", "elements"),
        ):
            whole = Path(folder, f"{count}{suffix}")
            if not whole.is_dir():
                write_files(whole, count, suffix)
            got = figures(__file__, way, str(small), str(whole), str(workers))
            rows.append({"files": name, "images": count + max(1, count // 6), **got})
    report(rows, workers, out)


def write_files(directory: Path, count: int, suffix: str) -> Path:
    """Writes the four files with digits drawn from the embedded ones, which compress as digits do."""
    directory.mkdir()
    make_digits(directory)
    images = read_idx(directory / "train-images-idx3-ubyte.gz")
    labels = read_idx(directory / "train-labels-idx1-ubyte.gz")
    for file in directory.iterdir():
        file.unlink()
    generator = np.random.default_rng(0)
    for prefix, size in (("train", count), ("t10k", max(1, count // 6))):
        chosen = generator.integers(len(images), size=size)
        write_idx(directory / f"{prefix}-images-idx3-ubyte{suffix}", images[chosen])
        write_idx(directory / f"{prefix}-labels-idx1-ubyte{suffix}", labels[chosen])
    return directory


def child(way: str, small: str, whole: str, workers: str) -> None:
    """Prints images per second, seconds, CPU seconds and MB of one conversion as JSON."""
    convert: Convert = convert_in_shards if way == "shards" else convert_each
    with tempfile.TemporaryDirectory() as output:
        beam_args = [*BEAM_ARGS, *_worker_args(int(workers))]
        convert(Path(small), Path(output, "first"), beam_args)
        began = time.perf_counter()
        convert(Path(small), Path(output, "second"), beam_args)
        start_up_s = time.perf_counter() - began if int(workers) > 1 else 0.0
        got = measured(lambda: convert(Path(whole), Path(output, "whole"), beam_args))
        seconds = got.pop("seconds") - start_up_s
        count = _check_number(Path(whole), Path(output, "whole"))
    print(json.dumps({"images/s": round(count / seconds), "seconds": round(seconds, 2), **got}))


def convert_in_shards(data_dir: Path, output: Path, beam_args: list[str]) -> None:
    """Runs the project's executor."""
    from tfx.types import standard_artifacts

    from components.example_gen.component import example_gen
    from components.example_gen.executor import Executor

    examples = standard_artifacts.Examples()
    examples.uri = str(output)
    context = Executor.Context(beam_pipeline_args=beam_args)
    node = example_gen(IdxSource(), str(data_dir))
    Executor(context).Do({}, {"examples": [examples]}, dict(node.exec_properties))


def convert_each(data_dir: Path, output: Path, beam_args: list[str]) -> None:
    """Runs the way of TFX's own ExampleGens: read, serialize, shuffle, WriteToTFRecord, image by image."""
    import apache_beam as beam

    from components.example_gen.shards import to_example

    source = IdxSource()
    with beam.Pipeline(argv=beam_args) as pipeline:
        for split in source.input_splits:
            _ = (
                pipeline
                | f"Parts[{split.name}]" >> beam.Create(source.parts(data_dir, split))
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


def _worker_args(workers: int) -> list[str]:
    if workers == 1:
        return []
    return [f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"]


def _check_number(data_dir: Path, output: Path) -> int:
    import tensorflow as tf

    expected = sum(read_shape(file)[0] for file in data_dir.glob("*-images-*"))
    files = [str(file) for file in output.rglob("*.gz")]
    written = sum(1 for _ in tf.data.TFRecordDataset(files, "GZIP"))
    if written != expected:
        raise RuntimeError(f"{data_dir}: expected {expected} records, got {written}")
    return written


def report(rows: list[dict[str, Any]], workers: int, out: Path | None) -> None:
    table = Table(title=f"ExampleGen, idx files, {workers} worker(s), {os.cpu_count()} cores")
    for key in rows[0]:
        table.add_column(key, justify="left" if key == "files" else "right")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:,}" for value in row.values()))
    Console(width=100).print(table)
    if out:
        content = {"workers": workers, "cores": os.cpu_count(), "rows": rows}
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        typer.run(main)
