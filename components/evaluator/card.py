"""A model's card: what it is, how good it is and what it was made of, as Markdown and as a page.

It is published with the model, and so holds no example of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from components.evaluator import provenance, report
from components.evaluator.report import Table
from components.html import section, table
from components.statistics import NO_NAMES, Names


class Card(NamedTuple):
    """The same twice."""

    markdown: str
    html: str


class Part(NamedTuple):
    """Tables under a heading."""

    title: str
    tables: Sequence[Table]


def card(title: str, summary: str, parts: Sequence[Part], model_dir: str, names: Names = NO_NAMES) -> Card:
    """Returns the card of a SavedModel, which itself tells what it was made of, after other parts.

    `names`: those of categories, by feature.
    """
    told = [section(part.title, "".join(table(*each) for each in part.tables)) for part in parts]
    made = [section(own.title, own.html) for own in provenance.sections(model_dir, {}, names)]
    head = f"<h1>{escape(title)}</h1>" + (f"<p>{escape(summary)}</p>" if summary else "")
    page = report.page(title, [head, *told, *made])
    return Card(_markdown(title, summary, [*parts, *_made_of(model_dir, names)]), page)


def quality(result: Mapping[str, Any]) -> Part:
    """Returns the metrics, with intervals, and the slices of a result as `result.collect` describes it."""
    slices = report.slices_table(result)
    return Part("Quality", [report.metrics_table(result), *([slices] if slices.rows else [])])


def _made_of(model_dir: str, names: Names) -> Iterator[Part]:
    origin = provenance.read_origin(model_dir)
    if origin:
        files = Table(("File", "SHA-256"), list(origin["data"].items()))
        counted = provenance.counted(model_dir, names)
        rows = [(each.feature, f"{each.present:,}", f"{each.missing:,}", each.told) for each in counted]
        numbers = [Table(("Training data", "Present", "Missing", "Values"), rows)] if rows else []
        yield Part("Data", [files, *numbers])
        yield Part("Settings", [Table(("Setting", "Value"), list(provenance.flat(origin["settings"])))])
        packages = [(name, version) for name, version in origin["code"].items() if "/" not in name]
        yield Part("Packages", [Table(("Package", "Version"), packages)])


def _markdown(title: str, summary: str, parts: Iterable[Part]) -> str:
    blocks = [f"# {title}", *([summary] if summary else [])]
    for part in parts:
        blocks += [f"## {part.title}", *map(_markdown_table, part.tables)]
    return "\n\n".join(blocks) + "\n"


def _markdown_table(content: Table) -> str:
    rows = [content.header, ["---"] * len(content.header), *content.rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(text: str) -> str:
    # What HTML would be, and what would end the cell.
    return escape(" ".join(text.split()), quote=False).replace("\\", "\\\\").replace("|", "\\|")
