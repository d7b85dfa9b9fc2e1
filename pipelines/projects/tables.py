"""A look at labelled texts in a table, and the project that classifies or scores them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from components.formats.errors import FormatError
from components.formats.tables import COMMA, JSON_LINES, Row, check_suffix, read_header, read_table
from components.sources.tables import TableSource
from pipelines.projects.classes import arguments, classified
from pipelines.projects.writing import Project, ProjectError, quoted

_DELIMITERS: Final = (COMMA, ";", "\t", "|")
# Of more, a column is no label.
_MAX_LABELS: Final = 100
# Rows of each label in the sample that the project's test runs on.
_SAMPLED: Final = 12
_LABEL_NAMES: Final = ("label", "class", "category", "sentiment", "target", "rating", "stars", "score")


class Column(NamedTuple):
    """What a column holds."""

    name: str
    # Characters, in the mean.
    length: float
    # Different values; no more than one above the most that labels may be.
    values: frozenset[str]
    # The least and the greatest, where all are numbers.
    span: tuple[float, float] | None


class Look(NamedTuple):
    """What a table holds."""

    path: Path
    delimiter: str
    columns: tuple[Column, ...]

    def column(self, name: str, option: str) -> Column:
        """Returns a column by its name; raises ProjectError, which names the option."""
        for column in self.columns:
            if column.name == name:
                return column
        got = repr(name) if name else "none"
        raise ProjectError(f"{option}: expected one of the columns {self.names}, got {got}")

    @property
    def names(self) -> str:
        """The names of the columns: "text, label"."""
        return ", ".join(column.name for column in self.columns)

    @property
    def label(self) -> Column | None:
        """The column that looks like labels: by its name, else the last one with few values."""
        few = [column for column in self.columns if 2 <= len(column.values) <= _MAX_LABELS]
        named = [column for column in few if column.name.lower() in _LABEL_NAMES]
        return next(reversed([*few, *named]), None)

    def text(self, *others: str | None) -> Column | None:
        """Returns the column that looks like texts: of all but others the longest."""
        rest = [column for column in self.columns if column.name not in others]
        return max(rest, key=lambda column: column.length, default=None)


class Chosen(NamedTuple):
    """The columns that a task reads, and a file that it is evaluated on."""

    text: str
    text2: str | None
    # Of scores, where there are such.
    label: str
    is_score: bool = False
    evaluation: Path | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the texts, and last that of the label."""
        return (self.text, *([] if self.text2 is None else [self.text2]), self.label)

    def files(self, seen: Look) -> list[Path]:
        """Returns the files that a task reads, that of the training rows first."""
        return [seen.path, *([self.evaluation] if self.evaluation else [])]


def look(path: Path) -> Look:
    """Returns what a table holds; raises FormatError for what is none, or has no rows."""
    check_suffix(path)
    delimiter = (
        max(_DELIMITERS, key=lambda each: _num_columns(path, each))
        if path.suffix.lower() == ".csv"
        else COMMA
    )
    kept = {name: _Kept() for name in read_header(path, delimiter)}
    num_rows = 0
    for row in read_table(path, delimiter):
        num_rows += not row.wrong
        for name, cell in row.cells.items():
            kept.setdefault(name, _Kept()).add(cell)
    if not num_rows:
        raise FormatError(f"{path}: expected at least one row, got none")
    return Look(path, delimiter, tuple(each.column(name, num_rows) for name, each in kept.items()))


class _Kept:
    """What is kept of the cells of a column, of which there may be millions."""

    def __init__(self) -> None:
        self.length = 0
        self.values: set[str] = set()
        self.low, self.high = math.inf, -math.inf

    def add(self, cell: str) -> None:
        self.length += len(cell)
        if len(self.values) <= _MAX_LABELS:
            self.values.add(cell)
        try:
            number = float(cell or "nan")
        except ValueError:
            # Wider than any range is: no numbers.
            self.low, self.high = -math.inf, math.inf
            return
        self.low, self.high = min(self.low, number), max(self.high, number)

    def column(self, name: str, num_rows: int) -> Column:
        """Returns what is known of the column."""
        span = (self.low, self.high) if math.isfinite(self.high - self.low) else None
        return Column(name, self.length / num_rows, frozenset(self.values), span)


def ask(seen: Look, given: Mapping[str, str | None], question: Callable[[str, str | None], str]) -> Chosen:
    """Returns the columns: as given, or as somebody answers who is asked "column of the …" with a guess.

    `given` has text, text2, label and score. Raises ProjectError for what is no column, or two at once.
    """
    if given["label"] and given["score"]:
        raise ProjectError("expected --label or --score, got both")
    guess = seen.label and seen.label.name
    label = given["score"] or given["label"] or question("column of the labels", guess)
    guess_text = seen.text(label, given["text2"])
    text = given["text"] or question("column of the texts", guess_text and guess_text.name)
    chosen = Chosen(text, given["text2"], label, bool(given["score"]))
    options = (
        ("--text", text),
        ("--score" if chosen.is_score else "--label", label),
        ("--text2", chosen.text2),
    )
    for option, name in options:
        if name is not None:
            seen.column(name, option)
    if len({*chosen.columns}) < len(chosen.columns):
        raise ProjectError(f"expected different columns, got {', '.join(chosen.columns)}")
    return chosen


