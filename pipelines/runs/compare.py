"""Runs side by side: what went into them differently, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from components.errors import UserError
from pipelines.runs import answers, history
from pipelines.runs.explain import flat
from pipelines.runs.history import Run
from pipelines.runs.record import Record, read_record

Row = tuple[Any, ...]
# Of a commit, as git shows it.
_COMMIT_DIGITS: Final = 10


def compare(runs: Sequence[Run]) -> dict[str, Any]:
    """Returns how runs differ, with a value for each run, in their order; None: it does not exist.

    runs: what each is called, its state, when it started, its seconds and the version that it published
    settings: {"train.num_epochs": [1, 3]}, those that differ in sections that all have
    metrics: {"accuracy": {"values": [0.97, 0.98], "intervals": [[0.96, 0.98], None]}}, all of them
    answers: the first run beside each other one, as `answers.Paired` tells; None: not known
    data: {"dir": […]} where they differ, likewise counts by split and SHA-256 sums by file
    code: revisions, source files and packages that differ; machine: Python and hardware that do
    nodes: {"Trainer": {"seconds": [12.5, 0.1], "states": ["complete", "cached"]}}

    Raises UserError for fewer than two runs.
    """
    if len(runs) < 2:
        raise UserError(f"compare: expected at least two runs, got {len(runs)}")
    records = [read_record(run) for run in runs]
    return {
        "runs": [_facts(run, made_by) for run, made_by in zip(runs, records, strict=True)],
        "settings": _settings([made_by.settings for made_by in records]),
        "metrics": _metrics([history.measured(run) for run in runs]),
        "answers": _answers(runs),
        "data": _data([run.data for run in runs]),
        "code": differing([_code(run, made_by) for run, made_by in zip(runs, records, strict=True)]),
        "machine": differing([_machine(made_by) for made_by in records]),
        "nodes": _nodes(runs),
    }


def differing(mappings: Sequence[Mapping[str, Any]]) -> dict[str, Row]:
    """Returns the values that are not the same in all mappings: [{"a": 1}, {}] -> {"a": (1, None)}."""
    return {
        key: tuple(mapping.get(key) for mapping in mappings)
        for key in _keys(mappings)
        if any(key not in mapping or mapping[key] != mappings[0].get(key) for mapping in mappings)
    }


def _keys(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _facts(run: Run, made_by: Record) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "short_id": run.short_id,
        "task": run.task,
        "name": made_by.name,
        "tags": list(made_by.tags),
        "state": run.state,
        "started": run.started.isoformat(),
        "seconds": run.seconds,
        "published_version": run.published_version,
    }


def _settings(settings: Sequence[Mapping[str, Any]]) -> dict[str, Row]:
    """Returns the settings that differ; of a section that a run does not have, it cannot be said."""
    shared = [name for name in settings[0] if all(name in sections for sections in settings)]
    return differing([dict(flat({name: sections[name] for name in shared})) for sections in settings])


def _metrics(measured: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    numbers = [history.numbers(each) for each in measured]
    return {
        name: {
            "values": [each.get(name) for each in numbers],
            "intervals": [_interval(each, name) for each in measured],
        }
        for name in _keys(numbers)
    }


def _interval(measured: Mapping[str, Any], metric: str) -> Any:
    """Returns [low, high] of the metric that blesses; there is none of others."""
    is_sure = measured.get("blessing", {}).get("metric") == metric
    return measured.get("intervals", {}).get("metric") if is_sure else None


def _answers(runs: Sequence[Run]) -> list[dict[str, Any] | None]:
    first, *others = (_badness(run) for run in runs)
    found = (answers.paired(first, other) for other in others)
    return [each.to_json() if each else None for each in found]


def _badness(run: Run) -> answers.Badness:
    evaluation = run.artifact("ModelEvaluation")
    return answers.read_badness(Path(evaluation.uri)) if evaluation else {}


def _data(data: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    digests, counts = ([each[key] or {} for each in data] for key in ("digests", "counts"))
    return {
        **differing([{"dir": each["dir"]} for each in data]),
        "counts": differing(counts),
        "files": differing(digests),
    }


def _code(run: Run, made_by: Record) -> dict[str, str]:
    revisions = {
        f"revision of {name}": found.commit[:_COMMIT_DIGITS] + (" and changes" if found.dirty else "")
        for name, found in made_by.revisions.items()
    }
    return {**revisions, **run.code, **made_by.packages}


def _machine(made_by: Record) -> dict[str, Any]:
    known = made_by.machine.model_dump(mode="json") if made_by.machine else {}
    return {"python": made_by.python, **known}


def _nodes(runs: Sequence[Run]) -> dict[str, dict[str, list[Any]]]:
    by_name = [{node.node: node for node in run.nodes} for run in runs]
    return {
        name: {
            "seconds": [nodes[name].seconds if name in nodes else None for nodes in by_name],
            "states": [nodes[name].state if name in nodes else None for nodes in by_name],
        }
        for name in _keys(by_name)
    }
