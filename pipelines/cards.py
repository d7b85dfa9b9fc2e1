"""A published model's card, and which version and evaluation it is of."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components import files
from components.errors import UserError
from components.evaluator.card import Card, Part, card, quality
from components.evaluator.report import Table
from components.html import number
from components.registry import registry
from components.registry.registry import PublishedVersion
from components.statistics import names_of
from components.task import Task
from pipelines import program
from pipelines.runs import history


def find(models_dir: str, name: str, version: int | None = None) -> PublishedVersion:
    """Returns a published version, the live one by default; raises UserError where there is none."""
    known = {each.version: each for each in registry.versions(models_dir, name)}
    if not known:
        raise UserError(f"{models_dir}: no published model of {name!r}")
    number = max(known) if version is None else version
    if number not in known:
        raise UserError(f"unknown version {number} of {name!r}; known: {', '.join(map(str, known))}")
    return known[number]


def measured(pipeline_root: str, version: PublishedVersion) -> dict[str, Any]:
    """Returns what the Evaluator wrote in the run that published a version; empty where that is not here."""
    run_id = version.source.get("run_id")
    runs = history.read_runs(pipeline_root) if run_id else ()
    return next((history.measured(run) for run in runs if run.run_id == run_id), {})


def card_of(task: Task, version: PublishedVersion, measured: Mapping[str, Any]) -> Card:
    """Returns the card of a version; `measured` is what its Evaluator wrote, empty where that is gone."""
    parts = [
        Part("Model", [Table(("", ""), list(_facts(version)))]),
        quality(measured) if measured else _published_quality(version),
        Part("Use", [Table(("", ""), list(_use(task, version)))]),
    ]
    title, names = f"{task.name}, version {version.version}", names_of(task.source.features)
    return card(title, task.summary, parts, version.path, names)


def write(made: Card, folder: Path) -> None:
    """Writes `card.md` and `card.html` into a folder."""
    files.write_text(str(folder / "card.md"), made.markdown)
    files.write_text(str(folder / "card.html"), made.html)


def _facts(version: PublishedVersion) -> Iterator[tuple[str, str]]:
    yield "created", version.created
    yield "blessed", "yes" if version.blessed else "no"
    if version.restored_from:
        yield "restored from", f"version {version.restored_from}"
    yield "SHA-256", version.digest
    yield from version.source.items()


def _published_quality(version: PublishedVersion) -> Part:
    numbers = {name: value for name, value in version.metrics.items() if not isinstance(value, list)}
    rows = [(name, number(value)) for name, value in numbers.items()]
    return Part("Quality", [Table(("Metric", "Value"), rows)])


def _use(task: Task, version: PublishedVersion) -> Iterator[tuple[str, str]]:
    models_dir = posixpath.dirname(posixpath.dirname(version.path))
    yield "ask it", program.command("predict", task.reference, "INPUT", "--model", version.path)
    yield "serve it", program.command("serve", task.reference, "--models", models_dir)
