"""Runs the DAG in this process with TFX's LocalDagRunner, and tells how it went."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import absl.logging
import tfx.v1 as tfx
from ml_metadata import proto
from ml_metadata.metadata_store import MetadataStore
from tfx.orchestration.pipeline import RunOptions
from tfx.utils import path_utils

from components.errors import UserError
from components.export.saved_model import RESULTS_FILE
from components.registry import registry
from components.task import Task
from pipelines.dag import nodes
from pipelines.dag.pipeline import make_pipeline
from pipelines.dag.settings import RunConfig

METADATA_FILE = "metadata.sqlite"


class NodeReport(NamedTuple):
    """How one node did."""

    node: str
    state: str  # "running", "complete", "cached", "skipped", "failed"
    seconds: float


class RunReport(NamedTuple):
    """How a run did; what it did not reach is None."""

    run_id: str
    nodes: tuple[NodeReport, ...]
    evaluation_dir: str | None
    blessed: bool | None
    canary_reason: str | None
    pushed_version: str | None
    pushed_dir: str | None
    # {metric, values by seed, mean, standard_deviation, kept} where several seeds were trained.
    seeds: dict[str, Any] | None
    # What is served now: another version than the pushed one if that was reused from an earlier run.
    live_version: str | None


def run(
    task: Task,
    config: RunConfig,
    *,
    from_node: str | None = None,
    until_node: str | None = None,
    on_node: Callable[[NodeReport], None] = lambda report: None,
) -> RunReport:
    """Runs the DAG of a task, whole or from one node until another; raises what a node raises."""
    pipeline = make_pipeline(task, config)
    database = os.path.join(config.pipeline_root, METADATA_FILE)
    pipeline.metadata_connection_config = tfx.orchestration.metadata.sqlite_metadata_connection_config(
        database
    )
    options = _run_options(from_node, until_node)
    with _only_run_in(config.pipeline_root), _Watcher(on_node) as watcher:
        try:
            tfx.orchestration.LocalDagRunner().run(pipeline, run_options=options)
        except LookupError as error:
            # TFX's way of saying that the last run lacks what a partial run wants to reuse.
            if from_node is None or "pipeline_run" not in str(error):
                raise
            raise UserError(
                f"--from {from_node}: the last run has nothing to go on from; start earlier ({error})"
            ) from error
    live = registry.live(config.models_dir, task.name)
    return _report(database, tuple(watcher.reports), str(live.version) if live else None)


def _run_options(from_node: str | None, until_node: str | None) -> Any:
    if from_node is None and until_node is None:
        return None
    nodes.check_order(from_node, until_node)
    start = nodes.NODES.index(from_node) if from_node else 0
    if start and nodes.NODES[start - 1] == nodes.LATEST_BLESSED_MODEL:
        # Looking the baseline up costs nothing, and the last run may have ended before it did.
        start -= 1
    end = nodes.NODES.index(until_node) if until_node else len(nodes.NODES) - 1
    # TFX takes the nodes between two sets; naming each one keeps side branches out and in as one reads them.
    chosen = list(nodes.NODES[start : end + 1])
    return RunOptions(from_nodes=chosen, to_nodes=chosen)


@contextlib.contextmanager
def _only_run_in(pipeline_root: str) -> Iterator[None]:
    """Holds the root's lock: two runs at once would write the same checkpoints and the same SQLite file."""
    Path(pipeline_root).mkdir(parents=True, exist_ok=True)
    with open(os.path.join(pipeline_root, ".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{pipeline_root}: another run is using this pipeline root") from error
        yield


class _Watcher(logging.Handler):
    """Turns the messages of TFX's local runner into reports of nodes.

    The runner has no hook; its log records carry the node's id as an argument.
    """

    def __init__(self, on_node: Callable[[NodeReport], None]) -> None:
        super().__init__(logging.INFO)
        self.reports: list[NodeReport] = []
        self._on_node = on_node
        self._running: tuple[str, float] | None = None
        self._cached = False

    def __enter__(self) -> _Watcher:
        # Through absl's own switch: TFX puts back what that says, not what the logger has.
        self._verbosity_before = absl.logging.get_verbosity()
        absl.logging.set_verbosity(absl.logging.INFO)
        absl.logging.get_absl_logger().addHandler(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        absl.logging.get_absl_logger().removeHandler(self)
        absl.logging.set_verbosity(self._verbosity_before)
        if kind is not None and self._running:
            self._finish("failed")

    def emit(self, record: logging.LogRecord) -> None:
        """Follows one log record."""
        if record.msg == "Component %s is running.":
            self._running, self._cached = (_argument(record), time.monotonic()), False
            self._on_node(NodeReport(_argument(record), "running", 0.0))
        elif record.msg == "A cached execution %d is used.":
            self._cached = True
        elif record.msg == "Component %s is finished.":
            self._finish("cached" if self._cached else "complete")
        elif record.msg == "Skipping component %s.":
            self.reports.append(NodeReport(_argument(record), "skipped", 0.0))
            self._on_node(self.reports[-1])

    def _finish(self, state: str) -> None:
        if self._running is not None:
            node, start = self._running
            self._running = None
            self.reports.append(NodeReport(node, state, time.monotonic() - start))
            self._on_node(self.reports[-1])


def _argument(record: logging.LogRecord) -> str:
    return str(record.args[0]) if isinstance(record.args, tuple) else str(record.args)


def _report(database: str, reports: tuple[NodeReport, ...], live_version: str | None) -> RunReport:
    """Returns the report, with results as ML Metadata has them."""
    connection = proto.ConnectionConfig()
    connection.sqlite.filename_uri = database
    store = MetadataStore(connection)
    # The root's lock was held: the latest run is this one.
    latest = max(store.get_contexts_by_type("pipeline_run"), key=lambda context: context.id)
    # A node that reuses a cached execution refers to the artifacts of that one.
    artifacts = {artifact.type: artifact for artifact in store.get_artifacts_by_context(latest.id)}
    return _with_results(latest.name, reports, artifacts)._replace(live_version=live_version)


def _with_results(run_id: str, reports: tuple[NodeReport, ...], artifacts: dict[str, Any]) -> RunReport:
    evaluation, blessing = artifacts.get("ModelEvaluation"), artifacts.get("ModelBlessing")
    canary, pushed = artifacts.get("InfraBlessing"), artifacts.get("PushedModel")
    was_pushed = pushed is not None and _property(pushed, "pushed") == 1
    return RunReport(
        run_id=run_id,
        nodes=reports,
        evaluation_dir=evaluation.uri if evaluation else None,
        blessed=_property(blessing, "blessed") == 1 if blessing else None,
        canary_reason=_canary_reason(canary) if canary else None,
        pushed_version=str(_property(pushed, "pushed_version")) if was_pushed else None,
        pushed_dir=str(_property(pushed, "pushed_destination")) if was_pushed else None,
        seeds=_seeds(artifacts["Model"]) if "Model" in artifacts else None,
        live_version=None,
    )


def _property(artifact: Any, name: str) -> int | str | None:
    value = artifact.custom_properties.get(name)
    if value is None:
        return None
    kind = value.WhichOneof("value")
    return int(value.int_value) if kind == "int_value" else str(value.string_value)


def _seeds(model: Any) -> dict[str, Any] | None:
    results = Path(path_utils.serving_model_path(model.uri), RESULTS_FILE)
    found = json.loads(results.read_text(encoding="utf-8")).get("seeds") if results.is_file() else None
    return dict(found) if found else None


def _canary_reason(artifact: Any) -> str | None:
    """Returns why the canary refused the model; None where it did not."""
    if _property(artifact, "blessed") == 1:
        return None
    result = json.loads(Path(artifact.uri, "canary.json").read_text(encoding="utf-8"))
    return str(result["reason"])
