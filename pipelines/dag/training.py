"""The function that TFX's Trainer calls by dotted name; apart from Transform's, which runs none of this."""

from __future__ import annotations

import os
from typing import Any

from pipelines.dag.fingerprint import digest, ingredients
from pipelines.tasks import get_task


def run_fn(fn_args: Any) -> None:
    """Trains and exports (called by Trainer)."""
    from components.trainer.run import TrainerFiles, run

    task = get_task(fn_args.custom_config["task"]).override(fn_args.custom_config["settings"])
    made_of = ingredients(task)
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
            working_dir=_working_dir(fn_args, made_of),
        ),
        made_of,
    )


def _working_dir(fn_args: Any, made_of: dict[str, Any]) -> str:
    """Returns a directory that depends on what is trained on what, so that only the same training resumes."""
    identity = [fn_args.custom_config, fn_args.train_files, fn_args.transform_graph_path, made_of]
    return os.path.join(fn_args.custom_config["unfinished_dir"], digest(identity))
