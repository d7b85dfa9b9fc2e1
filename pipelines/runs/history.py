"""Past runs, as ML Metadata remembers them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple

from components.errors import UserError
from components.protocols import COUNTS, DATA_DIGESTS
from pipelines import program
from pipelines.dag.nodes import EVALUATOR, EXAMPLE_GEN, FINGERPRINT, LATEST_BLESSED_MODEL, NODES, TRAINER
from pipelines.runs import lock, record

METADATA_FILE: Final = "metadata.sqlite"
LATEST: Final = "latest"
# A run that is writing keeps readers waiting for moments; longer than this, something is wrong.
_PATIENCE_S: Final = 30.0
# What SQLite and ML Metadata say of a database in which somebody is writing.
_BUSY: Final = ("locked", "busy", "concurrent")
# Numbers that TFX keeps as text.
_NUMBERS: Final = ("pushed_version",)

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
    """One input or output of a node."""

    key: str
    type: str
    uri: str
    properties: dict[str, Any]
    artifact_id: int

    def to_json(self) -> dict[str, Any]:
        """Returns what anyone but this database's reader wants to know."""
        return {"key": self.key, "type": self.type, "uri": self.uri, "properties": self.properties}


class NodeRun(NamedTuple):
    """One execution of a node; `state` is running, complete, cached, skipped, failed or interrupted.

    Skipped: it ran, or was reused, but had nothing to do, since the model was refused.
    """

    node: str
    state: str
    # UTC.
    started: datetime
    seconds: float
    artifacts: tuple[Artifact, ...]
    inputs: tuple[Artifact, ...]
    # Execution properties: what the node was told.
    properties: dict[str, Any]

    def json_property(self, name: str) -> dict[str, Any]:
        """Returns an execution property that holds a JSON object; empty where there is none."""
        found = as_json(self.properties.get(name))
        return found if isinstance(found, dict) else {}

    def to_json(self) -> dict[str, Any]:
        """Returns the execution as JSON values; of what it was told, the run has the settings."""
        return {
            "node": self.node,
            "state": self.state,
            "started": self.started.isoformat(),
            "seconds": self.seconds,
            "artifacts": [artifact.to_json() for artifact in self.artifacts],
        }


class Evaluation(NamedTuple):
    """What the Evaluator found; the metrics are numbers or lists by class."""

    blessed: bool
    reasons: tuple[str, ...]
    metrics: dict[str, Any]
    report: str


class Run(NamedTuple):
    """One run of a task's DAG; `state` is that of its nodes taken together."""

    run_id: str
    # Of all runs under the pipeline root, from 1.
    number: int
    task: str
    state: str
    started: datetime
    seconds: float
    nodes: tuple[NodeRun, ...]
    evaluation: Evaluation | None
    # The pipeline root.
    root: str = ""

    @property
    def short_id(self) -> str:
        """The task and the number: "cola-7"; it stays what it is."""
        return f"{self.task}-{self.number}"

    def node(self, name: str) -> NodeRun | None:
        """Returns the execution of a node."""
        return next((node for node in self.nodes if node.node == name), None)

    def artifact(self, type_name: str) -> Artifact | None:
        """Returns the output of a type, of the first node that has one: artifact("PushedModel")."""
        return next((a for node in self.nodes for a in node.artifacts if a.type == type_name), None)

    @property
    def published_version(self) -> int | None:
        """The version that the run's model became, now or in an earlier run."""
        pushed = self.artifact("PushedModel")
        return pushed.properties["pushed_version"] if pushed and pushed.properties.get("pushed") else None

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """What was trained and how it was judged, by section; empty before the Trainer."""
        trainer, evaluator = self.node(TRAINER), self.node(EVALUATOR)
        trained = trainer.json_property("custom_config").get("settings", {}) if trainer else {}
        judged = evaluator.json_property("settings").get("blessing") if evaluator else None
        return {**trained, **({"blessing": judged} if judged else {})}

    @property
    def data(self) -> dict[str, Any]:
        """Where the raw files were, their SHA-256 sums by name, and the numbers of examples by split.

        {"dir": …, "digests": {…}, "counts": {"train": 8551, "eval": 1043}}
        """
        example_gen, examples = self.node(EXAMPLE_GEN), self.artifact("Examples")
        stored = record.read(self.root, self.run_id)
        if stored and stored.data:
            return stored.data
        return {
            "dir": example_gen.properties.get("input_base") if example_gen else None,
            "digests": _read_json(Path(examples.uri, DATA_DIGESTS)) if examples else None,
            "counts": _read_json(Path(examples.uri, COUNTS)) if examples else None,
        }

    @property
    def code(self) -> dict[str, str]:
        """Digests of source files that its nodes ran, and versions of packages that they used, by name."""
        return {name: value for node in self.nodes for name, value in node.json_property(FINGERPRINT).items()}

    def to_json(self) -> dict[str, Any]:
        """Returns the run as JSON values."""
        made_by = record.read_record(self)
        return {
            "run_id": self.run_id,
            "short_id": self.short_id,
            "name": made_by.name,
            "tags": list(made_by.tags),
            "task": self.task,
            "state": self.state,
            "started": self.started.isoformat(),
            "seconds": self.seconds,
            "published_version": self.published_version,
            "settings": self.settings,
            "data": self.data,
            "evaluation": self.evaluation._asdict() if self.evaluation else None,
            "nodes": [node.to_json() for node in self.nodes],
        }


