"""One run: its nodes, settings, data and results."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from components.errors import UserError
from components.protocols import Surveys
from components.statistics import NO_NAMES, names_of
from components.task import Drift, Task
from pipelines.dashboard import charts, describe, statistics
from pipelines.dashboard.charts import Box
from pipelines.dashboard.past import MadeBy, Past
from pipelines.dashboard.paths import inside, output
from pipelines.prediction.journey import as_run
from pipelines.runs import explain, logs
from pipelines.runs.history import NodeRun, Run
from pipelines.runs.record import Record
from pipelines.tasks import get_task, task_names

REPORT: Final = "report.html"
METRICS: Final = "metrics.json"
# What no setting is.
_GONE: Final = object()
# Of a long log its end is shown.
_LOG_BYTES: Final = 200_000


class Setting(NamedTuple):
    """A setting as it was in force."""

    key: str
    value: str
    is_default: bool


class NodeRow(NamedTuple):
    """A node of the run, and why it was executed."""

    run: NodeRun
    why: str


class Metric(NamedTuple):
    """A metric of the run; the interval is that of the metric which blesses."""

    name: str
    value: float
    before: float | None
    interval: str


class Details(NamedTuple):
    """The page of one run."""

    run: Run
    picture: Markup
    nodes: Sequence[NodeRow]
    record: Record
    surroundings: Mapping[str, str]
    settings: Sequence[Setting]
    metrics: Sequence[Metric]
    notes: Sequence[str]
    files: Mapping[str, str]
    counts: Mapping[str, int]
    features: Sequence[statistics.Feature]
    anomalies: Sequence[str]
    beside_live: statistics.Beside | None
    has_report: bool
    has_log: bool
    has_rows: bool
    before: Run | None


def details(run: Run, of_task: Sequence[Run], past: Past, models_dir: str) -> Details:
    """Returns the page of a run; `of_task` are the task's runs, newest first."""
    root, made_by = past.pipeline_root, past.made_by(run)
    task = run_as(run, made_by)
    names, drift = (names_of(task.source.features), task.drift) if task else (NO_NAMES, Drift())
    place = next(place for place, other in enumerate(of_task) if other.run_id == run.run_id)
    why = explain.explain(of_task[place:])
    result = evaluation(run, root)
    return Details(
        run=run,
        picture=charts.dag({node.node: _box(node) for node in run.nodes}),
        nodes=[NodeRow(node, why.get(node.node, "")) for node in run.nodes],
        record=made_by.record,
        surroundings=_surroundings(made_by.record),
        settings=list(_settings(run, made_by)),
        metrics=list(metrics(result)),
        notes=[*result.get("reasons", ()), *result.get("notes", ())],
        files=made_by.files,
        counts=run.data.get("counts") or {},
        features=statistics.features(run, root, names),
        anomalies=statistics.anomalies(run, root),
        beside_live=statistics.beside_live(run, root, models_dir, drift, names),
        has_report=report(run, root) is not None,
        has_log=log(run, root) is not None,
        has_rows=bool(task and made_by.record.data_dir and not isinstance(task.source, Surveys)),
        before=of_task[place + 1] if place + 1 < len(of_task) else None,
    )


def evaluation(run: Run, root: str) -> dict[str, Any]:
    """Returns what the Evaluator wrote; empty where it wrote nothing, or outside the pipeline root."""
    return _json(output(run, "ModelEvaluation", METRICS, root))


def report(run: Run, root: str) -> Path | None:
    """Returns the report of the evaluation; None where there is none under the pipeline root."""
    return output(run, "ModelEvaluation", REPORT, root)


def log(run: Run, root: str) -> Path | None:
    """Returns the log of a run; None where there is none under the pipeline root."""
    path = logs.log_file(run)
    return inside(path, root) if path else None


def log_end(path: Path) -> str:
    """Returns the end of a log, from the beginning of a line."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - _LOG_BYTES, 0))
        text = file.read().decode("utf-8", "replace")
    return text if size <= _LOG_BYTES else text.partition("\n")[2]


def _json(path: Path | None) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _declared(name: str) -> Task | None:
    """Returns the task of a name; None for one that is no longer there, or cannot be used."""
    try:
        return get_task(name) if name in task_names() else None
    except UserError:
        return None


def run_as(run: Run, made_by: MadeBy) -> Task | None:
    """Returns the task with the run's settings; None where it is no longer there."""
    task = _declared(run.task)
    return as_run(task, made_by.record.settings) if task else None


def _box(node: NodeRun) -> Box:
    is_idle = node.state in ("cached", "skipped")
    return Box(node.state, "" if is_idle else describe.duration(node.seconds))


def _settings(run: Run, made_by: MadeBy) -> Iterator[Setting]:
    changed = made_by.record.changed
    if not made_by.record.packages:
        # It left no record of its own.
        declared = dict(_declared_settings(run.task))
        changed = tuple(key for key, value in made_by.settings.items() if declared.get(key, _GONE) != value)
    for key, value in made_by.settings.items():
        yield Setting(key, describe.value(value), key not in changed)


def _declared_settings(name: str) -> Iterator[tuple[str, Any]]:
    task = _declared(name)
    for section, values in task.sections() if task else ():
        yield from explain.flat(values.model_dump(mode="json"), f"{section}.")


def _surroundings(found: Record) -> dict[str, str]:
    """Returns what the run was started by and ran on, in words; empty of one that left no record."""
    shown = {"Command": shlex.join(found.command)} if found.command else {}
    for name, revision in found.revisions.items():
        changed = ", with changes" if revision.dirty else ""
        shown[f"Code of {name}"] = f"{revision.commit[:12]}{changed} in {revision.root}"
    if found.machine:
        machine = found.machine
        shown["Machine"] = (
            f"{machine.host}, {machine.cpus} × {machine.cpu}, {machine.memory_bytes / 2**30:.1f} GiB, "
            f"{', '.join(machine.accelerators) or 'no accelerator'}, {machine.os}"
        )
    return {**shown, **({"Python": found.python} if found.python else {})}


def metrics(result: Mapping[str, Any]) -> Iterator[Metric]:
    """Yields the metrics that are one number, of what the Evaluator wrote."""
    before = describe.numbers(result.get("baseline_metrics") or {})
    sure = result.get("blessing", {}).get("metric")
    interval = result.get("intervals", {}).get("metric")
    for name, found in describe.numbers(result.get("metrics", {})).items():
        shown = f"{interval[0]:.4f} to {interval[1]:.4f}" if name == sure and interval else ""
        yield Metric(name, found, before.get(name), shown)
