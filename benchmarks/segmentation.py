"""How well scans are segmented: made abdomens that were not trained on, and one real scan that was.

    python benchmarks/segmentation.py [SCAN.nii.gz MASK.nii.gz] [--steps 150] [--cases 6] [--out FILE.json]

`made`: the whole DAG with the task's own settings on `millrace data make lits`, measured on the cases that
are held out. `overfit`, where a scan and its mask with liver 1 are given: the same DAG, trained on that case
and measured on it again, which says whether anything between the file and the mask goes wrong, and nothing
of other scans.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer
from rich.console import Console
from rich.table import Table

from pipelines import console
from pipelines.dag.settings import RunConfig
from pipelines.datasets import catalog
from pipelines.runs import launch
from pipelines.tasks.lits import LITS

CLASSES = ("liver", "tumour")


def main(
    scan: Annotated[Path | None, typer.Argument(help="A CT as NIfTI.")] = None,
    mask: Annotated[Path | None, typer.Argument(help="Its mask, liver 1.")] = None,
    steps: Annotated[int, typer.Option(help="Training steps on the one scan.")] = 150,
    cases: Annotated[int, typer.Option(help="Made abdomens; 0: none.")] = 6,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints Dice of each class, and what the DAG took."""
    figures = []
    with tempfile.TemporaryDirectory() as name, console.quiet(Path(name, "log"), debug=False):
        folder = Path(name)
        if cases:
            catalog.make("lits", _made(folder / "made"), cases)
            figures.append(run("made", folder, {}))
        if scan is not None and mask is not None:
            twice(scan, mask, _made(folder / "overfit"))
            figures.append(run("overfit", folder, overfitting(steps)))
    report(figures, out)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def twice(scan: Path, mask: Path, folder: Path) -> None:
    """Copies a case under two names: one to train on, one to be measured on."""
    for number in range(2):
        shutil.copy(scan, folder / f"volume-{number}{''.join(scan.suffixes)}")
        shutil.copy(mask, folder / f"segmentation-{number}{''.join(mask.suffixes)}")


def overfitting(steps: int) -> dict[str, Any]:
    return {
        "source": {"label_names": ["background", "liver"], "eval_cases": ["volume-1"]},
        "windowing": {"patches_per_example": 32},
        "train": {"num_steps": steps},
    }


def run(name: str, folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the DAG on the data in `folder / name` came to."""
    root = folder / f"{name}-root"
    config = RunConfig(data_dir=str(folder / name), pipeline_root=str(root), models_dir=str(root / "models"))
    wall, cpu = time.perf_counter(), time.process_time()
    done = launch.launch(LITS, config, settings)
    figures = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    measured = json.loads(Path(done.evaluation_dir, "metrics.json").read_text())["metrics"]
    dice = {name: measured.get(f"dice_{name}") for name in CLASSES}
    return {"data": name, **dice, **figures, "published": done.pushed_version is not None}


def report(figures: list[dict[str, Any]], out: Path | None) -> None:
    table = Table(title=f"Dice of scans by the task lits, {os.cpu_count()} cores")
    for key in ("data", *CLASSES, "seconds", "cpu_seconds", "published"):
        table.add_column(key, justify="left" if key == "data" else "right")
    for row in figures:
        dice = ["–" if row[name] is None else f"{row[name]:.3f}" for name in CLASSES]
        times = [f"{row[key]:.0f}" for key in ("seconds", "cpu_seconds")]
        table.add_row(row["data"], *dice, *times, "yes" if row["published"] else "no")
    Console().print(table)
    if out is not None:
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