def with_evaluation(chosen: Chosen, seen: Look, evaluation: Path | None) -> Chosen:
    """Returns the choice with a file to evaluate on, which lies beside; raises UserError for another one."""
    if evaluation is None:
        return chosen
    if evaluation.absolute().parent != seen.path.absolute().parent or evaluation.name == seen.path.name:
        raise ProjectError(f"--eval {evaluation}: expected another file in the folder of {seen.path}")
    _source(seen, chosen).check_columns(evaluation)
    return chosen._replace(evaluation=evaluation)


def project(name: str, package: str, seen: Look, chosen: Chosen) -> Project:
    """Returns what is to be written for a table; raises UserError where it cannot be learned from."""
    source = _source(seen, chosen)
    found = [_read(path, source) for path in chosen.files(seen)]
    num_bad = max(each.num_bad for each in found)
    source = source.model_copy(update={"max_bad_rows": num_bad})
    is_pair, train = chosen.text2 is not None, found[0]
    kind = "scores" if chosen.is_score else "labels"
    values = {
        "name": name,
        "package": package,
        "kind": f"{'Pairs of texts' if is_pair else 'Texts'} and their {kind}",
        "summary": quoted(f"{chosen.label} of {' and '.join(chosen.columns[:-1])}"),
        "features": _features(chosen),
        "source": "\n".join(arguments(source, "score_range")),
        "preprocessing": "text_features=(TEXT_A, TEXT_B)" if is_pair else "",
        "question": "--pairs FILE" if is_pair else '"A text."',
        **(
            {"score_range": str(source.score_range)}
            if chosen.is_score
            else classified(source.labels, train.counts.values())
        ),
    }
    notes = tuple(
        f"left out as bad rows: {each.num_bad}; the first: {each.first_bad}" for each in found if each.num_bad
    )
    return Project(
        "scores" if chosen.is_score else "texts", values, _sample(seen, chosen, train.sampled), notes
    )


def _features(chosen: Chosen) -> str:
    """Returns the names that a task imports: "LABEL, LENGTH"."""
    names = [
        *([] if chosen.is_score else ["LABEL"]),
        "LENGTH",
        *(["TEXT_A", "TEXT_B"] if chosen.text2 else []),
    ]
    return ", ".join(names)


class _Read(NamedTuple):
    """How many good rows each label has, some rows of each, and how many rows are bad."""

    counts: Counter[str]
    sampled: list[Row]
    num_bad: int
    first_bad: str


def _num_columns(path: Path, delimiter: str) -> int:
    try:
        return len(read_header(path, delimiter))
    except FormatError:
        return 0


def _source(seen: Look, chosen: Chosen) -> TableSource:
    return TableSource(
        train=seen.path.name,
        evaluation=chosen.evaluation.name if chosen.evaluation else None,
        text_a=chosen.text,
        text_b=chosen.text2,
        label=chosen.label,
        labels=() if chosen.is_score else _labels(seen, chosen),
        score_range=_score_range(seen, chosen) if chosen.is_score else None,
        delimiter=seen.delimiter,
    )


def _labels(seen: Look, chosen: Chosen) -> tuple[str, ...]:
    found = seen.column(chosen.label, "--label").values - {""}
    if not 2 <= len(found) <= _MAX_LABELS:
        got = f"more than {_MAX_LABELS}" if len(found) > _MAX_LABELS else str(len(found))
        raise ProjectError(
            f"{seen.path}: expected 2 to {_MAX_LABELS} different labels as {chosen.label}, got {got}"
        )
    return _ordered(found)


def _score_range(seen: Look, chosen: Chosen) -> tuple[float, float]:
    span = seen.column(chosen.label, "--score").span
    if span is None or span[0] == span[1]:
        got = "others" if span is None else f"{span[0]:g} alone"
        raise ProjectError(f"{seen.path}: expected different numbers as {chosen.label}, got {got}")
    return span


def _ordered(labels: frozenset[str]) -> tuple[str, ...]:
    """Returns labels in order, numbers by what they are: ("2", "10")."""
    try:
        return tuple(sorted(labels, key=lambda label: (float(label), label)))
    except ValueError:
        return tuple(sorted(labels))


def _read(path: Path, source: TableSource) -> _Read:
    counts: Counter[str] = Counter()
    sampled: list[Row] = []
    bad: list[str] = []
    for row in read_table(path, source.delimiter):
        record = source.record(row)
        if isinstance(record, str):
            bad.append(f"{path}:{row.number}: {record}")
            continue
        label = row.cells[source.label] if source.labels else ""
        counts[label] += 1
        if counts[label] <= (_SAMPLED if source.labels else 2 * _SAMPLED):
            sampled.append(row)
    if not counts:
        raise ProjectError(bad[0] if bad else f"{path}: expected at least one row, got none")
    return _Read(counts, sampled, len(bad), bad[0] if bad else "")


def _sample(seen: Look, chosen: Chosen, rows: Sequence[Row]) -> dict[str, bytes]:
    """Returns the files that the project's test runs on: the sampled rows, for both splits."""
    cells = [[row.cells[name] for name in chosen.columns] for row in rows]
    content = _written(seen, chosen.columns, cells).encode("utf-8", "replace")
    return {f"tests/data/{path.name}": content for path in chosen.files(seen)}


def _written(seen: Look, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if seen.path.suffix.lower() in JSON_LINES:
        objects = (dict(zip(columns, row, strict=True)) for row in rows)
        return "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in objects)
    if seen.path.suffix.lower() == ".tsv":
        return "".join("\t".join(row) + "\n" for row in (columns, *rows))
    text = io.StringIO()
    csv.writer(text, delimiter=seen.delimiter, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()
