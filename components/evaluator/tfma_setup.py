"""TensorFlow Model Analysis, set up for a task: models, slices and the one metric."""

from __future__ import annotations

import json
from collections.abc import Iterable

from google.protobuf import wrappers_pb2
from tensorflow_model_analysis.proto import config_pb2  # tfma.EvalConfig is missing from TFMA 0.52

from components.evaluator.judging import BASELINE, SUMS, Sums
from components.evaluator.settings import EvaluationSettings


def eval_config(settings: EvaluationSettings, models: Iterable[str]) -> config_pb2.EvalConfig:
    """Returns the configuration of one evaluation of `models`, by name."""
    metric = config_pb2.MetricConfig(
        class_name=Sums.__name__,
        module=Sums.__module__,
        config=json.dumps({"name": SUMS, "evaluation": settings.evaluation.model_dump(mode="json")}),
    )
    return config_pb2.EvalConfig(
        model_specs=[_model_spec(name) for name in models],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=[key]) for key in settings.slices),
        ],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[metric])],
        options=config_pb2.Options(include_default_metrics=wrappers_pb2.BoolValue(value=False)),
    )


def _model_spec(name: str) -> config_pb2.ModelSpec:
    return config_pb2.ModelSpec(
        name=name,
        is_baseline=name == BASELINE,
        # Otherwise TFMA tries to load the SavedModel with Keras 2 first.
        model_type="tf_generic",
        signature_name="serving_default",
    )
