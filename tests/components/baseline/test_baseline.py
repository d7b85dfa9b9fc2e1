"""Which version a candidate is compared with: read from a real registry, copied for real."""

import logging
import shutil
from pathlib import Path

import absl.logging
import pytest
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.types import standard_artifacts

from components.baseline.component import LatestBlessedModel
from components.baseline.executor import Driver, Executor
from components.registry import registry


def export(folder: Path, what: str) -> Path:
    serving = folder / "Format-Serving"
    (serving / "assets.extra").mkdir(parents=True)
    (serving / "saved_model.pb").write_text(what)
    (serving / "assets.extra/origin.json").write_text(f"made of {what}")
    return serving


def publish(tmp_path: Path, *names: str) -> None:
    for name in names:
        folder = export(tmp_path / f"model {name}", name)
        registry.publish(str(folder), str(tmp_path / "base"), "mnist", metrics={}, source={}, keep_versions=9)


def compared_with(tmp_path: Path, candidate: str) -> str | None:
    """Returns what the baseline of a candidate is made of; None: there is none."""
    model, found = standard_artifacts.Model(), standard_artifacts.Model()
    model.uri, found.uri = str(tmp_path / f"candidate {candidate}"), str(tmp_path / "found")
    for folder in (model.uri, found.uri):
        shutil.rmtree(folder, ignore_errors=True)
    export(Path(model.uri), candidate)
    properties = {"base_dir": str(tmp_path / "base"), "model_name": "mnist"}
    execution = ExecutionInfo(input_dict={"candidate": [model]}, exec_properties=properties)
    key = Driver(None).run(execution).exec_properties["found"].string_value
    outputs = {"model": [found]}
    Executor().Do({"candidate": [model]}, outputs, properties)
    assert bool(key) == bool(outputs["model"])
    if not outputs["model"]:
        return None
    version = registry.verify(found.get_string_custom_property("source_uri"))
    assert (version.digest, version.version) == (key, found.get_int_custom_property("version"))
    return Path(found.uri, "Format-Serving/saved_model.pb").read_text()


def test_before_the_first_version_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    assert compared_with(tmp_path, "a") is None
    assert not (tmp_path / "base").exists()


def test_a_candidate_is_compared_with_the_newest_version_but_not_with_itself(tmp_path: Path) -> None:
    publish(tmp_path, "a")
    assert compared_with(tmp_path, "a") is None
    assert compared_with(tmp_path, "b") == "a"
    publish(tmp_path, "b")
    assert compared_with(tmp_path, "b") == "a"
    assert compared_with(tmp_path, "a") == "b"
    assert compared_with(tmp_path, "c") == "b"


def test_what_was_rolled_back_is_no_baseline(tmp_path: Path) -> None:
    publish(tmp_path, "a", "b")
    registry.rollback(str(tmp_path / "base"), "mnist")
    assert compared_with(tmp_path, "c") == "a"
    assert compared_with(tmp_path, "a") is None


def test_a_version_whose_files_are_gone_is_a_warning_and_the_one_before_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "a", "b")
    file = tmp_path / "base/mnist/2/assets.extra/origin.json"
    file.unlink()
    found = standard_artifacts.Model()
    found.uri = str(tmp_path / "found")
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "candidate")
    export(tmp_path / "candidate", "c")
    properties = {"base_dir": str(tmp_path / "base"), "model_name": "mnist"}
    absl.logging.get_absl_logger().addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING):
        Executor().Do({"candidate": [model]}, {"model": [found]}, properties)
    absl.logging.get_absl_logger().removeHandler(caplog.handler)
    assert found.get_int_custom_property("version") == 1
    assert "version 2 is no baseline: " in caplog.text
    assert Path(found.uri, "Format-Serving/saved_model.pb").read_text() == "a"


def test_the_component_takes_a_candidate_and_gives_a_model() -> None:
    candidate = standard_artifacts.Model
    from tfx.types import Channel

    node = LatestBlessedModel(Channel(type=candidate), "/models", "mnist")
    assert set(node.inputs) == {"candidate"}
    assert node.outputs["model"].type is standard_artifacts.Model
    assert node.exec_properties == {"base_dir": "/models", "model_name": "mnist"}
