"""What TensorFlow Data Validation counted of raw features, and how far apart two such counts are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from markupsafe import Markup
from numpy.typing import NDArray
from scipy.special import rel_entr
from tensorflow_metadata.proto.v0.statistics_pb2 import (
    DatasetFeatureStatisticsList,
    FeatureNameStatistics,
    Histogram,
)

from components.charts import bars
from components.features import Feature

# How TFDV names bytes that are no text.
_NO_TEXT: Final = "__BYTES_VALUE__"
_MOST_VALUES: Final = 10
# Longer ones, such as texts, would fill the page.
_VALUE_CHARACTERS: Final = 40
_CATEGORIES: Final = "string_stats"
_NUMBERS: Final = "num_stats"

# What the categories 0, 1, … of features are called.
Names = Mapping[str, Sequence[str]]
NO_NAMES: Final[Names] = MappingProxyType({})


class Counted(NamedTuple):
    """What a split has of a feature."""

    feature: str
    present: int
    missing: int
    # Such as "from 0 to 9, mean 4.5".
    told: str
    chart: Markup


class Distance(NamedTuple):
    """How far a feature has moved: in [0, 1], 0 where its values are as frequent as they were."""

    feature: str
    kind: str
    value: float
    # The category whose share changed most; "" of numbers.
    most: str


def names_of(features: Mapping[str, Feature]) -> dict[str, tuple[str, ...]]:
    """Returns what the categories of declared features are called."""
    return {key: feature.names for key, feature in features.items()}


def read(statistics: bytes, names: Names = NO_NAMES) -> list[Counted]:
    """Returns the features of a serialized DatasetFeatureStatisticsList, by name; none of anything else."""
    return [_counted(key, feature, names.get(key, ())) for key, feature in sorted(_features(statistics))]


def distances(before: bytes, now: bytes, names: Names = NO_NAMES) -> list[Distance]:
    """Returns how far the features of both have moved, as TFDV measures it, by name.

    L-infinity of categories: the largest difference between shares; of numbers the Jensen-Shannon divergence,
    in bits, of histograms that are cut alike.
    """
    earlier = dict(_features(before))
    return [
        distance
        for key, feature in sorted(_features(now))
        if key in earlier
        for distance in _distance(key, earlier[key], feature, names.get(key, ()))
    ]


def _features(statistics: bytes) -> Iterator[tuple[str, Any]]:
    try:
        datasets = DatasetFeatureStatisticsList.FromString(statistics).datasets
    except DecodeError:
        return
    for dataset in datasets[:1]:
        for feature in dataset.features:
            yield feature.name or ".".join(feature.path.step), feature


def _counted(key: str, feature: Any, names: Sequence[str]) -> Counted:
    kind = feature.WhichOneof("stats")
    common = getattr(feature, kind).common_stats if kind else None
    present, missing = (common.num_non_missing, common.num_missing) if common else (0, 0)
    told, chart = _TOLD.get(kind, _nothing)(feature, names)
    return Counted(key, present, missing, told, chart)


def _nothing(feature: Any, names: Sequence[str]) -> tuple[str, Markup]:
    return "", Markup("")


def _numbers(feature: Any, names: Sequence[str]) -> tuple[str, Markup]:
    stats = feature.num_stats
    low, mean, high = (f"{number:.4g}" for number in (stats.min, stats.mean, stats.max))
    told = f"from {low} to {high}, mean {mean}"
    return told, bars([bucket.sample_count for bucket in _histogram(feature)], f"Histogram: {told}")


def _categories(feature: Any, names: Sequence[str]) -> tuple[str, Markup]:
    stats = feature.string_stats
    values = [each for each in stats.top_values if each.value != _NO_TEXT]
    top = [f"{_short(_name(each.value, names))} ({each.frequency:,.0f})" for each in values[:_MOST_VALUES]]
    is_int = feature.type == FeatureNameStatistics.INT
    ranks = sorted(values, key=lambda each: int(each.value)) if is_int else values
    told = f"{stats.unique:,} values" + (f", most often {', '.join(top)}" if top else "")
    return told, bars([each.frequency for each in ranks], "How often the most frequent values are")


def _bytes(feature: Any, names: Sequence[str]) -> tuple[str, Markup]:
    stats = feature.bytes_stats
    return f"{stats.unique:,} values of {stats.avg_num_bytes:,.0f} bytes on average", Markup("")


_TOLD: Final = {_NUMBERS: _numbers, _CATEGORIES: _categories, "bytes_stats": _bytes}


def _name(value: str, names: Sequence[str]) -> str:
    """Returns what a category is called: "1" -> "acceptable"."""
    return names[int(value)] if value.isdecimal() and int(value) < len(names) else value


def _short(value: str) -> str:
    return value if len(value) <= _VALUE_CHARACTERS else f"{value[:_VALUE_CHARACTERS]}…"


def _distance(key: str, before: Any, now: Any, names: Sequence[str]) -> Iterator[Distance]:
    kinds = {before.WhichOneof("stats"), now.WhichOneof("stats")}
    if kinds == {_CATEGORIES}:
        value, most = _l_infinity(_shares(before), _shares(now))
        yield Distance(key, "L-infinity distance", value, _short(_name(most, names)))
    elif kinds == {_NUMBERS} and _histogram(before) and _histogram(now):
        value = _jensen_shannon(_histogram(before), _histogram(now))
        yield Distance(key, "Jensen-Shannon divergence", value, "")


def _shares(feature: Any) -> dict[str, float]:
    buckets = feature.string_stats.rank_histogram.buckets
    total = sum(bucket.sample_count for bucket in buckets)
    return {bucket.label: bucket.sample_count / total for bucket in buckets if total}


def _l_infinity(before: Mapping[str, float], now: Mapping[str, float]) -> tuple[float, str]:
    """Returns the largest difference, and whose it is; "" where all shares are as they were."""
    moved = {value: abs(now.get(value, 0.0) - before.get(value, 0.0)) for value in {**before, **now}}
    most = max(sorted(moved), key=moved.__getitem__, default="")
    distance = moved.get(most, 0.0)
    return distance, most if distance else ""


def _histogram(feature: Any) -> Sequence[Any]:
    standard = (each for each in feature.num_stats.histograms if each.type == Histogram.STANDARD)
    return next((each.buckets for each in standard), ())


def _jensen_shannon(before: Sequence[Any], now: Sequence[Any]) -> float:
    edges = np.unique([edge for b in (*before, *now) for edge in (b.low_value, _high(b))])
    counts = [np.diff(_below(edges, buckets)) for buckets in (before, now)]
    first, second = (each / max(each.sum(), 1) for each in counts)
    middle = (first + second) / 2
    nats = (rel_entr(first, middle).sum() + rel_entr(second, middle).sum()) / 2
    return max(float(nats / np.log(2)), 0.0)


def _below(edges: NDArray[np.float64], buckets: Sequence[Any]) -> NDArray[np.float64]:
    """Returns how many values lie below each edge, where those of a bucket are spread evenly."""
    lows, highs = (np.array([end(b) for b in buckets]) for end in (lambda b: b.low_value, _high))
    counts = np.array([b.sample_count for b in buckets])
    inside = np.clip((edges[:, None] - lows) / (highs - lows), 0, 1)
    return np.asarray(inside @ counts, np.float64)


def _high(bucket: Any) -> float:
    # Equal values have a bucket of no width.
    return max(bucket.high_value, float(np.nextafter(bucket.low_value, np.inf)))
