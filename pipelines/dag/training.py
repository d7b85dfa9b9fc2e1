"""The function that TFX's Trainer calls by dotted name; apart from Transform's, which runs none of this."""

from __future__ import annotations

from typing import Any

from pipelines.dag.fingerprint import ingredients
from pipelines.tasks import get_task


def run_fn(fn_args: Any) -> None:
    """Trains and exports (called by Trainer)."""
    from components.trainer.run import TrainerFiles, run

    task = get_task(fn_args.custom_config["task"]).override(fn_args.custom_config["settings"])
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
