"""The function that TFX's Transform calls by dotted name; the Trainer's is in pipelines/dag/training.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.config import Config
from pipelines.tasks import get_task


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the features of a batch of raw features (called by Transform).

    `custom_config` names the task, and has its settings.
    """
    task, settings = get_task(custom_config["task"]), custom_config["settings"]
    preprocessing = task.preprocessing
    if "model" in settings:
        # What it takes from the model could not be read where the DAG was made.
        preprocessing = task.override(settings).preprocessing
    elif isinstance(preprocessing, Config):
        # Not through the task: it would be fitted to the task's own model, in place of the run's, anew.
        preprocessing = preprocessing.override(settings["preprocessing"], "preprocessing")
    return preprocessing.preprocessing_fn(inputs)
