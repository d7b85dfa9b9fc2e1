"""What trainings leave to go on from: found by content, swept when nobody comes back."""

import os
import time
from pathlib import Path

import pytest

from components.export.origin import Origin
from components.trainer import unfinished

DAY_S = 24 * 3600
ORIGIN = Origin(
    data={"train.tsv": "a1"}, settings={"train": {"seed": 0}}, files={}, code={"components/trainer": "b2"}
)


def test_a_name_follows_the_content() -> None:
    name = unfinished.name_of(ORIGIN)
    assert unfinished.name_of(Origin(**ORIGIN.model_dump())) == name
    for change in (
        {"data": {"train.tsv": "a2"}},
        {"settings": {"train": {"seed": 1}}},
        {"files": {"model/vocab.txt": "c3"}},
        {"code": {"components/trainer": "b3"}},
    ):
        assert unfinished.name_of(ORIGIN.model_copy(update=change)) != name


def write(folder: Path, age_days: float, name: str = "checkpoints/ckpt-1.index") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("weights")
    written = time.time() - age_days * DAY_S
    os.utime(file, (written, written))
    return folder


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_is_removed_a_week_after_its_newest_file(tmp_path: Path, scheme: str) -> None:
    old, own = write(tmp_path / "old", 7.1), write(tmp_path / "own", 30)
    recent = write(write(tmp_path / "recent", 30), 6.9, "seed-1/checkpoints/checkpoint")
    empty = tmp_path / "empty"
    empty.mkdir()
    unfinished.sweep(f"{scheme}{tmp_path}", "own")
    assert not old.exists()
    assert all(folder.exists() for folder in (own, recent, empty))


def test_a_folder_that_does_not_exist_has_nothing_to_sweep(tmp_path: Path) -> None:
    unfinished.sweep(str(tmp_path / "nowhere"), "own")
