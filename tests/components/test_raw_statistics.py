"""What is read of TFDV's counts, and how far apart two of them are, by hand and by TFDV itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList, FeatureNameStatistics

from components.statistics import distances, read

Bucket = tuple[float, float, float]


def number(name: str, buckets: Sequence[Bucket]) -> FeatureNameStatistics:
    feature = FeatureNameStatistics(type="FLOAT")
    feature.path.step.append(name)
    stats = feature.num_stats
    stats.common_stats.num_non_missing = int(sum(count for *_, count in buckets))
    stats.min, stats.max = buckets[0][0], buckets[-1][1]
    histogram = stats.histograms.add(type="STANDARD")
    for low, high, count in buckets:
        histogram.buckets.add(low_value=low, high_value=high, sample_count=count)
    return feature


def category(name: str, counts: Mapping[str, int], kind: str = "STRING") -> FeatureNameStatistics:
    feature = FeatureNameStatistics(type=kind)
    feature.path.step.append(name)
    stats = feature.string_stats
    stats.common_stats.num_non_missing, stats.unique = sum(counts.values()), len(counts)
    for rank, (value, count) in enumerate(counts.items()):
        stats.top_values.add(value=value, frequency=count)
        stats.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=value, sample_count=count)
    return feature


def counted(*features: FeatureNameStatistics, num_examples: int = 40) -> bytes:
    found = DatasetFeatureStatisticsList()
    dataset = found.datasets.add(num_examples=num_examples)
    dataset.features.extend(features)
    return bytes(found.SerializeToString())


def test_categories_have_their_names() -> None:
    (label,) = read(counted(category("label", {"1": 12345, "0": 20}, "INT")), {"label": ("no", "yes")})
    assert label.told == "2 values, most often yes (12,345), no (20)"
    # In the order of the categories, not in that of their counts.
    assert label.chart.index('height="0.06"') < label.chart.index('height="40.00"')


def test_a_name_that_is_missing_is_the_number_itself() -> None:
    (label,) = read(counted(category("label", {"7": 3}, "INT")), {"label": ("no", "yes")})
    assert label.told == "1 values, most often 7 (3)"


def test_a_category_moves_as_far_as_the_share_that_changed_most() -> None:
    before = counted(category("label", {"1": 30, "0": 10}, "INT"))
    now = counted(category("label", {"0": 20, "2": 15, "1": 5}, "INT"))
    (found,) = distances(before, now, {"label": ("no", "yes")})
    # 30 of 40 become 5 of 40.
    assert (found.feature, found.kind, found.most) == ("label", "L-infinity distance", "yes")
    assert found.value == pytest.approx(0.625)


def test_categories_that_are_as_frequent_as_before_have_not_moved() -> None:
    one, two = (counted(category("label", {"1": 3 * count, "0": count})) for count in (5, 10))
    assert distances(one, two) == [("label", "L-infinity distance", 0.0, "")]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([(0, 1, 10)], [(0, 1, 20)], 0.0),
        ([(0, 1, 10)], [(1, 2, 10)], 1.0),
        # p = (1/2, 1/2), q = (1, 0), m = (3/4, 1/4): ((log2 2/3 + log2 2) / 2 + log2 4/3) / 2.
        ([(0, 2, 10)], [(0, 1, 10)], 0.3112781),
        # Equal values all over: a bucket of no width.
        ([(5, 5, 10)], [(5, 5, 30)], 0.0),
        ([(5, 5, 10)], [(6, 6, 30)], 1.0),
        ([(0, 1, 0)], [(0, 1, 5)], 0.5),
    ],
)
def test_numbers_move_by_bits_worked_by_hand(
    before: list[Bucket], now: list[Bucket], expected: float
) -> None:
    (found,) = distances(counted(number("length", before)), counted(number("length", now)))
    assert found.value == pytest.approx(expected, abs=1e-7)


def test_what_one_side_lacks_is_not_compared() -> None:
    before, now = counted(number("a", [(0, 1, 1)])), counted(number("b", [(0, 1, 1)]))
    assert distances(before, now) == distances(b"", now) == distances(before, b"no message") == []


def test_distances_are_those_of_tfdv() -> None:
    import tensorflow_data_validation as tfdv

    before = counted(
        number("length", [(0, 10, 8), (10, 20, 20), (20, 30, 12)]), category("label", {"a": 25, "b": 15})
    )
    now = counted(
        number("length", [(5, 15, 4), (15, 25, 16), (25, 35, 20)]), category("label", {"b": 22, "a": 18})
    )
    anomalies = tfdv.validate_statistics(_parsed(now), _schema(), previous_statistics=_parsed(before))
    expected = {
        info.path.step[0]: measured.value
        for info in anomalies.drift_skew_info
        for measured in info.drift_measurements
    }
    found = {each.feature: each.value for each in distances(before, now)}
    assert found == pytest.approx(expected)
    assert set(found) == {"label", "length"}


def _parsed(content: bytes) -> Any:
    return DatasetFeatureStatisticsList.FromString(content)


def _schema() -> Any:
    schema = schema_pb2.Schema()
    label = schema.feature.add(name="label", type=schema_pb2.BYTES)
    label.drift_comparator.infinity_norm.threshold = 0.01
    length = schema.feature.add(name="length", type=schema_pb2.FLOAT)
    length.drift_comparator.jensen_shannon_divergence.threshold = 0.01
    return schema
