"""What has changed since the live model was trained, and another run because of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pydantic

from components.example_gen.digests import data_digests
from components.export.origin import ORIGIN_FILE, STATISTICS_FILE, Origin
from components.registry import registry
from components.task import Task
from pipelines import console
from pipelines.dag.fingerprint import ingredients
from pipelines.dag.nodes import STATISTICS_GEN
from pipelines.dag.settings import RunConfig
from pipelines.runs import drift, history, launch

if TYPE_CHECKING:
    from pipelines.runs.local import NodeReport, RunReport

# The exit code of `millrace retrain --if-changed` that started no run.
NOTHING_CHANGED: Final = 10


class Comparison(NamedTuple):
    """What differs between the live model's origin and a run that would start now."""

    live_version: int | None
    # Such as "settings: train.num_epochs is 5, was 3".
    reasons: tuple[str, ...]
    # The live model's training statistics, if the data changed.
    statistics: bytes | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns {"since_version": 7, "reasons": [...]}."""
        return {"since_version": self.live_version, "reasons": self.reasons}


def compare(task: Task, config: RunConfig) -> Comparison:
    """Returns why the live model is not what a run would make now; imports nothing heavy for local folders.

    Raises:
      FormatError: no data, or data that cannot be read.
      CorruptVersion: what the live version says about itself is not what was published.
    """
    data = data_digests(task.source.input_splits, config.data_dir)
    live = registry.live(config.models_dir, task.name)
    if live is None:
        return Comparison(None, ("nothing is published yet",))
    content = registry.read_file(live, ORIGIN_FILE)
    if content is None:
        return Comparison(live.version, (f"version {live.version} does not say what it was trained on",))
    try:
        before = Origin.model_validate_json(content)
    except pydantic.ValidationError as error:
        what = f"{'.'.join(map(str, error.errors()[0]['loc']))}: {error.errors()[0]['msg']}"
        reason = f"version {live.version} does not say as expected what it was trained on: {what}"
        return Comparison(live.version, (reason,))
    reasons = tuple(changes(before, Origin(data=data, **ingredients(task))))
    statistics = registry.read_file(live, STATISTICS_FILE) if data != before.data else None
    return Comparison(live.version, reasons, statistics)


def changes(before: Origin, now: Origin) -> Iterator[str]:
    """Yields a line for each difference: "data: train.tsv changed"."""
    yield from _changed_digests("data", before.data, now.data)
    yield from _changed_digests("files", before.files, now.files)
    settings, old_settings = dict(_flat(now.settings)), dict(_flat(before.settings))
    for key in sorted({*settings, *old_settings}):
        new, old = _shown(settings, key), _shown(old_settings, key)
        if new != old:
            yield f"settings: {key} is {new}, was {old}"
    yield from _changed_digests("code", before.code, now.code)


def run_locally(
    task: Task, config: RunConfig, found: Comparison, *, debug: bool = False
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

    report = launch.launch(task, config, {}, on_node=measure, debug=debug)
    return report, found._replace(reasons=(*found.reasons, *drifted))


def _training_statistics(pipeline_root: str) -> bytes:
    """Returns what StatisticsGen found in the run that is going on."""
    artifact = history.find_run(pipeline_root, history.LATEST).artifact("ExampleStatistics")
    if artifact is None:
        raise history.HistoryError(f"{pipeline_root}: expected statistics in the latest run, got none")
    return Path(artifact.uri, "Split-train", "FeatureStats.pb").read_bytes()


def _changed_digests(kind: str, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *now}):
        if name not in before:
            yield f"{kind}: {name} is new"
        elif name not in now:
            yield f"{kind}: {name} is gone"
        elif before[name] != now[name]:
            yield f"{kind}: {name} changed"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields ("train.num_epochs", 3) for {"train": {"num_epochs": 3}}."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return json.dumps(settings[key], ensure_ascii=False) if key in settings else "not there"
