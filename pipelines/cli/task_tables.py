"""One task as its users meet it: files, features, settings, metrics, signatures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from components.task import Task
from pipelines.cli import layout, tables
from pipelines.cli.layout import Column
from pipelines.cli.meaning import meanings
from pipelines.dag.settings import RunConfig

# The sections beside the task's own, which a run here has.
_OF_RUNS: Final = ("canary", "push")


def describe(task: Task, with_signatures: bool = False) -> dict[str, Any]:
    """Returns a task as JSON values; its signatures, which take TensorFlow, are null unless asked for."""
    return {
        **tables.task_json(task),
        "files": [
            {"split": name, "pattern": split.pattern}
            for split in task.source.input_splits
            for name in split.names
        ],
        "evaluation_split": task.source.evaluation_split,
        "features": {name: feature.model_dump(mode="json") for name, feature in task.source.features.items()},
        "settings": _settings(task),
        "signatures": _signatures(task) if with_signatures else None,
    }


def show(described: Mapping[str, Any]) -> None:
    """Prints what `describe` returned."""
    blessing = described["blessing"]
    print(f"{described['name']}: {described['summary']}")
    print(f"blessed    {blessing['metric']} of at least {blessing['threshold']:g}")
    print(f"metrics    {', '.join(described['metrics'])}")
    if described["presets"]:
        print(f"presets    {', '.join(described['presets'])}")
    layout.show(
        (Column("split", 0), Column("read from", 0, folds=True)),
        [(file["split"], file["pattern"]) for file in described["files"]],
    )
    layout.show(
        (Column("feature", 0), Column("type", 0), Column("in requests", 1)),
        [(name, each["dtype"], _yes(each["served"])) for name, each in described["features"].items()],
    )
    layout.show(
        (Column("setting", 0), Column("default", 0, folds=True), Column("meaning", 1, folds=True)),
        [
            (key, json.dumps(each["default"]), each["meaning"] or "")
            for key, each in described["settings"].items()
        ],
    )
    for name, inputs in (described["signatures"] or {}).items():
        told = ", ".join(f"{key} {each['dtype']}{each['shape']}" for key, each in inputs.items())
        print(f"signature  {name}: {told}")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _settings(task: Task) -> dict[str, dict[str, Any]]:
    """Returns {"train.num_epochs": {"default": 3, "meaning": …}}."""
    run = RunConfig(data_dir="", pipeline_root="", models_dir="")
    sections = [*task.override({}).sections(), *((name, getattr(run, name)) for name in _OF_RUNS)]
    told = {}
    for name, section in sections:
        known = meanings(type(section))
        for key, value in section.model_dump(mode="json").items():
            told[f"{name}.{key}"] = {"default": value, "meaning": known.get(key)}
    return told


def _signatures(task: Task) -> dict[str, dict[str, Any]]:
    """Returns the inputs of each signature beside `serving_default`, which takes tf.Examples."""
    return {
        name: {
            key: {"dtype": spec.dtype.name, "shape": list(spec.shape)} for key, spec in request.inputs.items()
        }
        for name, request in task.preprocessing.requests().items()
    }
