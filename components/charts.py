"""Charts as SVG: no script, no file; by their classes they take the colours of the page around them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final, NamedTuple

from markupsafe import Markup

Point = tuple[float, float]

_SPARK: Final = (96, 24)
_BARS: Final = (160, 40)
# The unit is a pixel where the chart is as wide as it would like to be.
_WIDTH, _HEIGHT = 480, 220
# Room for numbers at the left and below.
_LEFT, _BOTTOM, _MARGIN = 62, 28, 10
_TICKS: Final = 4
# Where a chart has more points, neighbours are left out.
_MOST_POINTS: Final = 500
# As many as pages have colours for.
_COLOURS: Final = 8


class Line(NamedTuple):
    """One curve of a chart."""

    name: str
    points: Sequence[Point]


def colour(place: int) -> str:
    """Returns the class of the curve at a place, of which a style sheet knows eight: "s0", "s1", …, "s0"."""
    return f"s{place % _COLOURS}"


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
    width, height = _BARS
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
    return f'<g class="series {colour(place)}"><polyline points="{_path(places)}"/>{mark}</g>'


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
