"""Metrics of segmentation beside MONAI's and DeepMind's on made masks: values, and milliseconds of CPU.

    python benchmarks/segmentation_metrics.py [--peer-python PEER/bin/python] [--out FILE.json]

PEER is an environment of its own: `uv venv PEER && uv pip install --python PEER/bin/python torch==2.13.0
monai surface-distance scipy`. Without it the project's own side is measured alone.

The masks: a smooth organ and the same one moved; the same with a stray piece in a corner; lesions of which
half are found; and noise, as a network that has learned nothing answers. All sides take turns in rounds, of
which the first warms up; figures are medians. "both" is the surface distance and the surface Dice, which the
project and DeepMind's package compute of the same distances.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import ndimage

from components.metrics.masks import dice
from components.metrics.surfaces import distances

PEER = Path(__file__).parent / "support" / "segmentation_peer.py"
TOLERANCE_MM = 2.0
SPACING_MM = (2.5, 0.8, 0.8)
MEASURES = ("Dice", "surface distance", "surface Dice", "both")

Mask = NDArray[np.bool_]
# A measure's name and a case's to seconds and values.
Side = Callable[[str, str], dict[str, Any]]


def main(
    peer_python: Annotated[Path | None, typer.Option(help="Python with torch and monai.")] = None,
    size: Annotated[int, typer.Option(help="Voxels along each axis.")] = 96,
    rounds: Annotated[int, typer.Option(help="Rounds of each side after the warm-up.")] = 5,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints a table of the values, and one of the times."""
    cases = make_cases(size)
    with tempfile.TemporaryDirectory() as name:
        for case, (label, answer) in cases.items():
            np.savez(Path(name, f"{case}.npz"), label=label, answer=answer, spacing_mm=SPACING_MM)
        with peers(peer_python, Path(name)) as theirs:
            sides: dict[str, Side] = {"millrace": ours(cases), **theirs}
            measured = [measure(sides, case, each, rounds) for case in cases for each in MEASURES]
    show("values", [row["values"] for row in measured])
    show("CPU milliseconds", [row["milliseconds"] for row in measured])
    if out is not None:
        figures = {"size": size, "spacing_mm": SPACING_MM, "measured": measured}
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def make_cases(size: int) -> dict[str, tuple[Mask, Mask]]:
    """Returns a label and an answer by name."""
    rng = np.random.default_rng(0)
    waves = ndimage.gaussian_filter(rng.normal(size=(size, size, size)), size / 16)
    places = np.stack(np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij"))
    organ = (places**2).sum(axis=0) + 0.1 * waves / waves.std() < 0.4
    moved = np.roll(organ, (1, 2, -2), (0, 1, 2))
    stray = moved.copy()
    stray[: size // 16, : size // 16, : size // 16] = True
    lesions = waves > 2 * waves.std()
    pieces, count = ndimage.label(lesions)
    found = np.isin(pieces, np.arange(1, count + 1, 2))
    noise = rng.random(organ.shape) < 0.3
    return {
        "organ": (organ, moved),
        "stray": (organ, stray),
        "lesions": (lesions, found),
        "noise": (organ, noise),
    }


def ours(cases: dict[str, tuple[Mask, Mask]]) -> Side:
    def run(measure: str, case: str) -> dict[str, Any]:
        start = time.process_time()
        values = values_of(measure, *cases[case])
        return {"seconds": time.process_time() - start, "values": values}

    return run


def values_of(measure: str, label: Mask, answer: Mask) -> list[float]:
    if measure == "Dice":
        return [dice(label, answer)]
    apart = distances(label, answer, SPACING_MM)
    values = {"surface distance": apart.robust_mm, "surface Dice": lambda: apart.dice(TOLERANCE_MM)}
    return [values[each]() for each in values if measure in (each, "both")]


@contextmanager
def peers(python: Path | None, folder: Path) -> Iterator[dict[str, Side]]:
    """Starts the other side, and gives its libraries by name; none without an interpreter."""
    if python is None:
        print("segmentation_metrics.py: no --peer-python (see --help): the project's own side alone")
        yield {}
        return
    # SciPy has one thread, too.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [python, PEER, folder]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as peer:

        def ask(**asked: str) -> dict[str, Any]:
            if peer.stdin is None or peer.stdout is None:
                raise RuntimeError("the peer has no pipes")
            print(json.dumps(asked), file=peer.stdin, flush=True)
            return json.loads(peer.stdout.readline())

        yield {
            library: lambda measure, case, library=library: ask(library=library, measure=measure, case=case)
            for library in ("MONAI", "DeepMind")
        }
        # It ends with its input.
        if peer.stdin is not None:
            peer.stdin.close()


def measure(sides: dict[str, Side], case: str, measure: str, rounds: int) -> dict[str, Any]:
    """Returns the values of each side, and the median of its milliseconds."""
    answers = [{name: side(measure, case) for name, side in sides.items()} for _ in range(rounds + 1)]
    what = {"case": case, "measure": measure}
    values = {
        name: ", ".join(f"{value:.6f}" for value in found["values"]) for name, found in answers[-1].items()
    }
    times = {
        name: round(1000 * statistics.median(each[name]["seconds"] for each in answers[1:]), 1)
        for name in sides
    }
    return {"values": what | values, "milliseconds": what | times}


def show(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title)
    for key in rows[0]:
        table.add_column(key)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)
