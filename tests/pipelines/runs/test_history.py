"""Reads what TFX itself writes: a tiny DAG, run for real."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from tiny_dag import run_tiny

from components.errors import UserError
from pipelines.runs import history, lock, record
from pipelines.runs.history import Artifact, HistoryError, Run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five runs: published, the same again, another task's, not blessed, failed."""
    root = tmp_path_factory.mktemp("root")
    run_tiny(root, "mnist", 0.95)
    run_tiny(root, "mnist", 0.95)
    run_tiny(root, "other", 0.95)
    run_tiny(root, "mnist", 0.5)
    with pytest.raises(ValueError, match="too good"):
        run_tiny(root, "mnist", 1.5)
    return root


@pytest.fixture(scope="module")
def runs(root: Path) -> tuple[Run, ...]:
    return history.read_runs(str(root))


def test_runs_are_listed_newest_first_with_their_states(runs: tuple[Run, ...]) -> None:
    assert [(run.task, run.state) for run in runs] == [
        ("mnist", "failed"),
        ("mnist", "complete"),
        ("other", "complete"),
        ("mnist", "cached"),
        ("mnist", "complete"),
    ]
    assert [run.started for run in runs] == sorted((run.started for run in runs), reverse=True)
    assert all(0 < run.seconds < 60 for run in runs)


def test_a_run_has_a_short_id_that_stays(root: Path, runs: tuple[Run, ...]) -> None:
    short = ["mnist-5", "mnist-4", "other-3", "mnist-2", "mnist-1"]
    assert [run.short_id for run in runs] == short
    assert [run.short_id for run in history.read_runs(str(root), "mnist", limit=2)] == short[:2]
    assert [history.find_run(str(root), name) for name in short] == list(runs)
    with pytest.raises(
        HistoryError, match="unknown run 'mnist-3'; the newest are: mnist-5, mnist-4, other-3"
    ):
        history.find_run(str(root), "mnist-3")


def test_runs_of_one_task_are_found(root: Path) -> None:
    assert {run.task for run in history.read_runs(str(root), "other")} == {"other"}


def test_nodes_have_states_in_the_order_of_the_dag(runs: tuple[Run, ...]) -> None:
    failed, not_blessed, _, cached, first = ([(n.node, n.state) for n in run.nodes] for run in runs)
    assert first == [("Trainer", "complete"), ("Evaluator", "complete"), ("Pusher", "complete")]
    assert cached == [("Trainer", "cached"), ("Evaluator", "cached"), ("Pusher", "cached")]
    # Nothing was pushed.
    assert not_blessed == [("Trainer", "cached"), ("Evaluator", "complete"), ("Pusher", "skipped")]
    assert failed == [("Trainer", "cached"), ("Evaluator", "failed")]


def test_results_are_read_also_where_executions_were_reused(runs: tuple[Run, ...]) -> None:
    failed, not_blessed, _, cached, first = runs
    for run in (first, cached):
        assert run.evaluation is not None
        assert run.evaluation.metrics == {"accuracy": 0.95, "by_class": [1.0]}
        assert run.published_version == 7
    assert not_blessed.evaluation is not None
    assert not_blessed.evaluation.reasons == ("accuracy 0.5 is below 0.9",)
    assert not_blessed.published_version is None
    assert failed.evaluation is None


def test_artifacts_say_where_they_are(runs: tuple[Run, ...]) -> None:
    model = runs[-1].artifact("Model")
    assert model is not None
    assert model.key == "model"
    assert Path(model.uri, "weights").read_text() == "0"


def test_models_that_were_not_blessed_are_found(root: Path, runs: tuple[Run, ...]) -> None:
    assert history.refused_models(str(root), "mnist") == (runs[1],)
    assert history.refused_models(str(root), "other") == ()


def test_a_run_is_json(runs: tuple[Run, ...]) -> None:
    value = json.loads(json.dumps(runs[-1].to_json()))
    assert value["run_id"] == runs[-1].run_id
    assert value["evaluation"]["metrics"]["accuracy"] == 0.95
    assert value["nodes"][2]["artifacts"][0]["properties"]["pushed_version"] == 7


