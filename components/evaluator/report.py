"""The result of an evaluation as one HTML page that needs nothing else: no scripts, no other files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final, NamedTuple

from components.html import difference, number, section, table
from components.protocols import Section

# As many as the articles of SQuAD's dev files; a file may have thousands.
_MAX_SLICES: Final = 50
# Of fewer examples, a number says too little to be the worst.
_FEW_EXAMPLES: Final = 20
_FEW_LAST: Final = f'<p class="note">Those of fewer than {_FEW_EXAMPLES} examples come last.</p>'
# The policy holds even for the pictures, which a task's preprocessing renders.
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ max-width: 90rem; margin: 2rem auto; padding: 0 clamp(1rem, 4vw, 4rem); }}
/* Two sections a row where there is room; what fills a row by itself has one. */
@media (min-width: 70rem) {{
 body {{ display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 3rem; }}
 body > :not(section), section:has(.charts) {{ grid-column: 1 / -1; }}
}}
p, .verdict {{ max-width: 60rem; }}
h1 {{ font-size: 1.6rem; }} h2 {{ font-size: 1.15rem; margin-top: 2.5rem; }}
.verdict {{ padding: .8rem 1rem; border-left: .4rem solid; }}
.blessed {{ border-color: #2e9d4f; background: rgb(46 157 79 / .12); }}
.refused {{ border-color: #d04437; background: rgb(208 68 55 / .12); }}
.verdict p {{ margin: .2rem 0; }}
.wide {{ overflow-x: auto; max-width: max-content;
 /* A shade at the right edge, for as long as there is more to scroll to. */
 background: linear-gradient(to left, Canvas 40%, transparent) right / 3rem 100% no-repeat local,
 linear-gradient(to left, rgb(128 128 128 / .5), transparent) right / 1.2rem 100% no-repeat scroll; }}
.wide table {{ width: max-content; }}
th:first-child, td:first-child {{ position: sticky; left: 0; background: Canvas; }}
.charts {{ display: grid; gap: 1rem; }}
.charts {{ grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); }}
figure {{ margin: 0; }} figcaption span {{ color: var(--s); }}
.chart {{ width: 100%; max-width: 36rem; height: auto; font-size: 12px; fill: currentColor; }}
.chart .grid {{ stroke: currentColor; stroke-opacity: .2; }} .chart circle {{ fill: var(--s); }}
.chart polyline {{ fill: none; stroke: var(--s); stroke-width: 1.5; }}
/* Told apart also by who sees few colours, on light and on dark (Okabe and Ito, 2008). */
.s0 {{ --s: #0072b2; }} .s1 {{ --s: #d55e00; }} .s2 {{ --s: #009e73; }} .s3 {{ --s: #cc79a7; }}
.s4 {{ --s: #e69f00; }} .s5 {{ --s: #56b4e9; }} .s6 {{ --s: #8c564b; }} .s7 {{ --s: #808080; }}
.told {{ max-width: 20rem; text-align: left; }} .wide + .wide {{ margin-top: 1.5rem; }}
.bars {{ width: 160px; height: 40px; fill: #0072b2; vertical-align: middle; }}
summary {{ cursor: pointer; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .25rem .7rem; text-align: right; border-bottom: 1px solid rgb(128 128 128 / .3); }}
th {{ font-weight: 600; }} th:first-child, td:first-child {{ text-align: left; }}
.matrix td, .matrix th:not(:first-child) {{ text-align: center; min-width: 2rem; padding: .35rem; }}
.note {{ opacity: .75; }}
.mistakes {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1rem; }}
.mistakes {{ padding: 0; }}
.mistakes:has(p) {{ grid-template-columns: 1fr; }}
.mistakes li {{ list-style: none; }}
.mistakes img {{ width: 7rem; image-rendering: pixelated; display: block; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


class Table(NamedTuple):
    """A table of texts."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def html(
    result: Mapping[str, Any],
    sections: Iterable[Section],
    worst: Sequence[Mapping[str, Any]],
    made: Iterable[Section] = (),
) -> str:
    """Returns the page for a result, as `result.collect` describes it, with the task's own sections.

    `worst`: {badness, html} of the worst answers, the worst first; `made`: how the model was made.
    """
    title, slices = f"Evaluation of {result['task']}", slices_table(result)
    parts = [
        f"<h1>{escape(title)}</h1>",
        _verdict(result),
        section("Metrics", table(*metrics_table(result))),
        *(section(own.title, own.html) for own in sections),
        section("Slices, worst first", f"{_FEW_LAST}{table(*slices)}" if slices.rows else ""),
        section("Worst mistakes", _worst(worst)),
        *(section(own.title, own.html) for own in made),
    ]
    return page(title, parts)


