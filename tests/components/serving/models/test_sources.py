from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from components.serving.errors import ServingError
from components.serving.models.sources import aspired_versions


@pytest.fixture
def base_path(tmp_path: Path) -> Path:
    """Versions 1, 2, 10 and 123; whatever else may lie there."""
    for name in ("1", "2", "10", "00000123", ".push-11", "12x", "-3", "x", "9" * 30):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    (tmp_path / "200").mkdir()  # still being written
    (tmp_path / "300").touch()
    return tmp_path


def versions(base_path: Path, **policy: object) -> dict[int, str]:
    return aspired_versions(ModelConfig(name="m", base_path=str(base_path), model_version_policy=policy))


def test_the_latest_complete_version_is_served(base_path: Path) -> None:
    assert versions(base_path) == {123: f"{base_path}/00000123"}
    assert list(versions(base_path, latest={"num_versions": 2})) == [123, 10]


def test_all_or_specific_versions_are_served_if_they_are_there(base_path: Path) -> None:
    assert sorted(versions(base_path, all={})) == [1, 2, 10, 123]
    assert sorted(versions(base_path, specific={"versions": [2, 5, 10, 200]})) == [2, 10]


def test_a_text_saved_model_is_one_too(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1/saved_model.pbtxt").touch()
    assert versions(tmp_path) == {1: f"{tmp_path}/1"}


def test_of_two_names_of_a_version_the_first_counts(tmp_path: Path) -> None:
    for name in ("1", "001"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert versions(tmp_path) == {1: f"{tmp_path}/001"}


def test_an_empty_folder_has_no_version_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    assert versions(tmp_path) == {}
    with pytest.raises(ServingError, match=f"Could not find base path {tmp_path}/x for servable m") as caught:
        versions(tmp_path / "x")
    assert caught.value.code == grpc.StatusCode.NOT_FOUND


def test_names_that_are_not_utf_8_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1/saved_model.pb").touch()
    Path(bytes(tmp_path).decode() + "/\udcff").mkdir()
    assert list(versions(tmp_path)) == [1]
