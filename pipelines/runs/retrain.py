"""What has changed since the live model was trained, and another run because of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pydantic

from components.errors import Failure
from components.example_gen.digests import data_digests
from components.export.origin import ORIGIN_FILE, STATISTICS_FILE, Origin
from components.registry import refusals, registry
from components.task import Task
from pipelines import console
from pipelines.dag.fingerprint import ingredients
from pipelines.dag.judge import judge
from pipelines.dag.nodes import STATISTICS_GEN
from pipelines.dag.settings import RunConfig
from pipelines.runs import drift, history, launch
from pipelines.runs.display import NodeReport
from pipelines.runs.explain import changed, changed_digests, flat
from pipelines.runs.record import NOTHING_ASKED, Asked

if TYPE_CHECKING:
    from pipelines.runs.local import RunReport

# The exit code of `millrace retrain --if-changed` that started no run.
NOTHING_CHANGED: Final = 10


class NothingExecuted(Failure):
    """A run that has done nothing about what changed."""


class Comparison(NamedTuple):
    """What differs between the live model's origin and a run that would start now."""

    live_version: int | None
    # Such as "settings: train.num_epochs is 5, was 3".
    reasons: tuple[str, ...]
    # The live model's training statistics, if the data changed.
    statistics: bytes | None = None
    # Why nothing is to be run all the same: an equal training was rolled back, or refused.
    held_back: str | None = None

    @property
    def idle(self) -> str | None:
        """Why there is nothing to do; None: there is."""
        if not self.reasons:
            return f"nothing changed since version {self.live_version}"
        return f"nothing new: {self.held_back}" if self.held_back else None

    def to_json(self) -> dict[str, Any]:
        """Returns {"since_version": 7, "reasons": [...], "held_back": None}."""
        return {"since_version": self.live_version, "reasons": self.reasons, "held_back": self.held_back}


def compare(task: Task, config: RunConfig, judged_by: str | None = None) -> Comparison:
    """Returns why the live model is not what a run would make now; imports nothing heavy for local folders.

    `judged_by` is the digest of what would judge it, in place of that of the configuration.

    Raises:
      FormatError: no data, or data that cannot be read.
      CorruptVersion: what the live version says about itself is not what was published.
    """
    now = Origin(data=data_digests(task.source, config.data_dir), **ingredients(task))
    live = registry.live(config.models_dir, task.name)
    found = _compare(live, now) if live else Comparison(None, ("nothing is published yet",))
    return found._replace(held_back=_held_back(task, config, now, judged_by)) if found.reasons else found


def _compare(live: registry.PublishedVersion, now: Origin) -> Comparison:
    content = registry.read_file(live, ORIGIN_FILE)
    if content is None:
        return Comparison(live.version, (f"version {live.version} does not say what it was trained on",))
    try:
        before = Origin.model_validate_json(content)
    except pydantic.ValidationError as error:
        what = f"{'.'.join(map(str, error.errors()[0]['loc']))}: {error.errors()[0]['msg']}"
        reason = f"version {live.version} does not say as expected what it was trained on: {what}"
        return Comparison(live.version, (reason,))
    statistics = registry.read_file(live, STATISTICS_FILE) if now.data != before.data else None
    return Comparison(live.version, tuple(changes(before, now)), statistics)


def _held_back(task: Task, config: RunConfig, now: Origin, judged_by: str | None) -> str | None:
    if withdrawn := registry.withdrawn(config.models_dir, task.name, now.digest):
        return withdrawn.explanation
    refusal = refusals.find(config.models_dir, task.name, now.digest, judged_by or judge(task, config))
    return f"equal training was refused on {refusal.time}: {refusal.reason}" if refusal else None


def changes(before: Origin, now: Origin) -> Iterator[str]:
    """Yields a line for each difference: "data: train.tsv changed"."""
    yield from changed_digests("data: ", before.data, now.data)
    yield from changed_digests("files: ", before.files, now.files)
    yield from changed("settings: ", dict(flat(before.settings)), dict(flat(now.settings)))
    yield from changed_digests("code: ", before.code, now.code)


def run_locally(
    task: Task, config: RunConfig, found: Comparison, *, asked: Asked = NOTHING_ASKED, debug: bool = False
) -> tuple[RunReport, Comparison]:
    """Runs the DAG in this process; returns its report, and the comparison with the data's drift.

    Drift is told as soon as the new data is measured, which is before anything is trained on it.
    """
    drifted: list[str] = []

    def measure(node: NodeReport) -> None:
        if node.node == STATISTICS_GEN and node.state in ("complete", "cached") and found.statistics:
            lines = drift.measure(task, found.statistics, _training_statistics(config.pipeline_root))
            drifted.extend(f"drift: {line}" for line in lines)
            for line in drifted:
                console.note(line)

    report = launch.launch(task, config, {}, asked=asked, on_node=measure, debug=debug)
    return report, found._replace(reasons=(*found.reasons, *drifted))


def check_executed(report: RunReport, found: Comparison) -> None:
    """Raises NothingExecuted where something changed and yet the cache had all answers."""
    if found.live_version and found.reasons and not any(node.state == "complete" for node in report.nodes):
        raise NothingExecuted(
            f"{found.reasons[0]} since version {found.live_version}, but nothing was executed: "
            "the cache had every result; --no-cache executes all"
        )


def _training_statistics(pipeline_root: str) -> bytes:
    """Returns what StatisticsGen found in the run that is going on."""
    artifact = history.find_run(pipeline_root, history.LATEST).artifact("ExampleStatistics")
    if artifact is None:
        raise history.HistoryError(f"{pipeline_root}: expected statistics in the latest run, got none")
    return Path(artifact.uri, "Split-train", "FeatureStats.pb").read_bytes()
