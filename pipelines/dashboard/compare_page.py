"""Runs beside one another: what was set, what came of it, and how they learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from components.charts import Line, lines_chart
from components.evaluator.files import ANSWERS_FILE, MISTAKES_FILE
from pipelines.dashboard import curves, describe, run_page
from pipelines.dashboard.past import MadeBy, Past
from pipelines.dashboard.paths import output
from pipelines.dashboard.pieces import cleaned
from pipelines.runs.answers import Paired, paired, read_badness, read_mistakes
from pipelines.runs.history import Run

_DIGITS: Final = 12
# Of each kind, beside one another.
_MOST_MISTAKES: Final = 12
# As many as a chart has colours for.
MOST: Final = 4


class Table(NamedTuple):
    """A row for each name, a cell for each run."""

    title: str
    rows: Sequence[tuple[str, Sequence[str]]]


class Chart(NamedTuple):
    """Curves over one another."""

    title: str
    picture: Markup
    names: Sequence[str]


class Mistakes(NamedTuple):
    """Wrong answers of one run to what another one answers rightly; not all are kept."""

    title: str
    num_examples: int
    shown: Sequence[Markup]


class Answers(NamedTuple):
    """What the first run and another one answer differently."""

    first: Run
    second: Run
    paired: Paired
    mistakes: Sequence[Mistakes]


class Comparison(NamedTuple):
    """The page of some runs, in the order in which they were chosen."""

    runs: Sequence[Run]
    tables: Sequence[Table]
    answers: Sequence[Answers]
    charts: Sequence[Chart]


def comparison(runs: Sequence[Run], past: Past) -> Comparison:
    """Returns what differs between the runs, and what came of each."""
    root = past.pipeline_root
    results = [run_page.evaluation(run, root) for run in runs]
    made_by = [past.made_by(run) for run in runs]
    tables = [
        Table("Settings that differ", _differing([each.settings for each in made_by])),
        Table("Data that differ", _differing([_data(each) for each in made_by])),
        Table("Code that differs", _differing([_code(each) for each in made_by])),
        Table("Metrics", _metrics(results)),
        Table("Slices", _slices(results)),
        Table("Seconds by node", _seconds(runs)),
    ]
    return Comparison(
        runs=runs,
        tables=[table for table in tables if table.rows],
        answers=list(_answers(runs, root)),
        charts=_charts(runs, root),
    )


def charts_of(found: curves.Curves) -> list[Chart]:
    """Returns a chart for each thing that is measured: the losses first, then by name."""
    names = sorted(found, key=lambda name: (name != "loss", "loss" not in name, name))
    return [_chart(name, found[name]) for name in names]


def _chart(name: str, lines: Sequence[Line]) -> Chart:
    told = f"{name} by step: {', '.join(line.name for line in lines)}"
    return Chart(name, lines_chart(lines, told), [line.name for line in lines])


def _charts(runs: Sequence[Run], root: str) -> list[Chart]:
    together: dict[str, list[Line]] = {}
    for run in runs:
        for name, lines in curves.of_run(run, root).items():
            together.setdefault(name, []).extend(
                Line(f"{run.short_id} {line.name}", line.points) for line in lines
            )
    return charts_of(together)


def _answers(runs: Sequence[Run], root: str) -> Iterator[Answers]:
    """Yields the first run beside each other one, as far as the answers to the same examples are known."""
    first, *others = runs
    badness, mistakes = _kept(first, root)
    for other in others:
        other_badness, other_mistakes = _kept(other, root)
        found = paired(badness, other_badness)
        if found:
            verb = "is right" if found.by == "right" else "is better"
            sides = ((first, found.first_only, other_mistakes), (other, found.second_only, mistakes))
            shown = [_mistakes(f"{run.short_id} alone {verb}", keys, kept) for run, keys, kept in sides]
            yield Answers(first, other, found, shown)


def _mistakes(title: str, keys: Sequence[str], kept: Mapping[str, str]) -> Mistakes:
    known = [kept[key] for key in keys if key in kept]
    return Mistakes(title, len(keys), [cleaned(html) for html in known[:_MOST_MISTAKES]])


def _kept(run: Run, root: str) -> tuple[dict[str, float | None], dict[str, str]]:
    """Returns what the Evaluator kept of a run's answers, and of wrong ones how they look."""
    path = output(run, "ModelEvaluation", ANSWERS_FILE, root)
    shown = output(run, "ModelEvaluation", MISTAKES_FILE, root)
    return read_badness(path.parent) if path else {}, read_mistakes(shown.parent) if shown else {}


def _differing(values: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Returns the rows of keys that not all have alike."""
    keys = sorted({key for each in values for key in each})
    rows = [(key, [describe.value(each[key]) if key in each else "–" for each in values]) for key in keys]
    return [(key, cells) for key, cells in rows if len(set(cells)) > 1]


def _data(made_by: MadeBy) -> dict[str, str]:
    return {"folder": made_by.record.data_dir or "–", **_short(made_by.files)}


def _code(made_by: MadeBy) -> dict[str, str]:
    found = made_by.record
    commits = {f"commit of {name}": revision.commit for name, revision in found.revisions.items()}
    machine = {"machine": f"{found.machine.cpus} × {found.machine.cpu}"} if found.machine else {}
    return {**_short({**commits, **made_by.code}), **machine}


def _short(digests: Mapping[str, str]) -> dict[str, str]:
    """Returns digests as far as they tell files apart; versions as they are."""
    return {name: digest[:_DIGITS] for name, digest in digests.items()}


def _metrics(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    metrics = [{metric.name: metric for metric in run_page.metrics(result)} for result in results]
    names = dict.fromkeys(name for each in metrics for name in each)
    return [(name, [_cell(each.get(name)) for each in metrics]) for name in names]


def _cell(metric: run_page.Metric | None) -> str:
    if metric is None:
        return "–"
    return f"{metric.value:.4f}" + (f" (95%: {metric.interval})" if metric.interval else "")


def _slices(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Returns the metric that blesses, by slice."""
    found = [_by_slice(result) for result in results]
    names = dict.fromkeys(name for each in found for name in each)
    return [(name, [describe.metric(each.get(name)) for each in found]) for name in names]


def _by_slice(result: Mapping[str, Any]) -> dict[str, float | None]:
    sure = result.get("blessing", {}).get("metric", "")
    return {
        ", ".join(f"{key} = {value}" for key, value in part["slice"].items()): part["metrics"].get(sure)
        for part in result.get("slices", ())
    }


def _seconds(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    names = dict.fromkeys(node.node for run in runs for node in run.nodes)
    found = {run.run_id: {node.node: node for node in run.nodes} for run in runs}
    return [(name, [_took(found[run.run_id].get(name)) for run in runs]) for name in names]


def _took(node: Any) -> str:
    if node is None:
        return "–"
    return node.state if node.state in ("cached", "skipped") else describe.duration(node.seconds)
