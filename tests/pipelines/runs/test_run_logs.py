"""What everybody said during a run."""

from datetime import datetime, timezone
from pathlib import Path

import pytest

from components.errors import UserError
from pipelines.runs import record
from pipelines.runs.history import Run
from pipelines.runs.logs import LOCAL_ID, log_file, read_log
from pipelines.runs.record import Record

LOG = """\
2026-01-02 INFO absl: Using deployment config
2026-01-02 INFO absl: Component ExampleGen is running.
2026-01-02 INFO absl: Going to run a new execution 1
2026-01-02 INFO absl: Component ExampleGen is finished.
2026-01-02 INFO absl: Component Trainer is running.
loss 0.5
2026-01-02 ERROR root: failed
"""


def make_run(root: Path) -> Run:
    return Run(
        "id",
        1,
        "mnist",
        "failed",
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
        1.0,
        (),
        None,
        str(root),
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    path = tmp_path / "logs/x.log"
    path.parent.mkdir()
    path.write_text(LOG)
    record.write(str(tmp_path), Record(run_id="id", log=str(path)))
    return make_run(tmp_path)


def test_the_log_of_a_run_is_read_whole_or_by_node(run: Run) -> None:
    assert read_log(run) == LOG
    assert read_log(run, "ExampleGen").splitlines()[1:] == [
        "2026-01-02 INFO absl: Going to run a new execution 1",
        "2026-01-02 INFO absl: Component ExampleGen is finished.",
    ]
    # A node that failed is never finished.
    assert read_log(run, "Trainer").splitlines()[1:] == ["loss 0.5", "2026-01-02 ERROR root: failed"]


def test_a_node_that_did_not_run_has_no_log(run: Run) -> None:
    with pytest.raises(UserError, match=r"mnist-1: Pusher did not run; .*x\.log has the whole log"):
        read_log(run, "Pusher")


def test_a_log_that_is_gone_is_told(run: Run) -> None:
    log_file(run).unlink()  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"mnist-1: expected a log, got none at .*x\.log"):
        read_log(run)


def test_a_run_that_did_not_say_which_log_is_its_has_the_one_that_began_before_it(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert log_file(run) is None
    (tmp_path / "logs").mkdir()
    for name in ("2026-01-01T00-00-00Z", "2026-01-02T03-04-01Z", "2026-01-02T03-05-00Z"):
        (tmp_path / f"logs/{name}.log").touch()
    assert log_file(run) == tmp_path / "logs/2026-01-02T03-04-01Z.log"


@pytest.mark.parametrize(
    ("run_id", "is_local"),
    [
        ("latest", True), ("mnist-3", True), ("my_task2-12", True), ("2026-01-02T03:04:05.000006", True),
        ("4242", False), ("0d4bd1bc-8b56-4a9d-a2c1-7a3ec0ff8cb1", False), ("mnist-tpqkg", False),
    ],
)  # fmt: skip
def test_ids_of_a_cluster_are_told_from_those_of_runs_here(run_id: str, is_local: bool) -> None:
    assert bool(LOCAL_ID.fullmatch(run_id)) == is_local
