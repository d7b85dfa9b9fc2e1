"""Charts as SVG, which scale and take their colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final, NamedTuple

from markupsafe import Markup

from pipelines.dag.nodes import EDGES, NODES

Point = tuple[float, float]

_SPARK: Final = (96, 24)
_WIDTH, _HEIGHT = 640, 280
# Room for numbers at the left and below.
_LEFT, _BOTTOM, _MARGIN = 62, 28, 10
_TICKS: Final = 4
# Strengths beside none, and the smallest drop that is shown in full.
_HEATS: Final = 4
_LEAST_HEAT: Final = 0.01
# Where a chart has more points, neighbours are left out.
_MOST_POINTS: Final = 500


class Line(NamedTuple):
    """One curve of a chart."""

    name: str
    points: Sequence[Point]


def sparkline(values: Sequence[float], label: str) -> Markup:
    """Returns a small curve of values, the last of them marked; nothing of fewer than two."""
    if len(values) < 2:
        return Markup("")
    width, height = _SPARK
    x = _Scale(0, len(values) - 1, 3, width - 3)
    y = _Scale(*_bounds(values), height - 3, 3)
    places = [(x(place), y(value)) for place, value in enumerate(values)]
    last_x, last_y = places[-1]
    return Markup(
        f'<svg class="spark" role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}">'
        f'<polyline points="{_path(places)}"/><circle cx="{last_x:.1f}" cy="{last_y:.1f}" r="2.5"/></svg>'
    )


def lines_chart(lines: Sequence[Line], label: str) -> Markup:
    """Returns curves over one another, with axes; nothing where there are no points."""
    points = [point for line in lines for point in line.points if all(map(math.isfinite, point))]
    if not points:
        return Markup("")
    xs, ys = zip(*points, strict=True)
    x = _Scale(*_bounds(xs), _LEFT, _WIDTH - _MARGIN)
    y = _Scale(*_bounds(ys), _HEIGHT - _BOTTOM, _MARGIN)
    curves = "".join(_curve(place, line, x, y) for place, line in enumerate(lines))
    return Markup(
        f'<svg class="chart" role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f"{_y_axis(y)}{_x_axis(x)}{curves}</svg>"
    )


def bars(counts: Sequence[float], label: str) -> Markup:
    """Returns a histogram of counts side by side; nothing where all are none."""
    most = max(counts, default=0)
    if not most:
        return Markup("")
    width, height = 160, 40
    step = width / len(counts)
    drawn = "".join(
        f'<rect x="{place * step:.2f}" y="{height * (1 - count / most):.2f}" '
        f'width="{max(step - 1, 0.5):.2f}" height="{height * count / most:.2f}"/>'
        for place, count in enumerate(counts)
    )
    return Markup(
        f'<svg class="bars" role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}">'
        f"{drawn}</svg>"
    )


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
        f'<svg class="heat" role="img" aria-label="{escape(label)}" viewBox="0 0 {side} {side}">{drawn}</svg>'
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


class _Scale(NamedTuple):
    """Values from `low` to `high` at places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Returns a few round values between the bounds."""
        step = _round_step((self.high - self.low) / _TICKS)
        first = math.ceil(self.low / step - 1e-9)
        return [tick * step for tick in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _round_step(least: float) -> float:
    """Returns 1, 2 or 5 times a power of ten: 0.13 -> 0.2."""
    power = 10 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        return low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    return low, high


def _curve(place: int, line: Line, x: _Scale, y: _Scale) -> str:
    finite = [point for point in line.points if all(map(math.isfinite, point))]
    shown = finite[:: max(math.ceil(len(finite) / _MOST_POINTS), 1)]
    places = [(x(step), y(value)) for step, value in shown]
    mark = f'<circle cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="3"/>' if len(places) == 1 else ""
    return f'<g class="series s{place % 8}"><polyline points="{_path(places)}"/>{mark}</g>'


def _y_axis(y: _Scale) -> str:
    return "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _MARGIN}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.4g}</text>'
        for tick in y.ticks()
    )


def _x_axis(x: _Scale) -> str:
    return "".join(
        f'<text x="{x(tick):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{tick:,.6g}</text>'
        for tick in x.ticks()
    )


def _path(places: Iterable[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
