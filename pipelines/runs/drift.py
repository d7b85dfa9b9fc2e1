"""How far data has moved from what a model was trained on, as TensorFlow Data Validation measures it."""

from __future__ import annotations

from typing import Any, Final

from components.task import Task

_DISTANCES: Final = {
    "L_INFTY": "L-infinity distance",
    "JENSEN_SHANNON_DIVERGENCE": "Jensen-Shannon divergence",
}
# How TFDV says which value's share changed most.
_WHICH_VALUE: Final = "value with maximum difference is: "


def measure(task: Task, before: bytes, now: bytes) -> list[str]:
    """Returns "label: L-infinity distance 0.35 > 0.05, most of all '3'" for each feature that moved too far.

    Both statistics are serialized DatasetFeatureStatisticsLists; what is compared, and how far it may
    move, the task says (`comparable`, `drift`).
    """
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0 import statistics_pb2

    parse = statistics_pb2.DatasetFeatureStatisticsList.FromString
    anomalies = tfdv.validate_statistics(parse(now), _schema(task), previous_statistics=parse(before))
    return [
        _line(info.path.step[0], measured, anomalies.anomaly_info)
        for info in anomalies.drift_skew_info
        for measured in info.drift_measurements
        if measured.value > measured.threshold
    ]


def _schema(task: Task) -> Any:
    """Returns the schema of the comparable features, with a comparator each."""
    from components.example_gen.schema import to_schema

    declared = {key: task.source.features[key] for key in task.comparable}
    schema = to_schema(declared)
    for feature in schema.feature:
        is_category = declared[feature.name].dtype == "bytes" or declared[feature.name].categorical
        comparator = feature.drift_comparator
        norm = comparator.infinity_norm if is_category else comparator.jensen_shannon_divergence
        norm.threshold = task.drift.limit(feature.name)
    return schema


def _line(feature: str, measured: Any, anomalies: Any) -> str:
    distance = _DISTANCES[type(measured).Type.Name(measured.type)]
    line = f"{feature}: {distance} {measured.value:.3g} > {measured.threshold:g}"
    _, found, value = anomalies[feature].description.rpartition(_WHICH_VALUE)
    return f"{line}, most of all {value!r}" if found else line
