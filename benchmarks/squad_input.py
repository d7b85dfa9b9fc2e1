"""How fast SQuAD's JSON becomes the windows that a model trains on, read, tokenized and cut.

    python benchmarks/squad_input.py [--data DIR] [--vocabulary vocab.txt] [--out squad_input.json]

DIR holds SQuAD's files, by default made ones. One process reads all questions as ExampleGen's workers do,
then puts them through the graphs that Transform and the trainer run, 64 at a time: exact offsets, windows of
384 tokens every 128. What starts once is left out: ten questions go first. The fastest repeat counts.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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

from components.features import ANSWER_STARTS, ANSWERS, CONTEXT, QUESTION
from components.protocols import BadRecord, Note, Record
from components.sources.squad import SquadSource
from components.transform.text.questions import Questions
from components.windows.padding import pad
from components.windows.spans import Spans
from pipelines.datasets.made_squad import make_squad

BATCH_SIZE = 64

Cut = Callable[[Sequence[Record]], int]


def main(
    data: Annotated[Path | None, typer.Option(help="A folder with SQuAD's files; default: made.")] = None,
    vocabulary: Annotated[Path | None, typer.Option(help="A vocab.txt; default: MiniLM's.")] = None,
    repeats: Annotated[int, typer.Option(help="Turns, of which the fastest counts.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints questions, windows, seconds and questions per second."""
    with tempfile.TemporaryDirectory() as folder:
        if data is None:
            make_squad(Path(folder))
        cut = make_cut(vocabulary or defaults.minilm() / "vocab.txt")
        cut(list(islice(records(data or Path(folder)), 10)))
        figures = min((measure(data or Path(folder), cut) for _ in range(repeats)), key=seconds)
    table = Table(title=f"SQuAD's JSON to windows, one process, {os.cpu_count()} cores")
    for key in figures:
        table.add_column(key, justify="right")
    table.add_row(*(f"{value:,}" for value in figures.values()))
    Console().print(table)
    if out is not None:
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def seconds(figures: dict[str, Any]) -> float:
    return figures["seconds"]


def measure(data: Path, cut: Cut) -> dict[str, Any]:
    """Returns the figures of one turn."""
    questions, windows, wall, cpu = 0, 0, time.perf_counter(), time.process_time()
    rows = records(data)
    while batch := list(islice(rows, BATCH_SIZE)):
        questions += len(batch)
        windows += cut(batch)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "questions": questions, "windows": windows, "seconds": round(wall, 2), "cpu_s": round(cpu, 2),
        "questions_per_s": round(questions / wall), "questions_per_cpu_s": round(questions / cpu),
    }  # fmt: skip


def records(data: Path) -> Iterator[Record]:
    """Yields the good records of all splits."""
    source = SquadSource()
    for split in source.input_splits:
        for part in source.parts(data, split):
            yield from (record for record in part.records() if not isinstance(record, (BadRecord, Note)))


def make_cut(vocabulary: Path) -> Cut:
    """Returns a function that makes windows of records, and returns how many."""
    preprocessing = Questions(vocabulary=str(vocabulary))
    spans = Spans().fitted_to(preprocessing)
    text, texts = tf.TensorSpec([None], tf.string), tf.SparseTensorSpec([None, None], tf.string)
    starts = tf.SparseTensorSpec([None, None], tf.int64)
    signature = [{QUESTION: text, CONTEXT: text, ANSWERS: texts, ANSWER_STARTS: starts}]

    # Not autograph, which would convert the reading of a vocabulary line by line.
    @tf.function(input_signature=signature, autograph=False)
    def windows(raw: dict[str, Any]) -> dict[str, Any]:
        features = pad(preprocessing.preprocessing_fn(raw))
        return spans.take(features, spans.places(features))

    def cut(batch: Sequence[Record]) -> int:
        raw = {key: tf.constant([record[key] for record in batch]) for key in (QUESTION, CONTEXT)}
        for key, dtype in ((ANSWERS, tf.string), (ANSWER_STARTS, tf.int64)):
            rows = tf.ragged.constant([record[key] for record in batch], dtype, 1, row_splits_dtype=tf.int64)
            raw[key] = rows.to_sparse()
        return len(next(iter(windows(raw).values())))

    return cut


if __name__ == "__main__":
    typer.run(main)