def page(title: str, parts: Iterable[str]) -> str:
    """Returns a whole page of pieces of HTML, in the style of reports."""
    return _PAGE.format(title=escape(title), body="\n".join(part for part in parts if part))


def _verdict(result: Mapping[str, Any]) -> str:
    blessing = result["blessing"]
    rule = (
        f"Measured on {result['num_examples']:,} examples. Blessed is {blessing['metric']} of at least "
        f"{blessing['threshold']:g}, at most {blessing['max_drop']:g} under the last blessed model's"
        f"{' (there is none yet)' if result['baseline_metrics'] is None else ''}."
    )
    verdict, style = ("Blessed", "blessed") if result["blessed"] else ("Not blessed", "refused")
    lines = [f"<strong>{verdict}</strong>", *map(escape, [*result["reasons"], *result["notes"]])]
    paragraphs = "".join(f"<p>{line}</p>" for line in lines)
    return f'<div class="verdict {style}">{paragraphs}<p class="note">{escape(rule)}</p></div>'


def metrics_table(result: Mapping[str, Any]) -> Table:
    """Returns the metrics that are one number, beside the last blessed model's where there is one."""
    baseline, intervals = result["baseline_metrics"], result["intervals"]
    sure = result["blessing"]["metric"]
    header = ["Metric", "This model", "95% interval"]
    header += ["Last blessed model", "Difference", "95% interval"] if baseline else []
    rows = []
    for name, value in _numbers(result["metrics"]).items():
        row = [name, number(value), _interval(intervals["metric"]) if name == sure else ""]
        if baseline:
            before = baseline.get(name)
            row += [number(before), difference(value, before)]
            row += [_interval(intervals["difference"], "+") if name == sure else ""]
        rows.append(row)
    return Table(header, rows)


def _interval(interval: Sequence[float] | None, sign: str = "") -> str:
    """Returns "0.9410 to 0.9630"."""
    return "–" if interval is None else " to ".join(f"{end:{sign}.4f}" for end in interval)


def slices_table(result: Mapping[str, Any]) -> Table:
    """Returns the same by slice, the worst first, of each feature at most 50; no rows if there are none.

    Where there is a model to compare with, a column more says by how much the metric that blesses differs.
    """
    metric = result["blessing"]["metric"]
    slices = _worst_slices(result["slices"], metric)
    names = list(slices[0]["metrics"]) if slices else []
    is_compared = any(part.get("baseline_metrics") for part in slices)
    rows = [
        [
            part.get("name") or _slice_name(part["slice"]),
            f"{part['count']:,}",
            *(number(part["metrics"][name]) for name in names),
            *([_difference(part, metric)] if is_compared else []),
        ]
        for part in slices
    ]
    header = ["Slice", "Examples", *names, *([f"Difference in {metric}"] if is_compared else [])]
    if num_others := len(result["slices"]) - len(slices):
        rows.append([f"{num_others:,} others", *([""] * (len(header) - 1))])
    return Table(header, rows)


def _difference(part: Mapping[str, Any], metric: str) -> str:
    return difference(part["metrics"].get(metric), (part.get("baseline_metrics") or {}).get(metric))


def _worst_slices(slices: Iterable[Mapping[str, Any]], metric: str) -> list[Mapping[str, Any]]:
    """Returns the worst _MAX_SLICES of each feature, the worst first."""

    def order(part: Mapping[str, Any]) -> tuple[bool, bool, float]:
        value = part["metrics"].get(metric)
        # What does not exist is not the worst.
        return value is None, part["count"] < _FEW_EXAMPLES, value or 0.0

    by_feature: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for part in sorted(slices, key=order):
        by_feature[tuple(part["slice"])].append(part)
    return sorted((part for parts in by_feature.values() for part in parts[:_MAX_SLICES]), key=order)


def _slice_name(features: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in features.items())


def _worst(worst: Iterable[Mapping[str, Any]]) -> str:
    # The html is the evaluation's own.
    items = [f"<li>{bad['html']}</li>" for bad in worst]
    return f'<ul class="mistakes">{"".join(items)}</ul>' if items else "<p>None.</p>"


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: value for name, value in metrics.items() if not isinstance(value, list)}
