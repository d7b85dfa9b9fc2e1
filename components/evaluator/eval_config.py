"""TensorFlow Model Analysis, set up for a task: models, slices, metrics and thresholds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import tensorflow_model_analysis as tfma
from google.protobuf import wrappers_pb2
from tensorflow_model_analysis.metrics import (
    metric_types,
    metric_util,
    multi_class_confusion_matrix_metrics,
)
from tensorflow_model_analysis.proto import config_pb2  # tfma.EvalConfig is missing from TFMA 0.52

from components.evaluator.settings import EvaluationSettings
from components.metrics.classification import (
    INVALID_PREDICTIONS,
    METRICS,
    STATISTICS,
    Statistic,
    TfmaMetric,
    confusion,
)
from components.task import AtLeast

CANDIDATE: Final = "candidate"
BASELINE: Final = "baseline"
CONFUSION_MATRIX: Final = "confusion_matrix"
EXAMPLE_COUNT: Final = "example_count"
# 0.955 - 0.95 is more than 0.005 in floating point.
ROUNDING: Final = 1e-9


def eval_config(settings: EvaluationSettings, has_baseline: bool) -> config_pb2.EvalConfig:
    """Returns the configuration of one evaluation; without a baseline only the threshold counts."""
    names = [CANDIDATE, BASELINE] if has_baseline else [CANDIDATE]
    return config_pb2.EvalConfig(
        model_specs=[_model_spec(name, settings.label) for name in names],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=[key]) for key in settings.slices),
        ],
        metrics_specs=[config_pb2.MetricsSpec(metrics=list(_metric_configs(settings, has_baseline)))],
        options=config_pb2.Options(include_default_metrics=wrappers_pb2.BoolValue(value=False)),
    )


class ConfusionMatrix(tfma.metrics.Metric):
    """TFMA's matrix of actual and most probable classes, or the statistic of it that is called `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(metric_util.merge_per_key_computations(_computations), name=name)


def _computations(
    name: str,
    eval_config: config_pb2.EvalConfig | None = None,
    model_name: str = "",
    output_name: str = "",
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    """Returns TFMA's computation of the matrix, once for all names, and what is derived from it."""
    matrices = multi_class_confusion_matrix_metrics.multi_class_confusion_matrices(
        thresholds=[0.0],
        extract_label_prediction_and_weight=_finite_predictions,
        eval_config=eval_config,
        model_name=model_name,
        output_name=output_name,
        example_weighted=example_weighted,
    )
    source = matrices[-1].keys[-1]
    key = metric_types.MetricKey(
        name=name, model_name=model_name, output_name=output_name, example_weighted=example_weighted
    )

    def result(metrics: dict[metric_types.MetricKey, Any]) -> dict[metric_types.MetricKey, Any]:
        by_threshold = metrics[source]
        if name == CONFUSION_MATRIX:
            return {key: by_threshold}
        cells = [(*cell, count) for cell, count in by_threshold[0.0].items()]
        return {key: STATISTICS[name].of(confusion(cells))}

    return [*matrices, metric_types.DerivedMetricComputation(keys=[key], result=result)]


def _finite_predictions(*args: Any, **kwargs: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yields label, probabilities and weight; probabilities that are not finite become zeros: no class."""
    for label, prediction, weight in metric_util.to_label_prediction_example_weight(*args, **kwargs):
        finite = np.isfinite(prediction).all()
        yield label, prediction if finite else np.zeros_like(prediction), weight


def _model_spec(name: str, label: str) -> config_pb2.ModelSpec:
    return config_pb2.ModelSpec(
        name=name,
        is_baseline=name == BASELINE,
        # Otherwise TFMA tries to load the SavedModel with Keras 2 first.
        model_type="tf_generic",
        signature_name="serving_default",
        label_key=label,
        prediction_key="probabilities",
    )


def _metric_configs(settings: EvaluationSettings, has_baseline: bool) -> Iterator[config_pb2.MetricConfig]:
    yield config_pb2.MetricConfig(class_name="ExampleCount", config=json.dumps({"name": EXAMPLE_COUNT}))
    yield _from_confusion(CONFUSION_MATRIX)
    none_invalid = config_pb2.GenericValueThreshold(upper_bound=wrappers_pb2.DoubleValue(value=0.0))
    yield _from_confusion(INVALID_PREDICTIONS, config_pb2.MetricThreshold(value_threshold=none_invalid))
    for name in settings.metrics:
        metric = METRICS[name]
        if isinstance(metric, TfmaMetric):
            yield config_pb2.MetricConfig(class_name=metric.class_name, config=json.dumps({"name": name}))
        elif isinstance(metric, Statistic):
            blesses = name == settings.blessing.metric
            yield _from_confusion(name, _threshold(settings.blessing, has_baseline) if blesses else None)


def _from_confusion(
    name: str, threshold: config_pb2.MetricThreshold | None = None
) -> config_pb2.MetricConfig:
    config = config_pb2.MetricConfig(
        class_name=ConfusionMatrix.__name__, module=__name__, config=json.dumps({"name": name})
    )
    if threshold is not None:
        # A plain `threshold` would hold for every slice.
        config.per_slice_thresholds.add(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)
    return config


def _threshold(blessing: AtLeast, has_baseline: bool) -> config_pb2.MetricThreshold:
    threshold = config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(
            lower_bound=wrappers_pb2.DoubleValue(value=blessing.threshold)
        )
    )
    if has_baseline:
        threshold.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
        threshold.change_threshold.absolute.value = -(blessing.max_drop + ROUNDING)
    return threshold
