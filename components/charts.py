"""Small line charts as SVG inside a page: no script, no file, colours of the page around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final, NamedTuple

# The unit is a pixel where the chart is as wide as it would like to be.
_WIDTH: Final = 360
_HEIGHT: Final = 200
_LEFT: Final = 52
_BOTTOM: Final = 24
_TOP: Final = 24
_RIGHT: Final = 8
# Told apart also by who sees few colours, on light and on dark (Okabe and Ito, 2008).
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

Points = Sequence[Sequence[float]]


class _Range(NamedTuple):
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> _Range:
        low, high = min(values), max(values)
        # A line that does not rise lies in the middle.
        return cls(low, high) if high > low else cls(low - 0.5, high + 0.5)

    def share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


def line_chart(title: str, series: Mapping[str, Points]) -> str:
    """Returns lines through [(step, value), …] by name, with a legend; nothing where there are no points."""
    shown = {name: points for name, points in series.items() if points}
    if not shown:
        return ""
    steps = _Range.of([step for points in shown.values() for step, _ in points])
    values = _Range.of([value for points in shown.values() for _, value in points])
    lines = "".join(
        _line(points, steps, values, _COLOURS[place % len(_COLOURS)])
        for place, points in enumerate(shown.values())
    )
    legend = "".join(_legend(shown))
    label = f"{title}: " + "; ".join(f"{name} ends at {points[-1][1]:.4g}" for name, points in shown.items())
    return (
        f'<figure class="chart"><figcaption>{escape(title)}<br>{legend}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{''.join(_axes(steps, values))}{lines}</svg></figure>"
    )


def _line(points: Points, steps: _Range, values: _Range, colour: str) -> str:
    places = [(_x(steps.share(step)), _y(values.share(value))) for step, value in points]
    if len(places) == 1:
        (x, y), *_ = places
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _axes(steps: _Range, values: _Range) -> Iterator[str]:
    """Yields lines at the ends and in the middle of both axes, and what is there."""
    for share in (0.0, 0.5, 1.0):
        value, step = (low + share * (high - low) for low, high in (values, steps))
        y, x = _y(share), _x(share)
        yield (
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="currentColor" stroke-opacity=".2"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        yield f'<text x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{step:,.0f}</text>'


def _legend(names: Mapping[str, object]) -> Iterator[str]:
    for place, name in enumerate(names):
        colour = _COLOURS[place % len(_COLOURS)]
        yield f'<span style="color: {colour}">■</span> {escape(name)} '


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP + 12)
