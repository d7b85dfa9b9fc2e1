"""Runs the DAG in this process with TFX's LocalDagRunner, and tells how it went."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import absl.logging
import tfx.v1 as tfx
from tfx.dsl.compiler import constants
from tfx.orchestration.pipeline import RunOptions
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.utils import path_utils

from components.canary.server import started_ahead
from components.errors import UserError
from components.export.results import read_results
from components.registry import registry
from components.task import Task
from pipelines import full_disk
from pipelines.dag import nodes
from pipelines.dag.pipeline import make_pipeline
from pipelines.dag.settings import RunConfig
from pipelines.runs import beam, counting, history, lock, overhead, record
from pipelines.runs.display import NodeReport
from pipelines.runs.history import Artifact, Run
from pipelines.runs.record import NOTHING_ASKED, Asked
from pipelines.runs.surroundings import record_of

# The nodes that have nothing to do with a model that is refused.
_JUDGED: Final = (nodes.CANARY, nodes.PUSHER)
# Where a run may end that reaches the Canary.
_TO_CANARY: Final = (None, nodes.CANARY, nodes.PUSHER)


class RunReport(NamedTuple):
    """How a run did; what it did not reach is None."""

    run_id: str
    short_id: str
    nodes: tuple[NodeReport, ...]
    # The exported model, also one that was refused.
    model_dir: str | None
    evaluation_dir: str | None
    blessed: bool | None
    canary_reason: str | None
    # Why a blessed model was not pushed.
    push_reason: str | None
    pushed_version: int | None
    pushed_dir: str | None
    # {metric, values by seed, mean, standard_deviation, kept} where several seeds were trained.
    seeds: dict[str, Any] | None
    # What is served now: another version than the pushed one if that was reused from an earlier run.
    live_version: int | None


def run(
    task: Task,
    config: RunConfig,
    *,
    asked: Asked = NOTHING_ASKED,
    from_node: str | None = None,
    until_node: str | None = None,
    on_node: Callable[[NodeReport], None] = lambda report: None,
) -> RunReport:
    """Runs the DAG of a task, whole or from one node until another; raises what a node raises.

    What made the run is written down before its first node.
    """
    nodes.check_order(from_node, until_node)
    metadata = os.path.join(config.pipeline_root, history.METADATA_FILE)
    with (
        full_disk.named_by(metadata),
        lock.held(config.pipeline_root),
        beam.outside_the_cache(config.beam_pipeline_args) as beam_pipeline_args,
        contextlib.ExitStack() as stack,
        overhead.kept_low(),
        counting.reads_counted(),
        _Watcher(_starting_ahead(on_node, stack, until_node), config.pipeline_root) as watcher,
    ):
        # A database that is none, or of another version, is told before a node begins.
        history.read_runs(config.pipeline_root, limit=1)
        options = _run_options(config.pipeline_root, task.name, from_node, until_node)
        pipeline = make_pipeline(task, config, beam_pipeline_args)
        pipeline.metadata_connection_config = tfx.orchestration.metadata.sqlite_metadata_connection_config(
            metadata
        )
        runner = _Runner()
        record.write(config.pipeline_root, record_of(task, config, asked, runner.run_id))
        try:
            runner.run(pipeline, run_options=options)
        except LookupError as error:
            # TFX's way of saying that the last run lacks what a partial run wants to reuse.
            if from_node is None or "pipeline_run" not in str(error):
                raise
            raise UserError(
                f"--from {from_node}: the last run has nothing to go on from; start earlier ({error})"
            ) from error
        # While the lock is held: the latest run is this one.
        done = history.find_run(config.pipeline_root, history.LATEST)
    live = registry.live(config.models_dir, task.name)
    return _report(done, tuple(watcher.reports), live.version if live else None)


def _starting_ahead(
    on_node: Callable[[NodeReport], None], stack: contextlib.ExitStack, until_node: str | None
) -> Callable[[NodeReport], None]:
    """Returns `on_node`, before which the Canary's server starts as soon as there is a new model for it."""

    def tell(report: NodeReport) -> None:
        if (report.node, report.state) == (nodes.TRAINER, "complete") and until_node in _TO_CANARY:
            stack.enter_context(started_ahead())
        on_node(report)

    return tell


