"""How a model was trained, as its SavedModel tells: the file `assets.extra/millrace.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final

from components import files

RESULTS_FILE: Final = "assets.extra/millrace.json"
# Keys: the name of the folder that the training's checkpoints are in until the model is published,
UNFINISHED: Final = "unfinished"
# and what was decided on the very split that blesses the model: settings of the training, or a threshold.
SAW_BLESSING_SPLIT: Final = "saw_blessing_split"
# and losses, metrics and learning rate: {"train": {"loss": [[step, value], …]}, "eval": {…}}.
CURVES: Final = "curves"


def read_results(model_dir: str) -> dict[str, Any]:
    """Returns what the file of a SavedModel holds, nothing where there is none; OSError or ValueError."""
    path = os.path.join(model_dir, RESULTS_FILE)
    return dict(json.loads(files.read_text(path))) if files.exists(path) else {}


def write_results(results: Mapping[str, Any], model_dir: str) -> None:
    """Adds the file to a SavedModel."""
    files.write_text(os.path.join(model_dir, RESULTS_FILE), json.dumps(results, indent=2))
