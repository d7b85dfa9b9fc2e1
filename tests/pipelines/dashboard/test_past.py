"""The history is read where it changed, and no more of it than that."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_history import MadeRun, write_runs

from pipelines.dag import nodes
from pipelines.dashboard.past import Past
from pipelines.runs import history, lock, record


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """What was read, in order: so many runs, None for all."""
    found: list[int | None] = []
    read = history.read_runs

    def counted(root: str, task: str | None = None, limit: int | None = None) -> tuple[history.Run, ...]:
        found.append(limit)
        return read(root, task, limit)

    monkeypatch.setattr(history, "read_runs", counted)
    return found


def names(past: Past) -> list[str]:
    return [f"{run.short_id} {run.state}" for run in past.runs()]


def test_what_did_not_change_is_not_read_again(tmp_path: Path, limits: list[int | None]) -> None:
    write_runs(tmp_path, [MadeRun("mnist", "a"), MadeRun("mnist", "b")])
    past = Past(str(tmp_path))
    assert names(past) == names(past) == ["mnist-2 complete", "mnist-1 complete"]
    assert limits == [None]


def test_while_a_run_goes_on_only_the_newest_are_read(tmp_path: Path, limits: list[int | None]) -> None:
    write_runs(tmp_path, [MadeRun("mnist", name) for name in "abc"])
    past = Past(str(tmp_path))
    past.runs()
    with lock.held(str(tmp_path)):
        write_runs(tmp_path, [MadeRun("mnist", "d", until=nodes.TRAINER, ends="RUNNING")])
        assert names(past) == ["mnist-4 running", "mnist-3 complete", "mnist-2 complete", "mnist-1 complete"]
    # Its process ended without a word.
    assert names(past)[0] == "mnist-4 interrupted"
    assert limits == [None, 2, 2]
    assert names(past) == [f"{run.short_id} {run.state}" for run in history.read_runs(str(tmp_path))]


def test_all_is_read_where_more_than_a_run_has_come(tmp_path: Path) -> None:
    write_runs(tmp_path, [MadeRun("mnist", "a")])
    past = Past(str(tmp_path))
    past.runs()
    with lock.held(str(tmp_path)):
        write_runs(tmp_path, [MadeRun("mnist", name) for name in "bcd"])
        assert [run.run_id for run in past.runs()] == ["d", "c", "b", "a"]


def test_a_run_that_is_removed_is_gone(tmp_path: Path) -> None:
    write_runs(tmp_path, [MadeRun("mnist", name) for name in "abc"])
    past = Past(str(tmp_path))
    past.runs()
    record.remove(str(tmp_path), "b")
    assert [run.run_id for run in past.runs()] == ["c", "a"]


def test_a_run_is_found_by_its_ids_and_its_name(tmp_path: Path) -> None:
    made = [
        MadeRun("mnist", name, record={"name": called})
        for name, called in (("a", "x"), ("b", "x"), ("c", "a"))
    ]
    write_runs(tmp_path, made)
    past = Past(str(tmp_path))
    found = [run.run_id if (run := past.find(name)) else None for name in ("mnist-1", "c", "x", "a", "y")]
    # Of a name that several have, the newest; what is an id is no name.
    assert found == ["a", "c", "b", "a", None]


def test_a_history_that_begins_is_found(tmp_path: Path) -> None:
    past = Past(str(tmp_path))
    assert past.runs() == ()
    before = past.stamp()
    write_runs(tmp_path, [MadeRun("mnist", "a")])
    assert past.stamp() != before
    assert names(past) == ["mnist-1 complete"]
