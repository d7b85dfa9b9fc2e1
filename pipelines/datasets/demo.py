"""The demo: real handwritten digits that need no network, from idx files to a prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from components.errors import UserError
from pipelines.dag.settings import Overrides
from pipelines.tasks.mnist import MNIST

TASK: Final = MNIST
# 1,437 images instead of 60,000: fewer epochs, and longer steps.
OVERRIDES: Final[Overrides] = {
    "train": {"num_epochs": 10, "learning_rate": 1e-3},
}
# A test image whose picture is written for the prediction.
_DIGIT: Final = 0


def make_data(folder: Path) -> Path:
    """Writes the idx files, unless they are there, and one test digit as a PNG; returns the PNG's path."""
    from pipelines.datasets import catalog

    try:
        TASK.source.check(folder)
    except UserError:
        catalog.make(TASK.name, folder)
    return _write_digit(folder)


def _write_digit(folder: Path) -> Path:
    from PIL import Image

    from components.formats.idx import read_idx
    from components.sources.idx import IdxSource

    source = IdxSource()
    test_split = source.input_splits[-1]
    image = read_idx(source.files(folder, test_split).images)[_DIGIT]
    path = folder / "digit.png"
    Image.fromarray(image).save(path)
    return path
