"""All runs: filtered, sorted, each with its metric beside those of earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from markupsafe import Markup

from components.charts import sparkline
from pipelines.dashboard import describe
from pipelines.dashboard.past import Past
from pipelines.runs.history import Run

PER_PAGE: Final = 200
# Of a small curve.
_EARLIER: Final = 20

_KEYS: Final[Mapping[str, Callable[[Row], Any]]] = {
    "started": lambda row: row.run.started,
    "run": lambda row: (row.run.task, row.run.number),
    "state": lambda row: row.run.state,
    "duration": lambda row: row.run.seconds,
    "metric": lambda row: -1.0 if row.metric is None else row.metric,
}


class Row(NamedTuple):
    """One run as the table shows it."""

    run: Run
    name: str
    tags: Sequence[str]
    metric_name: str
    metric: float | None
    curve: Markup
    changes: Sequence[str]


class Choice(NamedTuple):
    """What of the table is asked for; "" for all."""

    task: str = ""
    state: str = ""
    sort: str = "-started"
    tag: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Choice:
        """Returns the choice of a query; what is none counts as not given."""
        page, sort = query.get("page", ""), query.get("sort", "")
        return cls(
            task=query.get("task", ""),
            state=query.get("state", ""),
            tag=query.get("tag", ""),
            sort=sort if sort.removeprefix("-") in _KEYS else "-started",
            page=max(int(page), 1) if page.isdecimal() and len(page) < 9 else 1,
        )

    def query(self, **changes: Any) -> str:
        """Returns the choice with changes as a query: "?task=mnist&sort=-metric"."""
        changed = self._replace(**{"page": 1, **changes})._asdict()
        return "?" + urlencode({name: found for name, found in changed.items() if found not in ("", 1)})


class Listing(NamedTuple):
    """The page of all runs."""

    rows: Sequence[Row]
    choice: Choice
    tasks: Sequence[str]
    states: Sequence[str]
    num_runs: int
    num_pages: int
    is_live: bool


def listing(past: Past, choice: Choice) -> Listing:
    """Returns what the page shows of the runs, newest first."""
    runs = past.runs()
    found = [
        run
        for run in runs
        if choice.task in ("", run.task)
        and choice.state in ("", run.state)
        and (not choice.tag or choice.tag in past.made_by(run).record.tags)
    ]
    descending = choice.sort.startswith("-")
    key = _KEYS[choice.sort.removeprefix("-")]
    rows = sorted(_rows(found, runs, past), key=key, reverse=descending)
    first = (choice.page - 1) * PER_PAGE
    return Listing(
        rows=rows[first : first + PER_PAGE],
        choice=choice,
        tasks=sorted({run.task for run in runs}),
        states=sorted({run.state for run in runs}),
        num_runs=len(found),
        num_pages=-(-len(found) // PER_PAGE),
        is_live=any(run.state == "running" for run in runs[:1]),
    )


def _rows(shown: Sequence[Run], runs: Sequence[Run], past: Past) -> list[Row]:
    by_task: dict[str, list[Run]] = {}
    for run in runs:
        by_task.setdefault(run.task, []).append(run)
    metrics = {task: [describe.judged(run) for run in found] for task, found in by_task.items()}
    places = {run.run_id: place for found in by_task.values() for place, run in enumerate(found)}
    return [_row(run, by_task[run.task], metrics[run.task], places[run.run_id], past) for run in shown]


def _row(run: Run, of_task: Sequence[Run], metrics: Sequence[float | None], place: int, past: Past) -> Row:
    earlier = [metric for metric in metrics[place : place + _EARLIER] if metric is not None]
    name = describe.judged_by(run) or ""
    before = of_task[place + 1] if place + 1 < len(of_task) else None
    made_by = past.made_by(run)
    return Row(
        run=run,
        name=made_by.record.name or "",
        tags=made_by.record.tags,
        metric_name=name,
        metric=metrics[place],
        curve=sparkline(earlier[::-1], f"{name} of the last {len(earlier)} runs"),
        changes=describe.changes(made_by, past.made_by(before) if before else None),
    )
