"""Pictures that only these pages have: the nodes of a run, and squares as strong as what they stand for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final, NamedTuple

from markupsafe import Markup

from pipelines.dag.nodes import EDGES, NODES

Point = tuple[float, float]

# Strengths beside none, and the smallest drop that is shown in full.
_HEATS: Final = 4
_LEAST_HEAT: Final = 0.01


def heats(drops: Sequence[float]) -> list[str]:
    """Returns how strongly each is shown beside the largest: "h0", not at all, to "h4"."""
    most = max(*drops, _LEAST_HEAT) if drops else _LEAST_HEAT
    return [f"h{round(_HEATS * max(drop, 0.0) / most)}" for drop in drops]


def heat(drops: Sequence[float], label: str) -> Markup:
    """Returns squares, row by row, each as strong as its number is beside the largest."""
    side = round(math.sqrt(len(drops)))
    drawn = "".join(
        f'<rect class="{strength}" x="{place % side}" y="{place // side}" width="1" height="1">'
        f"<title>{drop:+.1%}</title></rect>"
        for place, (drop, strength) in enumerate(zip(drops, heats(drops), strict=True))
    )
    return Markup(
        f'<svg class="heat" role="img" aria-label="{escape(label)}" viewBox="0 0 {side} {side}" '
        f'preserveAspectRatio="none">{drawn}</svg>'
    )


class Box(NamedTuple):
    """How a node is drawn: its state, and a second line."""

    state: str
    note: str


_BOX: Final = (148, 46)
_GAP: Final = (20, 22)


def dag(boxes: Mapping[str, Box]) -> Markup:
    """Returns the nodes of the DAG, from left to right, with what flows between them.

    Nodes that are not among `boxes` have not begun.
    """
    (width, height), (gap_x, gap_y) = _BOX, _GAP
    columns = _columns()
    places = {
        node: (2 + column * (width + gap_x), 2 + row * (height + gap_y))
        for column, nodes in enumerate(columns)
        for row, node in enumerate(nodes)
    }
    total = len(columns) * (width + gap_x) - gap_x + 4, max(map(len, columns)) * (height + gap_y) - gap_y + 4
    arrows = "".join(_arrow(places, *edge) for edge in _shown_edges())
    drawn = "".join(_box(node, boxes.get(node, Box("waiting", "")), *places[node]) for node in NODES)
    return Markup(
        f'<svg class="dag" role="img" aria-label="The nodes of the run; the table below says the same" '
        f'viewBox="0 0 {total[0]} {total[1]}">'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        f"{arrows}{drawn}</svg>"
    )


def _columns() -> list[list[str]]:
    """Returns the nodes by how many are before each on the longest way to it."""
    depth: dict[str, int] = {}
    for node in NODES:
        depth[node] = max((depth[before] + 1 for before in EDGES[node]), default=0)
    return [[node for node in NODES if depth[node] == column] for column in range(max(depth.values()) + 1)]


def _shown_edges() -> Iterable[tuple[str, str]]:
    """Yields the edges without those that a longer way says, too."""
    before: dict[str, set[str]] = {}
    for node in NODES:
        direct = EDGES[node]
        before[node] = {*direct, *(far for near in direct for far in before[near])}
        for near in direct:
            if not any(near in before[other] for other in direct):
                yield near, node


def _arrow(places: Mapping[str, Point], start: str, end: str) -> str:
    (width, height), ((x0, y0), (x1, y1)) = _BOX, (places[start], places[end])
    x0, y0, y1 = x0 + width, y0 + height / 2, y1 + height / 2
    middle = (x0 + x1) / 2
    path = f"M{x0:g} {y0:g}C{middle:g} {y0:g} {middle:g} {y1:g} {x1:g} {y1:g}"
    return f'<path class="arrow" d="{path}" marker-end="url(#head)"/>'


def _box(node: str, box: Box, x: float, y: float) -> str:
    width, height = _BOX
    told = f"{box.state}{', ' if box.note else ''}{box.note}"
    return (
        f'<g class="node {escape(box.state)}"><rect x="{x:g}" y="{y:g}" width="{width}" height="{height}" '
        f'rx="8"/><text class="name" x="{x + 8:g}" y="{y + 19:g}">{escape(node)}</text>'
        f'<text x="{x + 8:g}" y="{y + 36:g}">{escape(told)}</text></g>'
    )
