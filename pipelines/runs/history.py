"""Past runs, as ML Metadata remembers them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from components.errors import UserError
from pipelines.dag.nodes import LATEST_BLESSED_MODEL, NODES

METADATA_FILE: Final = "metadata.sqlite"
LATEST: Final = "latest"
# A run holds this file's lock while it is going on.
_LOCK_FILE: Final = ".lock"

_STATES: Final = {
    "NEW": "running",
    "RUNNING": "running",
    "COMPLETE": "complete",
    "CACHED": "cached",
    "FAILED": "failed",
    "CANCELED": "interrupted",
}


class HistoryError(UserError):
    """A run that does not exist, or a database that is none."""


class Artifact(NamedTuple):
    """One output of a node."""

    key: str
    type: str
    uri: str
    properties: dict[str, Any]


class NodeRun(NamedTuple):
    """One execution of a node; `state` is running, complete, cached, failed or interrupted."""

    node: str
    state: str
    started: datetime
    seconds: float
    artifacts: tuple[Artifact, ...]


class Evaluation(NamedTuple):
    """What the Evaluator found; the metrics are numbers or lists by class."""

    blessed: bool
    reasons: tuple[str, ...]
    metrics: dict[str, Any]
    report: str


class Run(NamedTuple):
    """One run of a task's DAG; `state` is that of its nodes taken together."""

    run_id: str
    task: str
    state: str
    started: datetime
    seconds: float
    nodes: tuple[NodeRun, ...]
    evaluation: Evaluation | None

    def artifact(self, type_name: str) -> Artifact | None:
        """Returns the output of a type: artifact("PushedModel")."""
        found = [a for node in self.nodes for a in node.artifacts if a.type == type_name]
        return found[-1] if found else None

    @property
    def published_version(self) -> str | None:
        pushed = self.artifact("PushedModel")
        if pushed is None or not pushed.properties.get("pushed"):
            return None
        return str(pushed.properties["pushed_version"])

    def to_json(self) -> dict[str, Any]:
        """Returns the run as JSON values."""
        return {
            "run_id": self.run_id,
            "task": self.task,
            "state": self.state,
            "started": self.started.isoformat(),
            "seconds": self.seconds,
            "published_version": self.published_version,
            "evaluation": self.evaluation._asdict() if self.evaluation else None,
            "nodes": [
                {
                    **node._asdict(),
                    "started": node.started.isoformat(),
                    "artifacts": [artifact._asdict() for artifact in node.artifacts],
                }
                for node in self.nodes
            ],
        }


def read_runs(pipeline_root: str, task: str | None = None) -> tuple[Run, ...]:
    """Returns the runs under a pipeline root, of all tasks or of one, newest first."""
    database = Path(pipeline_root, METADATA_FILE)
    if not database.exists():
        return ()
    store = _open(database)
    nodes = _nodes_by_execution(store)
    contexts = sorted(store.get_contexts_by_type("pipeline_run"), key=lambda context: -context.id)
    # Only the newest run can be the one that holds the lock.
    alive = {context.id for context in contexts[:1] if _is_locked(Path(pipeline_root, _LOCK_FILE))}
    runs = (_read_run(store, context, nodes, context.id in alive) for context in contexts)
    return tuple(run for run in runs if run is not None and task in (None, run.task))


def find_run(pipeline_root: str, run_id: str) -> Run:
    """Returns the run whose id is, or alone begins with, `run_id`; "latest" is the newest."""
    runs = read_runs(pipeline_root)
    if not runs:
        raise HistoryError(no_runs(pipeline_root))
    if run_id == LATEST:
        return runs[0]
    found = [run for run in runs if run.run_id.startswith(run_id)]
    exact = [run for run in found if run.run_id == run_id]
    if len(exact or found) == 1:
        return (exact or found)[0]
    known = ", ".join(run.run_id for run in (found or runs)[:5])
    what = "ambiguous run" if found else "unknown run"
    raise HistoryError(f"{what} {run_id!r}; {'it may be' if found else 'the newest are'}: {known}")


def refused_models(pipeline_root: str, task: str) -> tuple[Run, ...]:
    """Returns the runs whose model was not blessed, oldest first; each model counts once."""
    refused = [r for r in read_runs(pipeline_root, task) if r.evaluation and not r.evaluation.blessed]
    by_model = {model.uri: run for run in refused if (model := run.artifact("Model"))}
    return tuple(reversed(by_model.values()))


def no_runs(pipeline_root: str) -> str:
    """Returns the line that tells what to do where nothing has run yet."""
    return f"{pipeline_root}: no runs yet; `millrace run TASK --data DIR` or `millrace demo` makes one"


