"""The outcome of an evaluation as plain data: what TFMA measured, the verdict, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_model_analysis as tfma

from components.evaluator.eval_config import BASELINE, CONFUSION_MATRIX, EXAMPLE_COUNT
from components.evaluator.settings import EvaluationSettings
from components.metrics.classification import INVALID_PREDICTIONS, METRICS, Confusion, Detail, confusion

Measured = Mapping[str, Any]


def collect(evaluation_uri: str, settings: EvaluationSettings) -> dict[str, Any]:
    """Returns the result of the evaluation whose files TFMA wrote to `evaluation_uri`.

    task: its name
    blessed: bool
    reasons: why not, one line each
    blessing: {metric, threshold, max_drop}
    num_examples, invalid_predictions: counts
    metrics: {name: number, or list by class}
    baseline_metrics: the same of the last blessed model, or null
    class_names: in the order of the labels; empty where the numbers are the names
    confusion_matrix: counts by [actual][predicted]
    examples_by_class: counts
    slices: [{slice: {feature: value}, count, metrics: {name: number}}]

    Numbers that do not exist, such as the precision of a class that is never predicted, are null.
    """
    by_slice = {_slice_key(proto): proto for proto in tfma.load_metrics(evaluation_uri)}
    overall = by_slice.pop((), tfma.MetricsForSlice())
    candidate, baseline = _measured(overall), _measured(overall, of_baseline=True)
    matrix = _matrix(candidate, settings)
    reasons = list(_reasons(evaluation_uri, settings, candidate, baseline))
    result = {
        "task": settings.task,
        "blessed": not reasons,
        "reasons": reasons,
        "blessing": settings.blessing.model_dump(),
        "num_examples": int(candidate.get(EXAMPLE_COUNT, 0)),
        "invalid_predictions": int(matrix.invalid.sum()),
        "metrics": _metrics(candidate, settings),
        "baseline_metrics": _metrics(baseline, settings) if baseline else None,
        "class_names": list(settings.class_names),
        "confusion_matrix": matrix.counts.tolist(),
        "examples_by_class": matrix.actual.tolist(),
        "slices": [_slice(key, by_slice[key], settings) for key in sorted(by_slice)],
    }
    return dict(_without_nan(result))


def _slice_key(proto: tfma.MetricsForSlice) -> tuple[tuple[str, Any], ...]:
    return tuple(tfma.slicer.deserialize_slice_key(proto.slice_key))


def _measured(proto: tfma.MetricsForSlice, of_baseline: bool = False) -> Measured:
    """Returns what was measured of one model: {name: float, or cells of a confusion matrix}."""
    return {
        item.key.name: _value(item.value)
        for item in proto.metric_keys_and_values
        if (item.key.model_name == BASELINE) == of_baseline and not item.key.is_diff
    }


def _value(value: Any) -> Any:
    if value.WhichOneof("type") == "double_value":
        return value.double_value.value
    (matrix,) = value.multi_class_confusion_matrix_at_thresholds.matrices
    return [
        (cell.actual_class_id, cell.predicted_class_id, cell.num_weighted_examples) for cell in matrix.entries
    ]


def _matrix(measured: Measured, settings: EvaluationSettings) -> Confusion:
    return confusion(measured.get(CONFUSION_MATRIX, ()), settings.num_classes)


def _numbers(measured: Measured, settings: EvaluationSettings) -> dict[str, float]:
    return {name: measured[name] for name in settings.metrics if isinstance(measured.get(name), float)}


def _metrics(measured: Measured, settings: EvaluationSettings) -> dict[str, Any]:
    matrix = _matrix(measured, settings)
    details = {name: metric.of(matrix) for name, metric in METRICS.items() if isinstance(metric, Detail)}
    wanted = {
        name: details[name] for name in settings.metrics if name in details and name != CONFUSION_MATRIX
    }
    return {**_numbers(measured, settings), **wanted}


def _slice(
    key: tuple[tuple[str, Any], ...], proto: tfma.MetricsForSlice, settings: EvaluationSettings
) -> dict[str, Any]:
    measured = _measured(proto)
    return {
        "slice": dict(key),
        "count": int(measured[EXAMPLE_COUNT]),
        "metrics": _numbers(measured, settings),
    }


def _reasons(
    evaluation_uri: str, settings: EvaluationSettings, candidate: Measured, baseline: Measured
) -> Iterator[str]:
    """Yields why TFMA's validation does not bless the model; nothing if it does."""
    validation = tfma.load_validation_result(evaluation_uri)
    if validation.validation_ok:
        return
    if not candidate:
        yield f"split {settings.example_split!r} holds no examples"
        return
    for in_slice in validation.metric_validations_per_slice:
        for failure in in_slice.failures:
            yield _reason(failure, settings, candidate, baseline)


def _reason(failure: Any, settings: EvaluationSettings, candidate: Measured, baseline: Measured) -> str:
    name = failure.metric_key.name
    if name == INVALID_PREDICTIONS:
        count, total = candidate[name], candidate[EXAMPLE_COUNT]
        return f"{count:.0f} of {total:.0f} predictions hold NaN or infinity"
    value, blessing = candidate[name], settings.blessing
    if failure.metric_key.is_diff:
        now, then = _distinct(value, baseline[name])
        drop, allowed = _distinct(baseline[name] - value, blessing.max_drop)
        return f"{name} {now} is {drop} under the last blessed model's {then} (allowed {allowed})"
    got, expected = _distinct(value, blessing.threshold)
    return f"{name} {got} is below {expected}"


def _distinct(a: float, b: float) -> tuple[str, str]:
    """Returns both with as many digits as it takes to tell them apart, at least three."""
    for digits in range(3, 17):
        texts = f"{a:.{digits}f}", f"{b:.{digits}f}"
        if texts[0] != texts[1]:
            break
    return texts


def _without_nan(value: Any) -> Any:
    """Returns the value with None, JSON's null, in place of NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
