"""Models that were refused are remembered beside the versions, here and on an object store."""

import json
import logging
from pathlib import Path

import pytest

from components.registry import refusals, registry


def saved_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "saved_model.pb").write_text(folder.name)
    return folder


@pytest.fixture(params=["local", "ram"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "base") if request.param == "local" else f"ram://{tmp_path.name}"


def test_a_refusal_is_found_by_what_was_judged_and_what_judged_it(base: str) -> None:
    assert refusals.find(base, "mnist", "origin", "judge") is None
    made = refusals.remember(base, "mnist", "origin", "judge", "accuracy 0.5 is below 0.9")
    assert made.reason == "accuracy 0.5 is below 0.9"
    assert made.time.endswith("+00:00")
    assert refusals.find(base, "mnist", "origin", "judge") == made
    assert refusals.find(base, "mnist", "other", "judge") is None
    assert refusals.find(base, "mnist", "origin", "stricter judge") is None
    assert refusals.find(base, "cola", "origin", "judge") is None


def test_against_another_live_version_a_model_may_do_better(base: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        registry.publish(
            str(saved_model(tmp_path / name)), base, "mnist", metrics={}, source={}, keep_versions=5
        )
    refusals.remember(base, "mnist", "origin", "judge", "worse than the last one")
    assert refusals.find(base, "mnist", "origin", "judge") is not None
    registry.rollback(base, "mnist")
    assert refusals.find(base, "mnist", "origin", "judge") is None


def test_the_same_refusal_is_kept_once_and_the_oldest_are_forgotten(tmp_path: Path) -> None:
    base = str(tmp_path)
    for number in range(refusals.MOST + 1):
        refusals.remember(base, "mnist", str(number), "judge", "first")
    refusals.remember(base, "mnist", "5", "judge", "again")
    kept = json.loads((tmp_path / "mnist/refused.json").read_text())
    assert len(kept) == refusals.MOST
    assert [kept[0]["origin"], kept[-1]["origin"], kept[-1]["reason"]] == ["1", "5", "again"]
    assert registry.versions(base, "mnist") == []


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff"])
def test_a_broken_file_is_a_warning_and_written_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    refusals.remember(str(tmp_path), "mnist", "origin", "judge", "reason")
    file = tmp_path / "mnist/refused.json"
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert refusals.find(str(tmp_path), "mnist", "origin", "judge") is None
    assert f"{file}: expected a list of refusals, got " in caplog.text
    refusals.remember(str(tmp_path), "mnist", "origin", "judge", "reason")
    assert refusals.find(str(tmp_path), "mnist", "origin", "judge") is not None
