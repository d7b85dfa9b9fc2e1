"""The functions that TFX calls by dotted name; they look the task up by the name in `custom_config`."""

from __future__ import annotations

import hashlib
import json
import os
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
            statistics=fn_args.custom_config["statistics"],
            transform_graph=fn_args.transform_graph_path,
            model_dir=fn_args.serving_model_dir,
            log_dir=fn_args.model_run_dir,
            working_dir=_working_dir(fn_args),
        ),
        ingredients(task),
    )


def _task(custom_config: Mapping[str, Any]) -> Task:
    return get_task(custom_config["task"]).override(custom_config["settings"])


def _working_dir(fn_args: Any) -> str:
    """Returns a directory that depends on what is trained on what, so that only the same training resumes."""
    identity = [fn_args.custom_config, fn_args.train_files, fn_args.transform_graph_path]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    return os.path.join(fn_args.custom_config["unfinished_dir"], digest)