def read_evaluation(evaluation_dir: str) -> Evaluation | None:
    """Returns what the Evaluator wrote there; None where it wrote nothing that can be read here."""
    try:
        content = json.loads(Path(evaluation_dir, "metrics.json").read_text(encoding="utf-8"))
        return Evaluation(
            blessed=content["blessed"],
            reasons=tuple(content["reasons"]),
            metrics=content["metrics"],
            report=str(Path(evaluation_dir, "report.html")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _open(database: Path) -> Any:
    """Opens for reading alone; a run that is going on is not kept waiting."""
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2

    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(database)
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    try:
        return metadata_store.MetadataStore(config)
    except RuntimeError as error:
        reason = str(error).partition(" query:")[0]
        raise HistoryError(f"{database}: expected a database of ML Metadata, got: {reason}") from error


class _Node(NamedTuple):
    task: str
    name: str


def _nodes_by_execution(store: Any) -> dict[int, _Node]:
    """Returns which node each execution is of; TFX names node contexts `<pipeline>.<node>`."""
    return {
        execution.id: _Node(*context.name.split(".", 1))
        for context in store.get_contexts_by_type("node")
        for execution in store.get_executions_by_context(context.id)
    }


def _read_run(store: Any, context: Any, nodes: Mapping[int, _Node], alive: bool) -> Run | None:
    executions = [e for e in store.get_executions_by_context(context.id) if e.id in nodes]
    if not executions:
        return None
    outputs = _outputs(store, [execution.id for execution in executions])
    node_runs = sorted(
        (_node_run(e, nodes[e.id].name, outputs.get(e.id, ()), alive) for e in executions),
        key=lambda run: (NODES.index(run.node) if run.node in NODES else len(NODES), run.started),
    )
    started = min(run.started for run in node_runs)
    ended = max(run.started.timestamp() + run.seconds for run in node_runs)
    run = Run(
        run_id=context.name,
        task=nodes[executions[0].id].task,
        state=_run_state(node_runs, alive),
        started=started,
        seconds=ended - started.timestamp(),
        nodes=tuple(node_runs),
        evaluation=None,
    )
    evaluation = run.artifact("ModelEvaluation")
    return run._replace(evaluation=read_evaluation(evaluation.uri) if evaluation else None)


def _outputs(store: Any, executions: list[int]) -> dict[int, tuple[Artifact, ...]]:
    """Returns the output artifacts by execution."""
    from ml_metadata.proto import metadata_store_pb2

    if not executions:
        return {}
    output = metadata_store_pb2.Event.OUTPUT
    events = [e for e in store.get_events_by_execution_ids(executions) if e.type == output]
    artifacts = {a.id: a for a in store.get_artifacts_by_id({event.artifact_id for event in events})}
    outputs: dict[int, tuple[Artifact, ...]] = {}
    for event in events:
        artifact = _artifact(event, artifacts[event.artifact_id])
        outputs[event.execution_id] = (*outputs.get(event.execution_id, ()), artifact)
    return outputs


def _artifact(event: Any, artifact: Any) -> Artifact:
    key = next((step.key for step in event.path.steps if step.WhichOneof("value") == "key"), "")
    properties = {**_values(artifact.properties), **_values(artifact.custom_properties)}
    return Artifact(key, artifact.type, artifact.uri, properties)


def _values(properties: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {name: value.WhichOneof("value") for name, value in properties.items()}
    plain = ("int_value", "double_value", "string_value", "bool_value")
    return {name: getattr(properties[name], kind) for name, kind in kinds.items() if kind in plain}


def _node_run(execution: Any, node: str, artifacts: Iterable[Artifact], alive: bool) -> NodeRun:
    state = _STATES.get(type(execution).State.Name(execution.last_known_state), "interrupted")
    started, ended = execution.create_time_since_epoch, execution.last_update_time_since_epoch
    if state == "running":
        # A process that was killed could not tell anyone.
        state = "running" if alive else "interrupted"
        ended = int(datetime.now().timestamp() * 1000) if alive else ended
    return NodeRun(
        node=node,
        state=state,
        started=datetime.fromtimestamp(started / 1000).astimezone(),
        seconds=(ended - started) / 1000,
        artifacts=tuple(artifacts),
    )


def _run_state(nodes: Iterable[NodeRun], alive: bool) -> str:
    states = {run.state for run in nodes}
    for state in ("failed", "interrupted"):
        if state in states:
            return state
    if alive:
        return "running"
    # The Resolver computes nothing that could be cached.
    computed = {run.state for run in nodes if run.node != LATEST_BLESSED_MODEL}
    return "cached" if computed == {"cached"} else "complete"


def _is_locked(file: Path) -> bool:
    """Whether a run holds the lock; asks for a shared one and gives it back at once."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
