"""The outcome of an evaluation as plain data: what was measured, the verdict, and why."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow_model_analysis as tfma
from numpy.typing import NDArray

from components import files
from components.evaluator.bootstrap import Intervals
from components.evaluator.files import INTERVALS_FILE
from components.evaluator.judging import BASELINE, SUMS
from components.evaluator.settings import EvaluationSettings
from components.features import Feature
from components.protocols import Evaluation
from components.task import AtLeast

# 0.955 - 0.95 is more than 0.005 in floating point.
_ROUNDING: Final = 1e-9


class Measured(NamedTuple):
    """What was found of one model on the examples of a slice."""

    num_examples: int
    # Answers that hold NaN or infinity.
    num_invalid: int
    sums: NDArray[np.float64]
    # By name; NaN is what does not exist.
    metrics: Mapping[str, Any]


class Outcome(NamedTuple):
    """The result as `metrics.json` has it, and the sums of all examples, from which a report has sections."""

    result: dict[str, Any]
    sums: NDArray[np.float64] | None
    # Of the model that is compared with.
    baseline_sums: NDArray[np.float64] | None = None


def collect(
    evaluation_uri: str, settings: EvaluationSettings, evaluation: Evaluation, notes: Sequence[str] = ()
) -> Outcome:
    """Returns the result of the evaluation whose files TFMA wrote to `evaluation_uri`.

    task: its name
    blessed: bool
    reasons: why not, one line each
    notes: what one has to know to read the metrics
    blessing: {metric, threshold, max_drop}
    num_examples, invalid_predictions: counts
    metrics: {name: number, or list}
    intervals: {metric, difference}: [low, high], where 95% of a bootstrap's replicates lie, or null
    baseline_metrics: the same as `metrics` of the model that is compared with, or null
    slices: [{slice: {feature: value}, name, count, metrics: {name: number}, baseline_metrics}]
    and what the task's Evaluation gives as `details`.

    Numbers that do not exist, such as the precision of a class that is never predicted, are null.
    """
    by_slice = {_slice_key(proto): proto for proto in tfma.load_metrics(evaluation_uri)}
    overall = by_slice.pop((), tfma.MetricsForSlice())
    candidate, baseline = (_measured(overall, evaluation, of_baseline) for of_baseline in (False, True))
    reasons = list(_reasons(settings, candidate, baseline))
    intervals = Intervals(*json.loads(files.read_text(os.path.join(evaluation_uri, INTERVALS_FILE))))
    result = {
        **(evaluation.details(candidate.sums) if candidate else {}),
        "task": settings.task,
        "blessed": not reasons,
        "reasons": reasons,
        "notes": list(notes),
        "blessing": settings.blessing.model_dump(),
        "num_examples": candidate.num_examples if candidate else 0,
        "invalid_predictions": candidate.num_invalid if candidate else 0,
        "metrics": candidate.metrics if candidate else {},
        "intervals": intervals._asdict(),
        "baseline_metrics": baseline.metrics if baseline else None,
        "slices": list(_slices(by_slice, evaluation, settings.features)),
    }
    sums = [measured.sums if measured else None for measured in (candidate, baseline)]
    return Outcome(dict(_without_nan(result)), *sums)


def _slice_key(proto: tfma.MetricsForSlice) -> tuple[tuple[str, Any], ...]:
    return tuple(tfma.slicer.deserialize_slice_key(proto.slice_key))


def _measured(
    proto: tfma.MetricsForSlice, evaluation: Evaluation, of_baseline: bool = False
) -> Measured | None:
    """Returns what was measured of one model; None where there were no examples."""
    for item in proto.metric_keys_and_values:
        if (
            item.key.name == SUMS
            and not item.key.is_diff
            and (item.key.model_name == BASELINE) == of_baseline
        ):
            sums = np.array(item.value.array_value.float64_values)
            if sums.size:
                return Measured(int(sums[0]), int(sums[1]), sums[2:], evaluation.results(sums[2:]))
    return None


def _slices(
    by_slice: Mapping[Any, Any], evaluation: Evaluation, features: Mapping[str, Feature]
) -> Iterator[dict[str, Any]]:
    for key in sorted(by_slice):
        candidate, baseline = (
            _measured(by_slice[key], evaluation, of_baseline) for of_baseline in (False, True)
        )
        if candidate:
            yield {
                "slice": dict(key),
                "name": ", ".join(f"{name} = {_category(features.get(name), value)}" for name, value in key),
                "count": candidate.num_examples,
                "metrics": _numbers(candidate),
                "baseline_metrics": _numbers(baseline) if baseline else None,
            }


def _numbers(measured: Measured) -> dict[str, Any]:
    return {name: value for name, value in measured.metrics.items() if not isinstance(value, list)}


def _category(feature: Feature | None, value: Any) -> Any:
    """Returns what a value of a feature is called."""
    names = feature.names if feature else ()
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def _reasons(
    settings: EvaluationSettings, candidate: Measured | None, baseline: Measured | None
) -> Iterator[str]:
    """Yields why the candidate is not blessed; nothing if it is."""
    if candidate is None:
        yield f"split {settings.example_split!r} holds no examples"
        return
    if candidate.num_invalid:
        yield f"{candidate.num_invalid} of {candidate.num_examples} predictions hold NaN or infinity"
    value = candidate.metrics[settings.blessing.metric]
    if math.isnan(value):
        yield f"{settings.blessing.metric} does not exist on the examples of split {settings.example_split!r}"
        return
    yield from _too_low(value, settings.blessing)
    if baseline is not None:
        yield from _too_much_lower(value, baseline.metrics[settings.blessing.metric], settings.blessing)


def _too_low(value: float, blessing: AtLeast) -> Iterator[str]:
    if value < blessing.threshold:
        got, expected = _distinct(value, blessing.threshold)
        yield f"{blessing.metric} {got} is below {expected}"


def _too_much_lower(value: float, before: float, blessing: AtLeast) -> Iterator[str]:
    # False where the baseline's does not exist: then only the threshold counts.
    if before - value > blessing.max_drop + _ROUNDING:
        now, then = _distinct(value, before)
        drop, allowed = _distinct(before - value, blessing.max_drop)
        yield f"{blessing.metric} {now} is {drop} under the last blessed model's {then} (allowed {allowed})"


def _distinct(a: float, b: float) -> tuple[str, str]:
    """Returns both with as many digits as it takes to tell them apart, at least three."""
    for digits in range(3, 17):
        texts = f"{a:.{digits}f}", f"{b:.{digits}f}"
        if texts[0] != texts[1]:
            break
    return texts


def _without_nan(value: Any) -> Any:
    """Returns the value with None, JSON's null, in place of NaN, which JSON lacks."""
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
