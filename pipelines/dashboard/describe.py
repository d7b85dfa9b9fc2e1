"""Moments, durations, numbers and settings in the words of a page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

from components.features import TEXT_A, TEXT_B
from pipelines.dashboard.past import MadeBy
from pipelines.runs import explain
from pipelines.runs.history import Run

_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"))
_MOST_CHANGES: Final = 3
_CALLED: Final = {TEXT_A: "Text", TEXT_B: "Second text"}


def ago(moment: datetime, now: datetime | None = None) -> str:
    """Returns how long ago a moment was: "3 minutes ago"."""
    seconds = ((now or datetime.now(timezone.utc)) - moment).total_seconds()
    for size, unit in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def local(moment: datetime) -> str:
    """Returns a moment as this machine's clock shows it: "2026-01-02 03:04:05+01:00"."""
    return moment.astimezone().isoformat(sep=" ", timespec="seconds")


def duration(seconds: float) -> str:
    """Returns a duration: "4.2 s", "3 min 5 s", "2 h 7 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def value(found: Any) -> str:
    """Returns a setting or a metric: numbers with four digits, lists between brackets, "–" for none."""
    if found is None:
        return "–"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, float):
        return f"{found:.4g}"
    if isinstance(found, (list, tuple)):
        return f"[{', '.join(map(value, found))}]"
    return str(found)


def metric(found: float | None) -> str:
    """Returns a metric with four digits behind the point."""
    return "–" if found is None else f"{found:.4f}"


def called(name: str) -> str:
    """Returns what a page calls an input: "text_b" -> "Second text", "spacing_mm" -> "Spacing mm"."""
    return _CALLED.get(name) or name.replace("_", " ").capitalize()


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Returns the metrics that are one number."""
    return {
        name: float(found)
        for name, found in metrics.items()
        if isinstance(found, (int, float)) and not isinstance(found, bool)
    }


def judged_by(run: Run) -> str | None:
    """Returns the metric that blesses the run's model; None before the Evaluator."""
    metric = run.settings.get("blessing", {}).get("metric")
    return metric if isinstance(metric, str) else None


def judged(run: Run) -> float | None:
    """Returns what the metric that blesses came to."""
    name = judged_by(run)
    return numbers(run.evaluation.metrics).get(name) if run.evaluation and name else None


def changes(now: MadeBy, then: MadeBy | None) -> list[str]:
    """Returns what differs from the run of the task before: "train.num_epochs is 5, was 3"."""
    if then is None:
        return []
    # A run that ended early has fewer settings, files and code, which is no change.
    before, after = _of_both(then.settings, now.settings)
    lines = [*explain.changed("", before, after)]
    if then.files and now.files:
        lines += explain.changed_digests("data ", then.files, now.files)
    lines += explain.changed_digests("", *_of_both(then.code, now.code))
    more = [f"and {len(lines) - _MOST_CHANGES} more"] if len(lines) > _MOST_CHANGES else []
    return [*lines[:_MOST_CHANGES], *more]


def _of_both(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what of two mappings is in both."""
    return {key: a[key] for key in a if key in b}, {key: b[key] for key in b if key in a}
