"""What raw data hold, as tables on stdout and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.features import Feature
from pipelines import console
from pipelines.cli import layout
from pipelines.cli.layout import Column
from pipelines.datasets.survey import Held, Row, Survey, shown

Features = Mapping[str, Feature]


def show_survey(found: Survey, features: Features) -> None:
    """Prints the splits, their counts and lengths, first rows, and below what looks wrong."""
    columns = (
        Column("split", 0), Column("rows", 0, is_number=True), Column("unusable", 1, is_number=True),
        Column("the first of them", 2, folds=True),
    )  # fmt: skip
    rows = [(h.split, _rows(h), f"{h.num_unusable:,}", h.first_unusable or "") for h in found.splits]
    layout.show(columns, rows)
    _show_counts(found.splits)
    _show_lengths(found.splits)
    _show_rows([row for held in found.splits for row in held.first], features)
    for doubt in found.doubts:
        console.results().print(f"{doubt.what}: {doubt.num_rows:,}", soft_wrap=True)
        _show_rows(doubt.examples, features)
    if not found.doubts:
        console.results().print("Nothing looks wrong.")


def survey_json(found: Survey, features: Features) -> dict[str, Any]:
    """Returns the same as JSON values."""
    return {
        "splits": [_held_json(held) for held in found.splits],
        "rows": [_row_json(row, features) for held in found.splits for row in held.first],
        "doubts": [
            {
                "what": doubt.what,
                "count": doubt.num_rows,
                "examples": [_row_json(row, features) for row in doubt.examples],
            }
            for doubt in found.doubts
        ],
    }


def _rows(held: Held) -> str:
    return f"{held.num_rows:,}" if held.is_whole else f"the first {held.num_rows:,}"


def _show_counts(splits: Sequence[Held]) -> None:
    keys = dict.fromkeys((key, value) for held in splits for key in held.counts for value in held.counts[key])
    columns = [Column("value", 0), *(Column(held.split, 0, is_number=True) for held in splits)]
    rows = [
        (f"{key} {value}", *(f"{held.counts.get(key, {}).get(value, 0):,}" for held in splits))
        for key, value in keys
    ]
    if rows:
        layout.show(columns, rows)


def _show_lengths(splits: Sequence[Held]) -> None:
    names = ("minimum", "median", "mean", "maximum")
    rows = [
        (
            key, held.split, each.unit, f"{each.minimum:,}", f"{each.median:,.0f}", f"{each.mean:,.1f}",
            f"{each.maximum:,}",
        )
        for held in splits
        for key, each in held.lengths.items()
    ]  # fmt: skip
    columns = [Column("feature", 0), Column("split", 0), Column("in", 1)]
    if rows:
        layout.show([*columns, *(Column(name, 0, is_number=True) for name in names)], rows)


def _show_rows(rows: Sequence[Row], features: Features) -> None:
    values = [shown(row.record, features) for row in rows]
    keys = list(dict.fromkeys(key for each in values for key in each))
    columns = [Column("row", 0), *(Column(key, rank, folds=True) for rank, key in enumerate(keys))]
    cells = [
        (f"{row.split} {row.number}", *(each.get(key, "") for key in keys))
        for row, each in zip(rows, values, strict=True)
    ]
    if cells:
        layout.show(columns, cells)


def _held_json(held: Held) -> dict[str, Any]:
    return {
        "split": held.split,
        "rows": held.num_rows,
        "all": held.is_whole,
        "unusable": held.num_unusable,
        "first_unusable": held.first_unusable,
        "counts": held.counts,
        "lengths": {key: each._asdict() for key, each in held.lengths.items()},
    }


def _row_json(row: Row, features: Features) -> dict[str, Any]:
    return {"split": row.split, "row": row.number, "values": shown(row.record, features)}
