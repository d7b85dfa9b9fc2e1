"""What StatisticsGen and ExampleValidator found of the data, feature by feature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from markupsafe import Markup
from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies
from tensorflow_metadata.proto.v0.statistics_pb2 import (
    DatasetFeatureStatisticsList,
    FeatureNameStatistics,
    Histogram,
)

from pipelines.dashboard import charts, describe
from pipelines.dashboard.paths import inside
from pipelines.runs.history import Run

_STATISTICS: Final = ("ExampleStatistics", "FeatureStats.pb")
_ANOMALIES: Final = ("ExampleAnomalies", "SchemaDiff.pb")
_SPLIT: Final = "Split-"
# How TFDV names bytes that are no text.
_NO_TEXT: Final = "__BYTES_VALUE__"
_MOST_VALUES: Final = 5
# Longer ones, such as texts, would fill the page.
_VALUE_CHARACTERS: Final = 40


class Found(NamedTuple):
    """What one split has of a feature."""

    split: str
    present: int
    missing: int
    # Such as "from 0 to 9, mean 4.5".
    told: str
    chart: Markup


class Feature(NamedTuple):
    """A raw feature in each split."""

    name: str
    splits: Sequence[Found]


def features(run: Run, root: str) -> list[Feature]:
    """Returns the raw features of a run's data; none before StatisticsGen."""
    by_name: dict[str, list[Found]] = {}
    for split, content in _files(run, root, *_STATISTICS):
        for each in _parsed(DatasetFeatureStatisticsList, content).datasets[:1]:
            for feature in each.features:
                name = feature.name or ".".join(feature.path.step)
                by_name.setdefault(name, []).append(_found(split, feature))
    return [Feature(name, splits) for name, splits in sorted(by_name.items())]


def anomalies(run: Run, root: str) -> list[str]:
    """Returns what does not fit the schema: "eval: label: Out-of-range values: …"."""
    return [
        f"{split}: {name}: {info.short_description}: {info.description}"
        for split, content in _files(run, root, *_ANOMALIES)
        for name, info in sorted(_parsed(Anomalies, content).anomaly_info.items())
    ]


def _files(run: Run, root: str, type_name: str, name: str) -> Iterator[tuple[str, bytes]]:
    """Yields the splits of an artifact and their files, the training data first."""
    artifact = run.artifact(type_name)
    folders = sorted(Path(artifact.uri).glob(f"{_SPLIT}*"), reverse=True) if artifact else ()
    for folder in folders:
        if path := inside(folder / name, root):
            yield folder.name.removeprefix(_SPLIT), path.read_bytes()


def _parsed(kind: Any, content: bytes) -> Any:
    try:
        return kind.FromString(content)
    except DecodeError:
        return kind()


def _found(split: str, feature: Any) -> Found:
    kind = feature.WhichOneof("stats")
    stats = getattr(feature, kind) if kind else None
    common = stats.common_stats if stats is not None else None
    present, missing = (common.num_non_missing, common.num_missing) if common else (0, 0)
    told, chart = _TOLD.get(kind, _nothing)(feature)
    return Found(split, present, missing, told, chart)


def _nothing(_: Any) -> tuple[str, Markup]:
    return "", Markup("")


def _numbers(feature: Any) -> tuple[str, Markup]:
    stats = feature.num_stats
    low, mean, high = (f"{number:.4g}" for number in (stats.min, stats.mean, stats.max))
    standard = (each for each in stats.histograms if each.type == Histogram.STANDARD)
    buckets = next((each.buckets for each in standard), ())
    told = f"from {low} to {high}, mean {mean}"
    return told, charts.bars([bucket.sample_count for bucket in buckets], f"Histogram: {told}")


def _categories(feature: Any) -> tuple[str, Markup]:
    stats = feature.string_stats
    values = [each for each in stats.top_values if each.value != _NO_TEXT]
    top = [(each.value, each.frequency) for each in values[:_MOST_VALUES]]
    shown = ", ".join(f"{_short(value)} ({describe.value(frequency)})" for value, frequency in top)
    is_int = feature.type == FeatureNameStatistics.INT
    ranks = sorted(values, key=lambda each: int(each.value)) if is_int else values
    told = f"{stats.unique:,} values" + (f", most often {shown}" if shown else "")
    return told, charts.bars([each.frequency for each in ranks], "How often the most frequent values are")


def _bytes(feature: Any) -> tuple[str, Markup]:
    stats = feature.bytes_stats
    return f"{stats.unique:,} values of {stats.avg_num_bytes:,.0f} bytes on average", Markup("")


def _short(value: str) -> str:
    return value if len(value) <= _VALUE_CHARACTERS else f"{value[:_VALUE_CHARACTERS]}…"


_TOLD: Final = {"num_stats": _numbers, "string_stats": _categories, "bytes_stats": _bytes}