def read_runs(
    pipeline_root: str, task: str | None = None, limit: int | None = None, tags: Collection[str] = ()
) -> tuple[Run, ...]:
    """Returns the runs under a pipeline root, of all tasks or of one, newest first, at most `limit`.

    With `tags`, those that have all of them.
    """
    database = Path(pipeline_root, METADATA_FILE)
    # An empty one is what a run leaves that was killed as it began.
    if not database.exists() or not database.stat().st_size:
        return ()
    # Asked first: a run that ends meanwhile is still seen as running, not as interrupted.
    alive = lock.is_held(pipeline_root)

    def read() -> tuple[Run, ...]:
        found = _read(database, task, alive)
        tagged = (run for run in found if not tags or {*tags} <= {*record.read_record(run).tags})
        return tuple(itertools.islice(tagged, limit))

    return _patiently(database, read)


def find_run(pipeline_root: str, run_id: str) -> Run:
    """Returns the run of a short id, a long one or how it alone begins, a name, or of "latest", the newest.

    Of several runs of a name, the newest.
    """
    runs = read_runs(pipeline_root, limit=1 if run_id == LATEST else None)
    if not runs:
        raise HistoryError(no_runs(pipeline_root))
    if run_id == LATEST:
        return runs[0]
    exact = (run for run in runs if run_id in (run.run_id, run.short_id))
    named = (run for run in runs if record.read_record(run).name == run_id)
    if run := next(itertools.chain(exact, named), None):
        return run
    found = [run for run in runs if run.run_id.startswith(run_id)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(run.short_id for run in (found or runs)[:5])
    what = "ambiguous run" if found else "unknown run"
    raise HistoryError(f"{what} {run_id!r}; {'it may be' if found else 'the newest are'}: {known}")


def base_run(pipeline_root: str, task: str, from_node: str) -> Run:
    """Returns the run whose outputs one takes that begins at a node: the task's last one.

    Raises HistoryError where there is none, or outputs of earlier nodes are gone.
    """
    last = next(iter(read_runs(pipeline_root, task, limit=1)), None)
    if last is None:
        raise HistoryError(f"--from {from_node}: expected an earlier run of {task} to go on from, got none")
    for name in NODES[: NODES.index(from_node)]:
        # The model to compare with is looked up anew.
        node = last.node(name) if name != LATEST_BLESSED_MODEL else None
        if node and not all(Path(artifact.uri).exists() for artifact in node.artifacts):
            raise HistoryError(
                f"--from {from_node}: the outputs of {name} in {last.short_id}, the last run, are gone; "
                "start earlier"
            )
    return last


def refused_models(pipeline_root: str, task: str) -> tuple[Run, ...]:
    """Returns the runs whose model was not blessed, oldest first; each model counts once."""
    refused = [r for r in read_runs(pipeline_root, task) if r.evaluation and not r.evaluation.blessed]
    by_model = {model.uri: run for run in refused if (model := run.artifact("Model"))}
    return tuple(reversed(by_model.values()))


def no_runs(pipeline_root: str, task: str | None = None) -> str:
    """Returns the line that tells what to do where nothing has run yet, or nothing of a task."""
    others = dict.fromkeys(run.task for run in read_runs(pipeline_root)) if task else {}
    if others:
        run = program.command("run", task, "--data", "DIR")
        return f"{pipeline_root}: no runs of {task!r}, but of {', '.join(others)}; `{run}` makes one"
    run, demo = program.command("run", "TASK", "--data", "DIR"), program.command("demo")
    return f"{pipeline_root}: no runs yet; `{run}` or `{demo}` makes one"


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


def measured(run: Run) -> dict[str, Any]:
    """Returns what the Evaluator wrote of a run, as components/evaluator/result.py tells; empty without."""
    evaluation = run.artifact("ModelEvaluation")
    found = _read_json(Path(evaluation.uri, "metrics.json")) if evaluation else None
    return found if isinstance(found, dict) else {}


def numbers(measured: Mapping[str, Any]) -> dict[str, float | None]:
    """Returns the metrics that are one number, by name."""
    metrics = measured.get("metrics") or {}
    return {name: value for name, value in metrics.items() if not isinstance(value, list)}


def as_json(text: Any) -> Any:
    """Returns the JSON value of a text; anything else as it is."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def _read_json(file: Path) -> Any:
    try:
        return as_json(file.read_text(encoding="utf-8"))
    except OSError:
        return None


def _patiently(database: Path, read: Callable[[], tuple[Run, ...]]) -> tuple[Run, ...]:
    """Returns what `read` returns, again and again for as long as somebody is writing."""
    from ml_metadata import errors

    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return read()
        except (RuntimeError, errors.StatusError) as error:
            is_busy = any(word in str(error) for word in _BUSY)
            if not is_busy or time.monotonic() > deadline:
                expected = "one that is not kept locked" if is_busy else "a database of ML Metadata"
                reason = str(error).partition(" query:")[0].partition(". ")[0]
                hint = "" if is_busy else "; another --pipeline-root begins a new history"
                raise HistoryError(f"{database}: expected {expected}, got: {reason}{hint}") from error
        time.sleep(0.1)


def _read(database: Path, task: str | None, alive: bool) -> Iterator[Run]:
    store = _open(database)
    nodes = _nodes_by_execution(store)
    contexts = sorted(store.get_contexts_by_type("pipeline_run"), key=lambda context: context.id)
    for number in range(len(contexts), 0, -1):
        context = contexts[number - 1]
        if record.is_removed(str(database.parent), context.name):
            continue
        # Only the newest run can be the one that holds the lock.
        is_alive = alive and number == len(contexts)
        run = _read_run(store, context, number, nodes, is_alive)
        if run is not None and task in (None, run.task):
            yield run._replace(root=str(database.parent))


def _open(database: Path) -> Any:
    """Opens for reading alone; a run that is going on is not kept waiting."""
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2

    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(database)
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    return metadata_store.MetadataStore(config)


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


def _read_run(store: Any, context: Any, number: int, nodes: Mapping[int, _Node], alive: bool) -> Run | None:
    executions = [e for e in store.get_executions_by_context(context.id) if e.id in nodes]
    if not executions:
        return None
    artifacts = _artifacts(store, [execution.id for execution in executions])
    node_runs = sorted(
        (_node_run(e, nodes[e.id].name, artifacts.get(e.id, ()), alive) for e in executions),
        key=lambda run: (NODES.index(run.node) if run.node in NODES else len(NODES), run.started),
    )
    started = min(run.started for run in node_runs)
    ended = max(run.started + timedelta(seconds=run.seconds) for run in node_runs)
    run = Run(
        run_id=context.name,
        number=number,
        task=nodes[executions[0].id].task,
        state=_run_state(node_runs, alive),
        started=started,
        seconds=(ended - started).total_seconds(),
        nodes=tuple(node_runs),
        evaluation=None,
    )
    evaluation = run.artifact("ModelEvaluation")
    return run._replace(evaluation=read_evaluation(evaluation.uri) if evaluation else None)


class _Link(NamedTuple):
    is_output: bool
    artifact: Artifact


def _artifacts(store: Any, executions: list[int]) -> dict[int, tuple[_Link, ...]]:
    """Returns the input and output artifacts by execution, in an order that depends on nothing."""
    from ml_metadata.proto import metadata_store_pb2

    kinds = {metadata_store_pb2.Event.INPUT: False, metadata_store_pb2.Event.OUTPUT: True}
    events = [event for event in store.get_events_by_execution_ids(executions) if event.type in kinds]
    artifacts = {a.id: a for a in store.get_artifacts_by_id({event.artifact_id for event in events})}
    links: dict[int, list[_Link]] = {}
    for event in sorted(events, key=lambda event: event.artifact_id):
        link = _Link(kinds[event.type], _artifact(event, artifacts[event.artifact_id]))
        links.setdefault(event.execution_id, []).append(link)
    return {execution: tuple(found) for execution, found in links.items()}


def _artifact(event: Any, artifact: Any) -> Artifact:
    key = next((step.key for step in event.path.steps if step.WhichOneof("value") == "key"), "")
    properties = {**_values(artifact.properties), **_values(artifact.custom_properties)}
    numbers = {name: int(properties[name]) for name in _NUMBERS if str(properties.get(name)).isdecimal()}
    return Artifact(key, artifact.type, artifact.uri, {**properties, **numbers}, artifact.id)


def _values(properties: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {name: value.WhichOneof("value") for name, value in properties.items()}
    plain = ("int_value", "double_value", "string_value", "bool_value")
    # Protocol buffers keep no order.
    return {name: getattr(properties[name], kind) for name, kind in sorted(kinds.items()) if kind in plain}


def _node_run(execution: Any, node: str, links: Iterable[_Link], alive: bool) -> NodeRun:
    state = _STATES.get(type(execution).State.Name(execution.last_known_state), "interrupted")
    started, ended = execution.create_time_since_epoch, execution.last_update_time_since_epoch
    if state == "running":
        # A process that was killed could not tell anyone.
        state = "running" if alive else "interrupted"
        ended = int(time.time() * 1000) if alive else ended
    links = tuple(links)
    if state in ("complete", "cached") and any(map(_is_refusal, links)):
        state = "skipped"
    return NodeRun(
        node=node,
        state=state,
        started=datetime.fromtimestamp(started / 1000, timezone.utc),
        seconds=(ended - started) / 1000,
        artifacts=tuple(link.artifact for link in links if link.is_output),
        inputs=tuple(link.artifact for link in links if not link.is_output),
        properties={**_values(execution.properties), **_values(execution.custom_properties)},
    )


def _is_refusal(link: _Link) -> bool:
    """Whether a node did nothing for this: a model that was not blessed came in, or none was pushed."""
    kind, properties = link.artifact.type, link.artifact.properties
    if link.is_output:
        return kind == "PushedModel" and properties.get("pushed") == 0
    return kind == "ModelBlessing" and properties.get("blessed") == 0


def _run_state(nodes: Iterable[NodeRun], alive: bool) -> str:
    states = {run.state for run in nodes} - {"skipped"}
    for state in ("failed", "interrupted"):
        if state in states:
            return state
    if alive:
        return "running"
    return "cached" if states == {"cached"} else "complete"
