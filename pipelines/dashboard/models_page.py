"""Published models: versions, where each comes from, and how to call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from components.registry import registry
from components.registry.registry import PublishedVersion
from components.task import Task
from pipelines.dashboard import calls, describe
from pipelines.dashboard.calls import Call, Way
from pipelines.runs.history import Run
from pipelines.tasks import all_tasks

# On the way from raw files to a version, the types of artifacts by what a page calls them.
_MADE: Final = {
    "Examples": "Examples", "Preprocessing": "TransformGraph", "Model": "Model",
    "Evaluation": "ModelEvaluation",
}  # fmt: skip


class Summary(NamedTuple):
    """A task with its live version; None where none is published."""

    task: Task
    live: PublishedVersion | None
    num_versions: int


class VersionRow(NamedTuple):
    """A version with the run that made it; None where that is not under this pipeline root."""

    version: PublishedVersion
    is_live: bool
    created: datetime
    metrics: Mapping[str, float]
    run: Run | None


class Origin(NamedTuple):
    """Something on the way from raw files to a version: its title, what it is, and a page about it or ""."""

    title: str
    text: str
    page: str = ""


class RawFile(NamedTuple):
    """A raw file of the live version, its SHA-256, and the versions that are made of the same content."""

    name: str
    digest: str
    versions: Sequence[int]


class Model(NamedTuple):
    """The page of one task's versions, newest first."""

    task: Task
    versions: Sequence[VersionRow]
    metric_names: Sequence[str]
    lineage: Sequence[Origin]
    raw_files: Sequence[RawFile]
    calls: Sequence[Call]
    # None of a version that is not on this machine.
    ways: Sequence[Way]


def summaries(models_dir: str) -> list[Summary]:
    """Returns all tasks, those with a published version first."""
    found = [_summary(models_dir, task) for task in all_tasks().tasks.values()]
    return sorted(found, key=lambda each: (each.live is None, each.task.name))


def model(models_dir: str, task: Task, runs: Sequence[Run], url: str) -> Model:
    """Returns the page of a task, at a URL; `runs` are those under the pipeline root."""
    by_id = {run.run_id: run for run in runs}
    versions = registry.versions(models_dir, task.name)[::-1]
    rows = [
        VersionRow(
            version,
            version is versions[0],
            datetime.fromisoformat(version.created),
            describe.numbers(version.metrics),
            by_id.get(version.source.get("run_id", "")),
        )
        for version in versions
    ]
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    data_dir = runs[0].data["dir"] if runs else None
    ways = calls.ways(task, versions[0], data_dir, url) if versions else []
    found = [calls.serve(task, models_dir)] if ways else calls.calls(task, models_dir, data_dir)
    return Model(task, rows, names, _lineage(rows), _raw_files(rows), found, ways)


def _summary(models_dir: str, task: Task) -> Summary:
    versions = registry.versions(models_dir, task.name)
    return Summary(task, versions[-1] if versions else None, len(versions))


def _lineage(rows: Sequence[VersionRow]) -> list[Origin]:
    """Returns what the newest version was made of, from the raw files on."""
    if not rows:
        return []
    version, run = rows[0].version, rows[0].run
    last = Origin(f"Version {version.version}", version.path)
    if run is None:
        model = Origin("Model", version.source.get("model_uri", "–"))
        return [Origin("Run", version.source.get("run_id", "–")), model, last]
    found = ((title, run.artifact(kind)) for title, kind in _MADE.items())
    made = [Origin(title, artifact.uri) for title, artifact in found if artifact]
    raw = Origin("Raw files", run.data["dir"] or "–")
    return [raw, Origin("Run", run.short_id, f"/runs/{run.short_id}"), *made, last]


def _raw_files(rows: Sequence[VersionRow]) -> list[RawFile]:
    """Returns the files of the newest version, and with it the others that each is in."""
    digests = {row.version.version: _digests(row) for row in rows}
    live = digests[rows[0].version.version] if rows else {}
    return [
        RawFile(name, digest, [number for number, known in digests.items() if known.get(name) == digest])
        for name, digest in live.items()
    ]


def _digests(row: VersionRow) -> Mapping[str, str]:
    return (row.run.data["digests"] if row.run else None) or {}
