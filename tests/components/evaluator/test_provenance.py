"""How a model was made, from what its SavedModel says."""

import json
from pathlib import Path

from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from components.evaluator.provenance import sections
from components.export.origin import ORIGIN_FILE, STATISTICS_FILE, Origin
from components.export.results import write_results

ORIGIN = Origin(
    data={"train.tsv": "a" * 64, "<b>.tsv": "b" * 64},
    settings={"train": {"num_epochs": 3, "schedule": "<i>"}},
    files={},
    code={"components/trainer/loop.py": "1" * 16, "keras": "3.12.4"},
)
CURVES = {
    "train": {"loss": [[1, 2.0], [2, 1.0]], "learning_rate": [[1, 0.1], [2, 0.1]]},
    "eval": {"loss": [[2, 1.5]], "accuracy": [[2, 0.5]]},
}


def write_model(folder: Path) -> str:
    (folder / ORIGIN_FILE).parent.mkdir(parents=True)
    (folder / ORIGIN_FILE).write_bytes(ORIGIN.to_bytes())
    write_results({"curves": CURVES, "num_steps": 1400, "kept_step": 700}, str(folder))
    return str(folder)


def test_a_report_tells_how_the_model_was_made(tmp_path: Path) -> None:
    told = {
        section.title: section.html for section in sections(write_model(tmp_path), {"train": 8551, "eval": 3})
    }
    assert list(told) == ["Learning curves", "Data", "Settings", "Code"]
    assert told["Learning curves"].count("<svg") == 3
    assert "accuracy" in told["Learning curves"]
    assert "Examples: 8,551 in train, 3 in eval." in told["Data"]
    assert "<td>train.tsv</td><td>aaaaaaaaaaaa</td>" in told["Data"]
    assert "Weights of step 700 of 1,400." in told["Settings"]
    assert "<td>train.num_epochs</td><td>3</td>" in told["Settings"]
    assert "1 source files" in told["Code"]
    assert "<td>keras</td><td>3.12.4</td>" in told["Code"]
    assert not any("<b>" in html or "<i>" in html for html in told.values())


def write_statistics(folder: Path, label: str, count: int) -> None:
    found = DatasetFeatureStatisticsList()
    feature = found.datasets.add().features.add(type="INT", name="label")
    feature.string_stats.common_stats.num_non_missing, feature.string_stats.unique = 40, 2
    for value, times in ((label, count), ("9", 40 - count)):
        feature.string_stats.top_values.add(value=value, frequency=times)
        feature.string_stats.rank_histogram.buckets.add(label=value, sample_count=times)
    (folder / STATISTICS_FILE).parent.mkdir(parents=True, exist_ok=True)
    (folder / STATISTICS_FILE).write_bytes(found.SerializeToString())


def test_a_report_tells_what_the_training_data_are_like(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    write_statistics(tmp_path, "1", 30)
    (data,) = (each for each in sections(folder, {}, {"label": ("no", "<yes>")}) if each.title == "Data")
    assert "<td>label</td><td>40</td><td>0</td>" in data.html
    assert "2 values, most often &lt;yes&gt; (30), 9 (10)" in data.html
    assert data.html.count("<svg") == 1
    assert "last blessed model" not in data.html


def test_a_report_holds_the_data_against_the_last_blessed_models(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "now")
    write_statistics(tmp_path / "now", "1", 30)
    write_statistics(tmp_path / "before", "1", 20)
    found = sections(folder, {}, {}, str(tmp_path / "before"))
    (data,) = (each for each in found if each.title == "Data")
    # 20 of 40 became 30 of 40.
    assert "<td>label</td><td>L-infinity distance</td><td>0.250</td><td>1</td>" in data.html


def test_a_model_that_says_nothing_has_no_such_sections(tmp_path: Path) -> None:
    assert list(sections(str(tmp_path), {})) == []
    write_results({"num_steps": 3}, str(tmp_path))
    assert list(sections(str(tmp_path), {})) == []


def test_curves_alone_are_enough_for_curves(tmp_path: Path) -> None:
    write_results(json.loads(json.dumps({"curves": {"train": {"loss": [[1, 2.0]]}}})), str(tmp_path))
    (section,) = sections(str(tmp_path), {})
    assert section.html.count("<svg") == 1
