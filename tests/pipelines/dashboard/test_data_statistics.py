"""What pages say of statistics as TFDV writes them."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList, FeatureNameStatistics

from pipelines.dashboard import statistics
from pipelines.runs.history import Artifact, NodeRun, Run


def run_with(root: Path) -> Run:
    now = datetime.now(timezone.utc)
    artifacts = tuple(
        Artifact(name, kind, str(root / name), {}, number)
        for number, (name, kind) in enumerate(
            (("statistics", "ExampleStatistics"), ("anomalies", "ExampleAnomalies"))
        )
    )
    node = NodeRun("StatisticsGen", "complete", now, 1.0, artifacts, (), {})
    return Run("id", 1, "mnist", "complete", now, 1.0, (node,), None)


def write(root: Path, name: str, split: str, file: str, message: Any) -> None:
    folder = root / name / f"Split-{split}"
    folder.mkdir(parents=True)
    (folder / file).write_bytes(message.SerializeToString())


def write_statistics(root: Path, split: str, *features: FeatureNameStatistics) -> None:
    found = DatasetFeatureStatisticsList()
    found.datasets.add().features.extend(features)
    write(root, "statistics", split, "FeatureStats.pb", found)


def length() -> FeatureNameStatistics:
    feature = FeatureNameStatistics(type="FLOAT")
    feature.path.step.append("length")
    stats = feature.num_stats
    stats.common_stats.num_non_missing, stats.common_stats.num_missing = 40, 2
    stats.min, stats.mean, stats.max = 1.0, 4.5, 9.0
    buckets = stats.histograms.add(type="STANDARD").buckets
    for count in (10, 30):
        buckets.add(sample_count=count)
    return feature


def label() -> FeatureNameStatistics:
    feature = FeatureNameStatistics(type="INT")
    feature.path.step.append("label")
    stats = feature.string_stats
    stats.common_stats.num_non_missing = 40
    stats.unique = 2
    for value, frequency in (("7", 30.0), ("3", 10.0)):
        stats.top_values.add(value=value, frequency=frequency)
    return feature


def test_features_are_shown_by_split_the_training_data_first(tmp_path: Path) -> None:
    write_statistics(tmp_path, "eval", length())
    write_statistics(tmp_path, "train", length(), label())
    category, number = statistics.features(run_with(tmp_path), str(tmp_path))
    assert (category.name, number.name) == ("label", "length")
    assert [(found.split, found.present, found.missing) for found in number.splits] == [
        ("train", 40, 2),
        ("eval", 40, 2),
    ]
    assert number.splits[0].told == "from 1 to 9, mean 4.5"
    assert number.splits[0].chart.count("<rect") == 2
    assert category.splits[0].told == "2 values, most often 7 (30), 3 (10)"


def test_what_does_not_fit_the_schema_is_told(tmp_path: Path) -> None:
    anomalies = Anomalies()
    info = anomalies.anomaly_info["label"]
    info.short_description, info.description = "Out-of-range values", "Unexpectedly high value: 12."
    write(tmp_path, "anomalies", "eval", "SchemaDiff.pb", anomalies)
    assert statistics.anomalies(run_with(tmp_path), str(tmp_path)) == [
        "eval: label: Out-of-range values: Unexpectedly high value: 12."
    ]


@pytest.mark.parametrize("content", [b"", b"\xff\xff no message"])
def test_a_file_that_is_no_statistics_shows_nothing(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "statistics" / "Split-train"
    folder.mkdir(parents=True)
    (folder / "FeatureStats.pb").write_bytes(content)
    assert statistics.features(run_with(tmp_path), str(tmp_path)) == []


def test_statistics_outside_the_pipeline_root_are_not_read(tmp_path: Path) -> None:
    write_statistics(tmp_path, "train", length())
    assert statistics.features(run_with(tmp_path), str(tmp_path / "elsewhere")) == []


def test_bytes_that_are_no_text_are_counted_alone(tmp_path: Path) -> None:
    image = FeatureNameStatistics(type="STRING", name="image")
    image.string_stats.unique = 3
    image.string_stats.top_values.add(value="__BYTES_VALUE__", frequency=1.0)
    write_statistics(tmp_path, "train", image)
    (feature,) = statistics.features(run_with(tmp_path), str(tmp_path))
    assert (feature.splits[0].told, feature.splits[0].chart) == ("3 values", "")
