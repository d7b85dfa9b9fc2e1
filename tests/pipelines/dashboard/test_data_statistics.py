"""What pages say of statistics as TFDV writes them."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList, FeatureNameStatistics

from components.export.origin import STATISTICS_FILE
from components.registry import registry
from components.statistics import Distance
from components.task import Drift
from pipelines.dashboard import statistics
from pipelines.dashboard.statistics import Beside, Moved
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
    assert [(found.split, found.counted.present, found.counted.missing) for found in number.splits] == [
        ("train", 40, 2),
        ("eval", 40, 2),
    ]
    assert number.splits[0].counted.told == "from 1 to 9, mean 4.5"
    assert number.splits[0].counted.chart.count("<rect") == 2
    assert category.splits[0].counted.told == "2 values, most often 7 (30), 3 (10)"


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
    counted = feature.splits[0].counted
    assert (counted.told, counted.chart) == ("3 values", "")


def live_model(tmp_path: Path, *features: FeatureNameStatistics) -> Path:
    """The folder of a published model of mnist that says what its data were like."""
    found = DatasetFeatureStatisticsList()
    found.datasets.add().features.extend(features)
    source = tmp_path / "model"
    (source / STATISTICS_FILE).parent.mkdir(parents=True)
    (source / STATISTICS_FILE).write_bytes(found.SerializeToString())
    (source / "saved_model.pb").write_bytes(b"")
    registry.publish(
        str(source), str(tmp_path / "models"), "mnist", metrics={}, source={"run_id": "1"}, keep_versions=5
    )
    return tmp_path / "models"


def shares(**counts: int) -> FeatureNameStatistics:
    feature = FeatureNameStatistics(type="STRING", name="label")
    for value, count in counts.items():
        feature.string_stats.rank_histogram.buckets.add(label=value, sample_count=count)
    return feature


def test_data_are_held_against_the_live_versions(tmp_path: Path) -> None:
    models = live_model(tmp_path, shares(cat=30, dog=10))
    write_statistics(tmp_path, "train", shares(cat=10, dog=20, owl=10))
    write_statistics(tmp_path, "eval", shares(cat=40))
    found = statistics.beside_live(run_with(tmp_path), str(tmp_path), str(models), Drift(max_distance=0.2))
    assert found is not None
    assert "version 1, which is live" in found.note
    # 30 of 40 were cats, 10 of 40 are.
    assert found.moved == [Moved(Distance("label", "L-infinity distance", 0.5, "cat"), 0.2)]


def test_where_nothing_can_be_compared_the_page_says_why(tmp_path: Path) -> None:
    run, drift = run_with(tmp_path), Drift()
    assert statistics.beside_live(run, str(tmp_path), str(tmp_path / "models"), drift) is None
    write_statistics(tmp_path, "train", shares(cat=1))
    none = statistics.beside_live(run, str(tmp_path), str(tmp_path / "models"), drift)
    assert none == Beside("No version of mnist is live, to hold these data against.")
    silent = statistics.beside_live(run, str(tmp_path), str(live_model(tmp_path)), drift)
    assert silent == Beside("Version 1, which is live, does not say what its data were like.")
