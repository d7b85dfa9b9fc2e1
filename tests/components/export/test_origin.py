from pathlib import Path

from tensorflow_metadata.proto.v0 import statistics_pb2

from components.export.origin import ORIGIN_FILE, STATISTICS_FILE, Origin, write_origin

ORIGIN = Origin(
    data={"train.tsv": "ab"}, settings={"train": {"layers": (1, 2), "seed": None}}, files={}, code={}
)


def statistics(*names: str) -> bytes:
    parsed = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = parsed.datasets.add(num_examples=3)
    for name in names:
        feature = dataset.features.add()
        feature.path.step.append(name)
        feature.string_stats.top_values.add(value=f"a value of {name}", frequency=3)
    return bytes(parsed.SerializeToString())


def test_an_origin_reads_back_as_it_would_be_made_again(tmp_path: Path) -> None:
    write_origin(ORIGIN, statistics("label"), ["label"], str(tmp_path))
    read = Origin.model_validate_json((tmp_path / ORIGIN_FILE).read_bytes())
    assert read.data == ORIGIN.data
    # As JSON has it, and as `model_dump(mode="json")` makes settings.
    assert read.settings == {"train": {"layers": [1, 2], "seed": None}}


def test_only_the_wanted_features_are_kept(tmp_path: Path) -> None:
    write_origin(ORIGIN, statistics("text_a", "length", "label"), ["label", "length"], str(tmp_path))
    content = (tmp_path / STATISTICS_FILE).read_bytes()
    (dataset,) = statistics_pb2.DatasetFeatureStatisticsList.FromString(content).datasets
    assert dataset.num_examples == 3
    assert [feature.path.step[0] for feature in dataset.features] == ["label", "length"]
    assert b"a value of text_a" not in content


def test_equal_statistics_give_equal_files_in_whatever_order_they_come(tmp_path: Path) -> None:
    for folder, names in (("one", ["label", "length"]), ("two", ["length", "label"])):
        write_origin(ORIGIN, statistics(*names), names, str(tmp_path / folder))
    one, two = (
        [(tmp_path / folder / name).read_bytes() for name in (ORIGIN_FILE, STATISTICS_FILE)]
        for folder in ("one", "two")
    )
    assert one == two
