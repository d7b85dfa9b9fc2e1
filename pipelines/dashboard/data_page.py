"""The data that a run read: how many rows of what, what they look like, and what looks wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from markupsafe import Markup

from components.features import IMAGE
from components.protocols import Pictures
from components.task import Task
from pipelines.datasets.survey import Held, Row, shown, survey
from pipelines.runs.history import Run

# A page does not read gigabytes: of each split the first rows count.
MOST_ROWS: Final = 20_000


class Shown(NamedTuple):
    """A row in words; the picture is of an image."""

    split: str
    number: int
    values: Mapping[str, str]
    picture: Markup


class Doubtful(NamedTuple):
    """Something that looks wrong."""

    what: str
    num_rows: int
    examples: Sequence[Shown]


class Data(NamedTuple):
    """The page of a run's data."""

    run: Run
    directory: str
    # The features that are told in words, and those of them that are texts.
    keys: Sequence[str]
    texts: Sequence[str]
    splits: Sequence[Held]
    # The values that are counted, by feature, and each split's counts in the order of `splits`.
    counts: Mapping[str, Sequence[tuple[str, Sequence[int]]]]
    doubts: Sequence[Doubtful]
    rows: Sequence[Shown]


def data(run: Run, directory: str, task: Task) -> Data:
    """Returns what the folder holds that a run recorded; raises UserError where it cannot be read."""
    found = survey(task.source, Path(directory), MOST_ROWS)
    return Data(
        run=run,
        directory=directory,
        keys=[key for key in task.source.features if key != IMAGE],
        texts=[key for key, each in found.splits[0].lengths.items() if each.unit == "characters"],
        splits=found.splits,
        counts=_counts(found.splits),
        doubts=[Doubtful(d.what, d.num_rows, _all_shown(d.examples, task)) for d in found.doubts],
        rows=[row for held in found.splits for row in _all_shown(held.first, task)],
    )


def _counts(splits: Sequence[Held]) -> dict[str, list[tuple[str, list[int]]]]:
    keys = dict.fromkeys(key for held in splits for key in held.counts)
    return {key: _by_value([held.counts.get(key, {}) for held in splits]) for key in keys}


def _by_value(counts: Sequence[Mapping[str, int]]) -> list[tuple[str, list[int]]]:
    values = dict.fromkeys(value for each in counts for value in each)
    return [(value, [each.get(value, 0) for each in counts]) for value in values]


def _all_shown(rows: Sequence[Row], task: Task) -> list[Shown]:
    return [
        Shown(row.split, row.number, shown(row.record, task.source.features), _picture(row, task))
        for row in rows
    ]


def _picture(row: Row, task: Task) -> Markup:
    evaluation = task.fitted_evaluation
    if IMAGE not in row.record or not isinstance(evaluation, Pictures):
        return Markup("")
    # Made here, of pixels alone.
    return Markup(evaluation.picture(row.record))
