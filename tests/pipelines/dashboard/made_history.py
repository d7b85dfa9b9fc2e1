"""A history as TFX writes it into ML Metadata, without the runs; for benchmarks/dashboard.py, too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

from pipelines.dag import nodes
from pipelines.runs import history, record

REPORT = "<!DOCTYPE html><html lang=en><title>Evaluation</title><style>p{color:red}</style><p>Blessed</p>"
_TYPES = {
    nodes.EXAMPLE_GEN: "Examples",
    nodes.SCHEMA_GEN: "Schema",
    nodes.STATISTICS_GEN: "ExampleStatistics",
    nodes.EXAMPLE_VALIDATOR: "ExampleAnomalies",
    nodes.TRANSFORM: "TransformGraph",
    nodes.TRAINER: "Model",
    nodes.EVALUATOR: "ModelEvaluation",
    nodes.CANARY: "InfraBlessing",
    nodes.PUSHER: "PushedModel",
}


class MadeRun(NamedTuple):
    """A run that might have been; it ends at the node `until` with the state of MLMD `ends`."""

    task: str
    run_id: str
    accuracy: float = 0.95
    blessed: bool = True
    settings: Mapping[str, Mapping[str, Any]] = {}
    digests: Mapping[str, str] = {"images.gz": "00ff"}
    until: str = nodes.PUSHER
    ends: str = "COMPLETE"
    published: int | None = None
    record: Mapping[str, Any] | None = None
    # What StatisticsGen counted, by split.
    statistics: Mapping[str, bytes] = {}
    # How bad the answer to each example is, and how wrong ones look.
    badness: Mapping[str, float | None] = {}
    mistakes: Mapping[str, str] = {}


def write_runs(root: Path, runs: Iterable[MadeRun]) -> None:
    """Adds runs to the history under a pipeline root, with the files that the dashboard reads."""
    root.mkdir(parents=True, exist_ok=True)
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(root / history.METADATA_FILE)
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    store = metadata_store.MetadataStore(config)
    types = {name: store.put_context_type(pb.ContextType(name=name)) for name in ("pipeline_run", "node")}
    for run in runs:
        _write_run(store, types, root, run)
        if run.record is not None:
            record.write(str(root), record.Record(run_id=run.run_id, settings=run.settings, **run.record))


def _write_run(store: Any, types: Mapping[str, int], root: Path, run: MadeRun) -> None:
    contexts = [pb.Context(type_id=types["pipeline_run"], name=run.run_id)]
    written: dict[str, Any] = {}
    for node in nodes.NODES[: nodes.NODES.index(run.until) + 1]:
        state = run.ends if node == run.until else "COMPLETE"
        pairs = [
            (written[before], _event(_TYPES[before].lower(), pb.Event.INPUT))
            for before in nodes.EDGES[node]
            if before in written
        ]
        if node in _TYPES and state == "COMPLETE":
            written[node] = _artifact(store, root, node, run)
            pairs.append((written[node], _event(_TYPES[node].lower(), pb.Event.OUTPUT)))
        of_node = pb.Context(type_id=types["node"], name=f"{run.task}.{node}")
        execution = _execution(store, node, state, run)
        _, artifact_ids, _ = store.put_execution(
            execution, pairs, [*contexts, of_node], reuse_context_if_already_exist=True
        )
        if node in written:
            written[node].id = artifact_ids[-1]


def _execution(store: Any, node: str, state: str, run: MadeRun) -> Any:
    execution = pb.Execution(
        type_id=store.put_execution_type(pb.ExecutionType(name=node)),
        last_known_state=pb.Execution.State.Value(state),
    )
    for name, value in _properties(node, run).items():
        execution.custom_properties[name].string_value = value
    return execution


def _properties(node: str, run: MadeRun) -> dict[str, str]:
    if node == nodes.EXAMPLE_GEN:
        return {"input_base": "/data/of/" + run.task}
    if node == nodes.TRAINER:
        return {"custom_config": json.dumps({"task": run.task, "settings": run.settings})}
    if node == nodes.EVALUATOR:
        return {
            "settings": json.dumps({"blessing": {"metric": "accuracy", "threshold": 0.9, "max_drop": 0.0}})
        }
    return {}


def _event(key: str, kind: Any) -> Any:
    event = pb.Event(type=kind)
    event.path.steps.add().key = key
    event.path.steps.add().index = 0
    return event


def _artifact(store: Any, root: Path, node: str, run: MadeRun) -> Any:
    folder = root / "artifacts" / run.task / node / hashlib.sha256(run.run_id.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    artifact = pb.Artifact(
        type_id=store.put_artifact_type(pb.ArtifactType(name=_TYPES[node])), uri=str(folder)
    )
    if node == nodes.EXAMPLE_GEN:
        (folder / "data_digests.json").write_text(json.dumps(run.digests))
        (folder / "counts.json").write_text(json.dumps({"train": 1000, "eval": 50}))
    if node == nodes.STATISTICS_GEN:
        for split, content in run.statistics.items():
            (folder / f"Split-{split}").mkdir(exist_ok=True)
            (folder / f"Split-{split}" / "FeatureStats.pb").write_bytes(content)
    if node == nodes.EVALUATOR:
        (folder / "metrics.json").write_text(json.dumps(_result(run)))
        (folder / "report.html").write_text(REPORT)
        (folder / "answers.json").write_text(json.dumps({"badness": dict(run.badness)}))
        (folder / "mistakes.json").write_text(json.dumps(dict(run.mistakes)))
    if node == nodes.PUSHER:
        artifact.custom_properties["pushed"].int_value = int(run.published is not None)
        artifact.custom_properties["pushed_version"].string_value = str(run.published or "")
    return artifact


def _result(run: MadeRun) -> dict[str, Any]:
    slices = [{"slice": {"label": 7}, "count": 20, "metrics": {"accuracy": run.accuracy - 0.1}}]
    return {
        "task": run.task,
        "blessed": run.blessed,
        "reasons": [] if run.blessed else [f"accuracy {run.accuracy} is below 0.9"],
        "notes": [],
        "blessing": {"metric": "accuracy", "threshold": 0.9, "max_drop": 0.0},
        "num_examples": 50,
        "metrics": {"accuracy": run.accuracy, "recall_by_class": [1.0, 0.5]},
        "intervals": {"metric": [run.accuracy - 0.01, run.accuracy + 0.01], "difference": None},
        "baseline_metrics": {"accuracy": 0.9},
        "slices": slices,
    }
