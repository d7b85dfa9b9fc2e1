"""A package of somebody else, as an installer leaves it: modules, and the entry points of its tasks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# MNIST, whose pixels are scaled by a class of the package's own.
TASK = """
from components.task import Task
from pipelines.tasks.mnist import MNIST
from letters.parts.scaling import Scaling

LETTERS = Task(**{**dict(MNIST), "name": "letters", "summary": "Letters", "preprocessing": Scaling()})
OTHER = LETTERS.model_copy(update={"name": "mnist"})
"""
SCALING = """
from components.transform.images import ImageScaling
from letters.parts import numbers


class Scaling(ImageScaling):
    pass
"""


def write(folder: Path, entry_points: dict[str, str], package: str = "letters") -> None:
    """Writes the package into a folder of sys.path; an entry point is {"letters": "letters.task:LETTERS"}."""
    sources = {"__init__.py": "", "task.py": TASK, "parts/__init__.py": "", "parts/numbers.py": ""}
    for name, text in {**sources, "parts/scaling.py": SCALING}.items():
        path = folder / package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("letters.parts", f"{package}.parts"))
    declare(folder, entry_points, package)


def declare(folder: Path, entry_points: dict[str, str], package: str) -> None:
    """Writes what an installer says of a package."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {value}\n" for name, value in entry_points.items()]
    (info / "entry_points.txt").write_text("".join(["[millrace.tasks]\n", *lines]))


def on_path(folder: Path, *packages: str) -> Iterator[Path]:
    """Yields the folder while it is on sys.path; the packages are forgotten afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]
