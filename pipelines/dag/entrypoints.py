"""The functions that TFX calls by dotted name; they look the task up by the name in `custom_config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.config import Config
from components.task import Task
from pipelines.dag.fingerprint import ingredients
from pipelines.tasks import get_task


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the features of a batch of raw features (called by Transform)."""
    preprocessing = get_task(custom_config["task"]).preprocessing
    # Not through the task: it would be fitted to the task's own model, in place of the run's, anew.
    if isinstance(preprocessing, Config):
        preprocessing = preprocessing.override(custom_config["settings"]["preprocessing"], "preprocessing")
    return preprocessing.preprocessing_fn(inputs)


def run_fn(fn_args: Any) -> None:
    """Trains and exports (called by Trainer)."""
    from components.trainer.run import TrainerFiles, run

    task = _task(fn_args.custom_config)
    run(
        task,
        TrainerFiles(
            train_examples=fn_args.train_files,
            eval_examples=fn_args.eval_files,
            raw_examples=fn_args.custom_config["raw_examples"],
            data_digests=fn_args.custom_config["data_digests"],
            counts=fn_args.custom_config["counts"],
            statistics=fn_args.custom_config["statistics"],
            transform_graph=fn_args.transform_graph_path,
            model_dir=fn_args.serving_model_dir,
            log_dir=fn_args.model_run_dir,
            unfinished_dir=fn_args.custom_config["unfinished_dir"],
        ),
        ingredients(task),
    )


def _task(custom_config: Mapping[str, Any]) -> Task:
    return get_task(custom_config["task"]).override(custom_config["settings"])
