"""How fast SQuAD's JSON is read and its answers are checked, and how memory grows with the file.

    python benchmarks/squad_reading.py [--data DIR] [--questions 20000] [--out squad_reading.json]

Reads SQuAD's files from DIR if given, then made ones of QUESTIONS and of ten times as many. Each reading has
a process of its own, which reads ten questions first; then it reads all as ExampleGen's workers do, up to
the raw features. Memory is the most that the process ever held in RAM, after the first ten questions and at
its end.
"""

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from support.children import figures, measured

from components.formats.squad import Question, read_squad, write_squad
from components.protocols import BadRecord, Note
from components.sources.squad import SquadPart, SquadSource
from pipelines.datasets.made_squad import make_squad


def main(
    data: Annotated[Path | None, typer.Option(help="A folder with SQuAD's files.")] = None,
    questions: Annotated[int, typer.Option(help="Questions of the smaller made file.")] = 20_000,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints a table of questions per second and of memory."""
    with tempfile.TemporaryDirectory() as folder:
        warm_up = write_file(Path(folder), 10)
        files = {file.name: file for file in parts(data)} if data else {}
        files |= {
            f"made, {count:,}": write_file(Path(folder), count) for count in (questions, 10 * questions)
        }
        results = [
            {"data": name, **figures(__file__, str(warm_up), str(file))} for name, file in files.items()
        ]
    report(results, out)


def parts(directory: Path) -> list[Path]:
    source = SquadSource()
    return [part.path for split in source.input_splits for part in source.parts(directory, split)]


def write_file(folder: Path, count: int) -> Path:
    """Writes so many questions of the embedded data, over and over."""
    make_squad(folder)
    made = list(read_squad(folder / "train-v1.1.json"))
    path = folder / f"{count}.json"
    write_squad(path, renamed(made, count))
    return path


def renamed(made: list[Question], count: int) -> Iterator[Question]:
    for number, question in enumerate(islice(cycle(made), count)):
        yield question._replace(id=str(number))


def child(warm_up: str, file: str) -> None:
    """Prints questions, seconds, CPU seconds and MB of memory of one reading as JSON."""
    kinds: Counter[str] = Counter()
    read(warm_up, Counter())
    got = measured(lambda: read(file, kinds))
    count = kinds["good"]
    size = {"questions": count, "bad": kinds["bad"], "repaired": kinds["repaired"]}
    megabytes = round(os.path.getsize(file) / 1e6, 1)
    print(
        json.dumps({**size, "MB": megabytes, "questions/s": round(count / max(got["seconds"], 0.01)), **got})
    )


def read(file: str, kinds: Counter[str]) -> None:
    names = {BadRecord: "bad", Note: "repaired"}
    kinds.update(names.get(type(record), "good") for record in SquadPart(Path(file), True).records())


def report(results: list[dict[str, Any]], out: Path | None) -> None:
    table = Table(title=f"SQuAD's JSON to raw features, one process, {os.cpu_count()} cores")
    for key in results[0]:
        table.add_column(key, justify="left" if key == "data" else "right")
    for result in results:
        table.add_row(*(value if isinstance(value, str) else f"{value:,}" for value in result.values()))
    Console(width=120).print(table)
    if out:
        content = {"cores": os.cpu_count(), "results": results}
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        typer.run(main)
