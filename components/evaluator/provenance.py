"""How a model was made, as sections of its report: learning curves, data, settings, code."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from markupsafe import Markup

from components import files, statistics
from components.charts import Line, Point, colour, lines_chart
from components.export.origin import ORIGIN_FILE, STATISTICS_FILE
from components.export.results import CURVES, read_results
from components.html import table
from components.protocols import Section
from components.statistics import NO_NAMES, Counted, Names

_LOSS: Final = "loss"
_RATE: Final = "learning_rate"
_TOLD: Final = Markup('<div class="told">{}</div>')
# Of a digest.
_DIGITS: Final = 12


def sections(
    model_dir: str, counts: Mapping[str, int], names: Names = NO_NAMES, baseline_dir: str | None = None
) -> Iterator[Section]:
    """Yields what a SavedModel says of its making; nothing of what it does not say.

    `counts`: the examples of its data by split, where they are known; `names` of categories by feature;
    `baseline_dir`: the SavedModel whose training data its own are held against.
    """
    results, origin = read_results(model_dir), read_origin(model_dir)
    if curves := results.get(CURVES):
        yield Section("Learning curves", f'<div class="charts">{_charts(curves)}</div>')
    if origin:
        moved = _moved(baseline_dir, model_dir, names) if baseline_dir else ""
        yield Section("Data", _data(origin["data"], counts) + _numbers(model_dir, names) + moved)
        yield Section("Settings", _settings(origin["settings"], results))
        yield Section("Code", _code(origin["code"]))


def read_origin(model_dir: str) -> dict[str, Any]:
    """Returns what a SavedModel says it was made of, as an Origin's JSON; empty where it does not say."""
    path = os.path.join(model_dir, ORIGIN_FILE)
    return dict(json.loads(files.read_text(path))) if files.exists(path) else {}


def counted(model_dir: str, names: Names) -> list[Counted]:
    """Returns what a SavedModel says of its training data, feature by feature."""
    return statistics.read(_statistics(model_dir), names)


def flat(settings: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yields ("train.num_epochs", "3") for {"train": {"num_epochs": 3}}."""
    for section, values in settings.items():
        for key, value in values.items():
            yield f"{section}.{key}", json.dumps(value, ensure_ascii=False)


def _statistics(model_dir: str) -> bytes:
    path = os.path.join(model_dir, STATISTICS_FILE)
    return files.read_bytes(path) if files.exists(path) else b""


def _numbers(model_dir: str, names: Names) -> str:
    rows = [
        (each.feature, f"{each.present:,}", f"{each.missing:,}", each.chart, _TOLD.format(each.told))
        for each in counted(model_dir, names)
    ]
    header = ["Training data", "Present", "Missing", "", "Values"]
    return table(header, rows) if rows else ""


def _moved(before_dir: str, model_dir: str, names: Names) -> str:
    found = statistics.distances(_statistics(before_dir), _statistics(model_dir), names)
    rows = [(each.feature, each.kind, f"{each.value:.3f}", each.most or "–") for each in found]
    header = ["Beside the last blessed model's", "Distance", "Of 1", "Most of all"]
    return table(header, rows) if rows else ""


def _charts(curves: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns charts of the losses, of the metrics on the eval split, and of the learning rate."""
    train, evaluated = curves.get("train", {}), curves.get("eval", {})
    losses = {"training": train.get(_LOSS, ()), "eval split": evaluated.get(_LOSS, ())}
    # The terms of the loss are measured in training, too.
    metrics = {name: points for name, points in evaluated.items() if name not in train}
    return (
        _chart("Loss by step", losses)
        + _chart("Metrics on the eval split by step", metrics)
        + _chart("Learning rate by step", {"learning rate": train.get(_RATE, ())})
    )


def _chart(title: str, series: Mapping[str, Sequence[Point]]) -> str:
    """Returns curves with a legend; nothing where there are no points."""
    lines = [Line(name, points) for name, points in series.items() if points]
    ends = "; ".join(f"{line.name} ends at {line.points[-1][1]:.4g}" for line in lines)
    picture = lines_chart(lines, f"{title}: {ends}")
    if not picture:
        return ""
    names = enumerate(line.name for line in lines)
    legend = " ".join(f'<span class="{colour(place)}">■</span> {escape(name)}' for place, name in names)
    return f"<figure><figcaption>{escape(title)}<br>{legend}</figcaption>{picture}</figure>"


def _data(digests: Mapping[str, str], counts: Mapping[str, int]) -> str:
    told = ", ".join(f"{count:,} in {split}" for split, count in counts.items())
    rows = [(name, digest[:_DIGITS]) for name, digest in sorted(digests.items())]
    note = f'<p class="note">Examples: {escape(told)}.</p>' if told else ""
    return note + _folded(f"{len(rows):,} files", table(["File", "SHA-256"], rows))


def _settings(settings: Mapping[str, Mapping[str, Any]], results: Mapping[str, Any]) -> str:
    kept, steps = results.get("kept_step"), results.get("num_steps")
    note = f'<p class="note">Weights of step {kept:,} of {steps:,}.</p>' if kept and steps else ""
    rows = list(flat(settings))
    return note + _folded(f"{len(rows):,} settings", table(["Setting", "Value"], rows))


def _code(code: Mapping[str, str]) -> str:
    """Returns one digest of all source files, and the versions of packages."""
    sources = {name: digest for name, digest in code.items() if "/" in name}
    whole = hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()[:_DIGITS]
    versions = [(name, version) for name, version in sorted(code.items()) if name not in sources]
    note = f'<p class="note">{len(sources):,} source files, together {whole}.</p>'
    return note + _folded(f"{len(versions):,} packages", table(["Package", "Version"], versions))


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"
