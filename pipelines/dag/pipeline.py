"""The DAG: (Task, RunConfig) to a TFX pipeline. Nothing here knows which runner will run it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Final

import tfx.v1 as tfx
from tfx.proto import transform_pb2

from components.baseline.component import LatestBlessedModel
from components.canary.component import Canary
from components.evaluator.component import evaluator
from components.example_gen.component import example_gen
from components.example_gen.schema import TaskSchemaGen
from components.example_gen.validation import ExampleValidator
from components.pusher.component import Pusher
from components.task import Task
from components.trainer.component import Trainer
from pipelines.dag import nodes
from pipelines.dag.fingerprint import PREPROCESSING_FN, RUN_FN, TRAINING_SECTIONS, of_node
from pipelines.dag.judge import judge
from pipelines.dag.settings import RunConfig

# The sections of a task whose classes a node runs.
_SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    nodes.EXAMPLE_GEN: ("source",),
    nodes.TRANSFORM: ("preprocessing",),
    nodes.TRAINER: TRAINING_SECTIONS,
    nodes.EVALUATOR: ("evaluation",),
}
# Of what a preprocessing and windows take something over, and they themselves.
_FOLLOWED: Final = ("source", "preprocessing", "windowing", "model")


def make_pipeline(
    task: Task, config: RunConfig, beam_pipeline_args: Sequence[Any] | None = None
) -> tfx.dsl.Pipeline:
    """Returns the DAG of a task; `beam_pipeline_args` may be placeholders for those of the settings."""
    components = _make_nodes(task, config)
    for node in components:
        node.exec_properties[nodes.FINGERPRINT] = json.dumps(_ingredients(task, node), sort_keys=True)
    return tfx.dsl.Pipeline(
        pipeline_name=task.name,
        pipeline_root=os.path.join(config.pipeline_root, "artifacts", task.name),
        components=components,
        enable_cache=config.enable_cache,
        beam_pipeline_args=list(beam_pipeline_args or config.beam_pipeline_args),
    )


def _make_nodes(task: Task, config: RunConfig) -> list[Any]:
    examples = example_gen(task.source, config.data_dir)
    schema = TaskSchemaGen(task.source.features).with_id(nodes.SCHEMA_GEN)
    # The schema tells which integers are categories, whose values are counted one by one.
    statistics = tfx.components.StatisticsGen(
        examples=examples.outputs["examples"], schema=schema.outputs["schema"]
    )
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    transform = _make_transform(task, examples, schema)
    # Examples that do not fit the schema must not reach the model, though no artifact flows from here.
    transform.add_upstream_node(validator)
    trainer = _make_trainer(task, config, examples, statistics, schema, transform)
    baseline = LatestBlessedModel(trainer.outputs["model"], config.models_dir, task.name)
    evaluation = evaluator(
        task,
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"],
        schema=schema.outputs["schema"],
    )
    canary = Canary(
        model=trainer.outputs["model"],
        model_blessing=evaluation.outputs["blessing"],
        absolute_tolerance=config.canary.absolute_tolerance,
        differing_share=config.canary.differing_share,
        timeout_s=config.canary.timeout_s,
    )
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluation.outputs["blessing"],
        infra_blessing=canary.outputs["blessing"],
        evaluation=evaluation.outputs["evaluation"],
        base_dir=config.models_dir,
        model_name=task.name,
        keep_versions=config.push.keep_versions,
        unfinished_dir=config.unfinished_dir(task.name),
        force=config.push.force,
        judge=judge(task, config),
    )
    return [
        examples, schema, statistics, validator, transform, trainer, baseline, evaluation, canary, pusher
    ]  # fmt: skip


def _make_transform(task: Task, examples: Any, schema: Any) -> Any:
    return tfx.components.Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn=PREPROCESSING_FN,
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "eval"]),
        # TFX would measure the transformed examples, too: three more passes for numbers that nobody reads.
        disable_statistics=True,
        materialize=task.preprocessing.materialized,
        custom_config=_custom_config(task, nodes.TRANSFORM),
    )


def _make_trainer(
    task: Task, config: RunConfig, examples: Any, statistics: Any, schema: Any, transform: Any
) -> Any:
    own = transform if task.preprocessing.materialized else examples
    key = "transformed_examples" if task.preprocessing.materialized else "examples"
    return Trainer(
        examples=own.outputs[key],
        raw_examples=examples.outputs["examples"],
        statistics=statistics.outputs["statistics"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        run_fn=RUN_FN,
        custom_config={
            **_custom_config(task, nodes.TRAINER),
            "unfinished_dir": config.unfinished_dir(task.name),
        },
    )


def _custom_config(task: Task, node: str) -> dict[str, Any]:
    """Returns what an entry point needs to find the task again, no more: it is part of the cache's key."""
    needed = _SECTIONS[node] if task.opened else {*_SECTIONS[node], *_FOLLOWED}
    settings = {name: section for name, section in task.sections() if name in needed}
    return {
        "task": task.reference,
        "settings": {name: section.model_dump(mode="json") for name, section in settings.items()},
    }


def _ingredients(task: Task, node: Any) -> dict[str, str]:
    sections = task.parts(_SECTIONS.get(node.id, ()))
    return of_node(node.id, node.executor_spec.executor_class, sections, task.opened)
