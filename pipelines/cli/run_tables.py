"""What made runs, how they differ and what is left of them, as tables and lines on stdout."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from pipelines import console
from pipelines.cli import layout
from pipelines.cli.layout import Column
from pipelines.runs.cleaning import Piece
from pipelines.runs.explain import flat
from pipelines.runs.record import Record

if TYPE_CHECKING:
    from pipelines.runs.foresee import Foreseen

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_FACTS: Final = ("task", "name", "tags", "state", "started", "seconds", "published_version")
_WOULD: Final = {"execute": "green", "reuse": "cyan", "skip": "dim"}
# Of a digest.
_DIGITS: Final = 12


def show_settings(made_by: Record) -> None:
    """Prints all settings of a run; those that are the task's defaults are dim, and say so."""
    # A run of an earlier version did not tell which are.
    is_known = made_by.machine is not None
    rows = []
    for key, value in flat(made_by.settings):
        is_default = is_known and key not in made_by.changed
        cells = (key, _shown(value), "default" if is_default else "")
        rows.append([Text(cell, "dim" if is_default else "") for cell in cells])
    layout.show((Column("setting", 0), Column("value", 0, folds=True), Column("is", 1)), rows)


def show_surroundings(made_by: Record) -> None:
    """Prints how a run was started, and on what; nothing of what it did not write down."""
    machine = made_by.machine
    _line("name", made_by.name)
    _line("tags", ", ".join(made_by.tags))
    _line("command", shlex.join(made_by.command))
    for name, found in made_by.revisions.items():
        _line("code", f"{name} {found.commit}{' and changes' if found.dirty else ''}")
    if machine:
        _line("machine", f"{machine.host}, {machine.cpus} × {machine.cpu}, {size(machine.memory_bytes)}")
        _line("with", ", ".join(machine.accelerators))
    _line("log", made_by.log)


def show_comparison(found: Mapping[str, Any]) -> None:
    """Prints what `compare` found: a table each of facts, metrics, all kinds of differences, and times."""
    names = [run["short_id"] for run in found["runs"]]
    facts = {key: [_fact(run[key]) for run in found["runs"]] for key in _FACTS}
    _show_rows("run", names, {key: row for key, row in facts.items() if any(row)})
    metrics = found["metrics"].items()
    _show_rows("metric", names, {name: _pairs(_metric, m["values"], m["intervals"]) for name, m in metrics})
    for name, each in zip(names[1:], found["answers"], strict=True):
        _line("answers", each and _answers(names[0], name, each))
    for title in ("settings", "data", "code", "machine"):
        rows = _data(found["data"]) if title == "data" else found[title]
        _show_rows(title, names, {key: [_shown(value) for value in row] for key, row in rows.items()})
    nodes = found["nodes"].items()
    _show_rows("node", names, {name: _pairs(_time, n["states"], n["seconds"]) for name, n in nodes})


def show_foreseen(found: Sequence[Foreseen], as_json: bool) -> None:
    """Prints what would become of each node."""
    executed = sum(each.will == "execute" for each in found)
    if as_json:
        console.print_json({"nodes": [each._asdict() for each in found], "executed": executed})
        return
    columns = (Column("node", 0), Column("would", 0), Column("why", 0, folds=True))
    layout.show(columns, [(each.node, Text(each.will, _WOULD[each.will]), each.why) for each in found])
    print(f"{executed} of {len(found)} nodes would be executed")


def show_pieces(pieces: Sequence[Piece], removed: bool) -> None:
    """Prints what may go, or went, and how much room it takes."""
    if not pieces:
        console.note("nothing to remove")
        return
    columns = (Column("what", 0), Column("size", 1, is_number=True), Column("why", 2, folds=True))
    layout.show(columns, [(piece.what, size(piece.bytes), piece.why) for piece in pieces])
    total = size(sum(piece.bytes for piece in pieces))
    print(f"freed {total}" if removed else f"would free {total}; --yes does it")


def show_log(run_id: str, node: str | None, log: str, as_json: bool) -> None:
    """Prints what a run, or one node of it, has said."""
    if as_json:
        console.print_json({"run_id": run_id, "node": node, "log": log})
    else:
        print(log, end="" if log.endswith("\n") else "\n")


def size(count: int) -> str:
    """Returns a number of bytes: 1_234_567 -> "1.2 MB"."""
    power = min((len(str(count)) - 1) // 3, len(_UNITS) - 1)
    return f"{count / 1000**power:.1f} {_UNITS[power]}" if power else f"{count} B"


def _line(name: str, value: str | None) -> None:
    if value:
        console.results().print(f"{name:<10} {value}", soft_wrap=True)


def _show_rows(title: str, names: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    """Prints a table with a column a run; where there are no rows, that nothing differs."""
    if not rows:
        _line(title, "the same")
        return
    columns = [Column(title, 0), *(Column(name, 0, folds=True) for name in names)]
    layout.show(columns, [(key, *row) for key, row in rows.items()])


def _data(data: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    counts = {f"examples of {split}": row for split, row in data["counts"].items()}
    files = {name: [digest and digest[:_DIGITS] for digest in row] for name, row in data["files"].items()}
    return {**({"dir": data["dir"]} if "dir" in data else {}), **counts, **files}


def _pairs(show: Callable[[Any, Any], str], first: Iterable[Any], second: Iterable[Any]) -> list[str]:
    return [show(*pair) for pair in zip(first, second, strict=True)]


def _answers(first: str, second: str, found: Mapping[str, Any]) -> str:
    """Returns "of 250 examples, both are right on 200, a-1 alone on 12, a-2 alone on 30: p = 0.008"."""
    is_right = found["by"] == "right"
    both = f"both are right on {found['both']:,}, " if is_right else ""
    what = "alone" if is_right else "is better"
    return (
        f"of {found['examples']:,} examples, {both}{first} {what} on {found['first_only']:,}, "
        f"{second} {what} on {found['second_only']:,}: p = {found['p_value']:.2g}"
    )


def _metric(value: float | None, interval: Sequence[float] | None) -> str:
    """Returns "0.9700 (0.9600 to 0.9800)"."""
    sure = f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
    return "–" if value is None else f"{value:.4f}{sure}"


def _time(state: str | None, seconds: float | None) -> str:
    return "–" if state is None else f"{seconds:.1f} s" if state == "complete" else state


def _fact(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:.1f}" if isinstance(value, float) else str(value or "")


def _shown(value: Any) -> str:
    """Returns a value as it is typed in settings; "–" for none."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