def test_a_run_is_found_by_its_id_a_unique_beginning_or_as_the_latest(
    root: Path, runs: tuple[Run, ...]
) -> None:
    assert history.find_run(str(root), runs[2].run_id) == runs[2]
    assert history.find_run(str(root), runs[2].run_id[:-1]) == runs[2]
    assert history.find_run(str(root), "latest") == runs[0]


def test_an_unknown_or_ambiguous_id_lists_runs(root: Path) -> None:
    with pytest.raises(HistoryError, match="unknown run 'x'; the newest are: mnist-5, mnist-4, "):
        history.find_run(str(root), "x")
    with pytest.raises(HistoryError, match="ambiguous run '2'; it may be: "):
        history.find_run(str(root), "2")


def _set_last_state(root: Path, copy: Path, state: int) -> None:
    """Copies the history and gives its last execution a state of ML Metadata."""
    with sqlite3.connect(root / history.METADATA_FILE) as old, sqlite3.connect(copy) as new:
        old.backup(new)
        last = "SELECT MAX(id) FROM Execution"
        new.execute(f"UPDATE Execution SET last_known_state = ? WHERE id = ({last})", (state,))


def test_a_run_that_was_killed_is_told_from_one_that_goes_on(root: Path, tmp_path: Path) -> None:
    _set_last_state(root, tmp_path / history.METADATA_FILE, state=2)
    assert history.read_runs(str(tmp_path))[0].state == "interrupted"
    assert history.read_runs(str(tmp_path))[0].nodes[-1].state == "interrupted"
    with lock.held(str(tmp_path)):
        newest, *older = history.read_runs(str(tmp_path))
    assert (newest.state, newest.nodes[-1].state) == ("running", "running")
    assert "running" not in {run.state for run in older}


def test_reading_waits_for_no_writer_and_changes_nothing(root: Path) -> None:
    database = root / history.METADATA_FILE
    before = database.read_bytes()
    with sqlite3.connect(database) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert len(history.read_runs(str(root))) == 5
        writer.rollback()
    assert database.read_bytes() == before


