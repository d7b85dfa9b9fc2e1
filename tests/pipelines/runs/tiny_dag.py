"""A tiny DAG of TFX's own kind of nodes, which leaves behind what runs leave behind."""

import json
import os
from pathlib import Path

import tfx.v1 as tfx
from tfx.types import standard_artifacts

from pipelines.runs import history


@tfx.dsl.components.component
def _train(model: tfx.dsl.components.OutputArtifact[standard_artifacts.Model], seed: tfx.dsl.components.Parameter[int]):  # type: ignore[no-untyped-def] # fmt: skip # noqa: E501
    os.makedirs(model.uri, exist_ok=True)
    Path(model.uri, "weights").write_text(str(seed))


@tfx.dsl.components.component
def _evaluate(  # type: ignore[no-untyped-def]
    model: tfx.dsl.components.InputArtifact[standard_artifacts.Model],
    evaluation: tfx.dsl.components.OutputArtifact[standard_artifacts.ModelEvaluation],
    accuracy: tfx.dsl.components.Parameter[float],
):
    if accuracy > 1:
        raise ValueError("too good")
    reasons = [] if accuracy >= 0.9 else [f"accuracy {accuracy} is below 0.9"]
    result = {
        "blessed": not reasons,
        "reasons": reasons,
        "metrics": {"accuracy": accuracy, "by_class": [1.0]},
    }
    os.makedirs(evaluation.uri, exist_ok=True)
    Path(evaluation.uri, "metrics.json").write_text(json.dumps(result))


@tfx.dsl.components.component
def _push(  # type: ignore[no-untyped-def]
    model: tfx.dsl.components.InputArtifact[standard_artifacts.Model],
    evaluation: tfx.dsl.components.InputArtifact[standard_artifacts.ModelEvaluation],
    base_dir: tfx.dsl.components.Parameter[str],
    pushed_model: tfx.dsl.components.OutputArtifact[standard_artifacts.PushedModel],
):
    blessed = json.loads(Path(evaluation.uri, "metrics.json").read_text())["blessed"]
    pushed_model.set_int_custom_property("pushed", int(blessed))
    if blessed:
        pushed_model.set_string_custom_property("pushed_version", "7")


def run_tiny(root: Path, task: str, accuracy: float, seed: int = 0) -> None:
    """Runs Trainer, Evaluator and Pusher: a model of `seed`, blessed from 0.9 on, failing above 1."""
    trainer = _train(seed=seed).with_id("Trainer")
    evaluator = _evaluate(model=trainer.outputs["model"], accuracy=accuracy).with_id("Evaluator")
    pusher = _push(
        model=trainer.outputs["model"],
        evaluation=evaluator.outputs["evaluation"],
        base_dir=str(root / "models"),
    ).with_id("Pusher")
    pipeline = tfx.dsl.Pipeline(
        pipeline_name=task,
        pipeline_root=str(root / "artifacts" / task),
        components=[trainer, evaluator, pusher],
        enable_cache=True,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(root / history.METADATA_FILE)
        ),
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)