def _run_options(pipeline_root: str, task: str, from_node: str | None, until_node: str | None) -> Any:
    if from_node is None and until_node is None:
        return None
    start = nodes.NODES.index(from_node) if from_node else 0
    if start and nodes.NODES[start - 1] == nodes.LATEST_BLESSED_MODEL:
        # Looking the baseline up costs nothing, and the last run may have ended before it did.
        start -= 1
    end = nodes.NODES.index(until_node) if until_node else len(nodes.NODES) - 1
    # TFX takes the nodes between two sets; naming each one keeps side branches out and in as one reads them.
    chosen = list(nodes.NODES[start : end + 1])
    # TFX's own choice may be a run that was removed.
    base = history.base_run(pipeline_root, task, from_node).run_id if from_node and start else None
    return RunOptions(from_nodes=chosen, to_nodes=chosen, base_pipeline_run_id=base)


class _Runner(tfx.orchestration.LocalDagRunner):
    """TFX's own, whose run has an id before it starts."""

    def __init__(self) -> None:
        super().__init__()
        # As TFX makes them.
        self.run_id = datetime.now().isoformat()

    def run_with_ir(self, pipeline: Any, run_options: Any = None) -> None:
        """Runs a compiled pipeline; where the id is set, TFX sets no other."""
        given = {constants.PIPELINE_RUN_ID_PARAMETER_NAME: self.run_id}
        with warnings.catch_warnings():
            # TFX asks protobuf 6 for what it says is deprecated, and we would be blamed for it.
            warnings.simplefilter("ignore", DeprecationWarning)
            runtime_parameter_utils.substitute_runtime_parameter(pipeline, given)
        super().run_with_ir(pipeline, run_options)


class _Watcher(logging.Handler):
    """Turns the messages of TFX's local runner into reports of nodes.

    The runner has no hook; its log records carry the node's id as an argument.
    """

    def __init__(self, on_node: Callable[[NodeReport], None], pipeline_root: str) -> None:
        super().__init__(logging.INFO)
        self._pipeline_root = pipeline_root
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
            self._finish("interrupted" if issubclass(kind, KeyboardInterrupt) else "failed")

    def emit(self, record: logging.LogRecord) -> None:
        """Follows one log record."""
        if record.msg == "Component %s is running.":
            self._running, self._cached = (_argument(record), time.monotonic()), False
        elif record.msg == "Going to run a new execution %d" and self._running:
            # Only now is it known that nothing is reused.
            self._on_node(NodeReport(self._running[0], "running", 0.0))
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
            seconds = time.monotonic() - start
            if node in _JUDGED and state in ("complete", "cached"):
                state = self._recorded_state(node)
            self.reports.append(NodeReport(node, state, seconds))
            self._on_node(self.reports[-1])

    def _recorded_state(self, node: str) -> str:
        """Returns "skipped" of a node that had nothing to do, which TFX's messages do not tell."""
        execution = history.find_run(self._pipeline_root, history.LATEST).node(node)
        return execution.state if execution else "complete"


def _argument(record: logging.LogRecord) -> str:
    return str(record.args[0]) if isinstance(record.args, tuple) else str(record.args)


def _report(run: Run, reports: tuple[NodeReport, ...], live_version: int | None) -> RunReport:
    evaluation, blessing = run.artifact("ModelEvaluation"), run.artifact("ModelBlessing")
    canary, pushed, model = run.artifact("InfraBlessing"), run.artifact("PushedModel"), run.artifact("Model")
    return RunReport(
        run_id=run.run_id,
        short_id=run.short_id,
        nodes=reports,
        model_dir=path_utils.serving_model_path(model.uri) if model else None,
        evaluation_dir=evaluation.uri if evaluation else None,
        blessed=blessing.properties.get("blessed") == 1 if blessing else None,
        canary_reason=_canary_reason(canary) if canary else None,
        push_reason=pushed.properties.get("reason") if pushed else None,
        pushed_version=run.published_version,
        pushed_dir=pushed.properties.get("pushed_destination") if pushed else None,
        seeds=_seeds(model) if model else None,
        live_version=live_version,
    )


def _seeds(model: Artifact) -> dict[str, Any] | None:
    found = read_results(path_utils.serving_model_path(model.uri)).get("seeds")
    return dict(found) if found else None


def _canary_reason(artifact: Artifact) -> str | None:
    """Returns why the canary refused the model; None where it did not."""
    if artifact.properties.get("blessed") == 1:
        return None
    result = json.loads(Path(artifact.uri, "canary.json").read_text(encoding="utf-8"))
    return str(result["reason"])