_HOLD = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def test_reading_waits_for_one_who_keeps_the_whole_database(root: Path) -> None:
    # Longer than ML Metadata itself waits, which then takes the database for a broken one.
    command = [sys.executable, "-c", _HOLD, str(root / history.METADATA_FILE), "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        assert len(history.read_runs(str(root))) == 5
        assert writer.wait() == 0


def test_a_run_starts_while_others_look(tmp_path: Path) -> None:
    """Whoever looked by taking the lock, however shortly, would keep some of so many from starting."""
    command = f"from pipelines.runs import lock\nwhile True: lock.is_held({str(tmp_path)!r})"
    with lock.held(str(tmp_path)):
        assert lock.is_held(str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", command]) as reader:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            with lock.held(str(tmp_path)):
                pass
        assert reader.poll() is None
        reader.kill()
    assert not lock.is_held(str(tmp_path))


def test_a_second_run_is_refused(tmp_path: Path) -> None:
    message = "another run is using this pipeline root"
    with lock.held(str(tmp_path)), pytest.raises(UserError, match=message), lock.held(str(tmp_path)):
        raise AssertionError


def test_ended_runs_are_the_same_from_call_to_call(root: Path) -> None:
    first, second = (json.dumps([run.to_json() for run in history.read_runs(str(root))]) for _ in range(2))
    assert first == second
    assert all(run.started.utcoffset() == timedelta(0) for run in history.read_runs(str(root)))


def test_only_so_many_runs_are_read(root: Path, runs: tuple[Run, ...]) -> None:
    assert history.read_runs(str(root), limit=2) == runs[:2]
    assert history.read_runs(str(root), "mnist", limit=2) == (runs[0], runs[1])


def test_a_run_tells_its_settings_and_its_data(root: Path, tmp_path: Path) -> None:
    (tmp_path / "data_digests.json").write_text('{"a.tsv": "12"}')
    examples = Artifact("examples", "Examples", str(tmp_path), {}, 1)
    config = json.dumps({"task": "mnist", "settings": {"train": {"seed": 1}}})
    judged = json.dumps({"task": "mnist", "blessing": {"threshold": 0.5}})
    (run,) = history.read_runs(str(root), limit=1)
    nodes = [
        run.nodes[0]._replace(node="ExampleGen", artifacts=(examples,), properties={"input_base": "/data"}),
        run.nodes[0]._replace(properties={"custom_config": config}),
        run.nodes[1]._replace(properties={"settings": judged}),
    ]
    value = run._replace(nodes=tuple(nodes)).to_json()
    assert value["data"] == {"dir": "/data", "digests": {"a.tsv": "12"}, "counts": None}
    (tmp_path / "counts.json").write_text('{"train": 3, "eval": 1}')
    assert run._replace(nodes=tuple(nodes)).data["counts"] == {"train": 3, "eval": 1}
    assert value["settings"] == {"train": {"seed": 1}, "blessing": {"threshold": 0.5}}


def test_where_a_task_has_no_runs_those_that_have_some_are_named(root: Path, tmp_path: Path) -> None:
    assert history.no_runs(str(root), "cola") == (
        f"{root}: no runs of 'cola', but of mnist, other; `millrace run cola --data DIR` makes one"
    )
    assert "no runs yet" in history.no_runs(str(tmp_path), "cola")


def test_a_root_without_a_database_has_no_runs(tmp_path: Path) -> None:
    assert history.read_runs(str(tmp_path)) == ()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(HistoryError, match=r"no runs yet; `millrace run TASK --data DIR`"):
        history.find_run(str(tmp_path), "latest")


def test_an_empty_database_has_no_runs(tmp_path: Path) -> None:
    (tmp_path / history.METADATA_FILE).touch()
    assert history.read_runs(str(tmp_path)) == ()


def test_a_database_of_another_version_is_told_with_what_to_do(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / history.METADATA_FILE
    with sqlite3.connect(root / history.METADATA_FILE) as old, sqlite3.connect(copy) as new:
        old.backup(new)
        new.execute("UPDATE MLMDEnv SET schema_version = 7")
    with pytest.raises(HistoryError) as caught:
        history.read_runs(str(tmp_path))
    assert re.fullmatch(
        r".*: expected a database of ML Metadata, got: MLMD database version 7 is older than library "
        r"version \d+; another --pipeline-root begins a new history",
        str(caught.value),
    )


def test_another_file_is_not_taken_for_a_database(tmp_path: Path) -> None:
    (tmp_path / history.METADATA_FILE).write_text("something else, and long enough to be a header\n" * 9)
    with pytest.raises(HistoryError, match=r"metadata\.sqlite: expected a database of ML Metadata, got: "):
        history.read_runs(str(tmp_path))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"blessed": true}'])
def test_an_evaluation_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    assert history.read_evaluation(str(tmp_path)) is None
    assert history.read_evaluation(str(tmp_path / "nowhere")) is None


def test_a_run_goes_on_from_the_last_one_that_is_still_there(tmp_path: Path) -> None:
    for seed in (1, 2):
        run_tiny(tmp_path, "mnist", accuracy=0.95, seed=seed)
    first, second = reversed(history.read_runs(str(tmp_path)))
    assert history.base_run(str(tmp_path), "mnist", "Evaluator").run_id == second.run_id
    record.remove(str(tmp_path), second.run_id)
    assert history.base_run(str(tmp_path), "mnist", "Evaluator").run_id == first.run_id
    shutil.rmtree(first.artifact("Model").uri)  # type: ignore[union-attr]
    with pytest.raises(
        HistoryError, match="--from Evaluator: the outputs of Trainer in mnist-1, the last run"
    ):
        history.base_run(str(tmp_path), "mnist", "Evaluator")
    # What begins with it makes it anew.
    assert history.base_run(str(tmp_path), "mnist", "Trainer").run_id == first.run_id
    with pytest.raises(HistoryError, match="expected an earlier run of cola to go on from, got none"):
        history.base_run(str(tmp_path), "cola", "Evaluator")
