"""How results look on the terminal."""

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from components.protocols import Surveyed
from components.registry.registry import PublishedVersion
from pipelines.cli import tables


@pytest.fixture
def in_india(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XXX-5:30")
    time.tzset()
    yield
    monkeypatch.delenv("TZ")
    time.tzset()


@pytest.mark.usefixtures("in_india")
def test_times_are_local_on_screen_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    moment = datetime(2026, 1, 2, 23, 4, 5, tzinfo=timezone.utc)
    assert tables.local_time(moment) == "2026-01-03 04:34:05+05:30"
    version = PublishedVersion(
        version=1, created=moment.isoformat(), digest="", files={}, path="/models/1",
        metrics={}, blessed=True, source={},
    )  # fmt: skip
    tables.show_models([version], [])
    assert "2026-01-03 04:34:05+05:30" in capsys.readouterr().out
    assert tables.version_json(version)["created"] == "2026-01-02T23:04:05+00:00"


@pytest.mark.parametrize(
    ("count", "told"), [(1, "1 prediction is in out\n"), (1200, "1,200 predictions are in out\n")]
)
def test_what_was_written_is_counted(capsys: pytest.CaptureFixture[str], count: int, told: str) -> None:
    tables.show_written(count, Path("out"), as_json=False)
    assert capsys.readouterr().out == told


def test_what_looks_wrong_of_raw_data_is_told_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show_surveyed(
        [
            Surveyed("volume-0", {}, {"shape>": "5×8×10", "axes": "RAS"}),
            Surveyed("volume-1", {}, {}, ("volume-1.nii: cannot be read",)),
        ]
    )
    assert capsys.readouterr().out.splitlines() == [
        "case\tshape\taxes",
        "volume-0\t5×8×10\tRAS",
        "volume-1\t\t",
        "volume-1: volume-1.nii: cannot be read",
        "cases      2, of which 1 looks wrong",
    ]
