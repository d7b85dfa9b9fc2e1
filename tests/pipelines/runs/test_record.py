"""What a run writes down of what made it."""

import json
from datetime import datetime, timezone
from pathlib import Path

from pipelines.runs import record
from pipelines.runs.history import NodeRun, Run
from pipelines.runs.record import Machine, Record, Revision, read_record

RECORD = Record(
    run_id="2026-01-02T03:04:05.000006",
    name="long <one>",
    tags=("night", "ü"),
    command=("millrace", "run", "mnist"),
    given={"train": {"num_epochs": 3}},
    settings={"train": {"num_epochs": 3, "seed": 0}},
    changed=("train.num_epochs",),
    data_dir="/data",
    revisions={"millrace": Revision(root="/src", commit="a" * 40, dirty=True)},
    packages={"keras": "3.12.4"},
    python="3.10.1",
    machine=Machine(host="h", os="Linux", cpu="c", cpus=2, memory_bytes=1 << 30, accelerators=("GPU",)),
    log="/root/logs/x.log",
)


def run_of(root: Path, run_id: str = RECORD.run_id, nodes: tuple[NodeRun, ...] = ()) -> Run:
    moment = datetime(2026, 1, 2, tzinfo=timezone.utc)
    return Run(run_id, 1, "mnist", "complete", moment, 1.0, nodes, None, str(root))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record.write(str(tmp_path), RECORD)
    assert read_record(run_of(tmp_path)) == RECORD
    assert list(record.all_records(str(tmp_path))) == [RECORD]
    # Nothing half-written beside it.
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [f"{RECORD.run_id}.json"]
    assert json.loads(json.dumps(RECORD.to_json()))["machine"]["accelerators"] == ["GPU"]


def test_a_run_without_a_record_has_what_its_nodes_were_told(tmp_path: Path) -> None:
    properties = {"custom_config": json.dumps({"settings": {"train": {"num_epochs": 2}}})}
    moment = datetime(2026, 1, 2, tzinfo=timezone.utc)
    trainer = NodeRun("Trainer", "complete", moment, 1.0, (), (), properties)
    told = read_record(run_of(tmp_path, "2026-01-01", (trainer,)))
    assert (told.settings, told.name, told.machine) == ({"train": {"num_epochs": 2}}, None, None)


def test_a_broken_record_is_like_none_and_a_later_one_is_read(tmp_path: Path) -> None:
    record.write(str(tmp_path), RECORD)
    path = tmp_path / "runs" / f"{RECORD.run_id}.json"
    whole = path.read_bytes()
    for broken in (b"", whole[:-9], b"[]", b"\xff"):
        path.write_bytes(broken)
        assert read_record(run_of(tmp_path)).name is None
    path.write_text(json.dumps({**json.loads(whole), "of_a_later_version": 1}))
    assert read_record(run_of(tmp_path)) == RECORD


def test_a_run_that_was_removed_is_known_as_such(tmp_path: Path) -> None:
    record.write(str(tmp_path), RECORD)
    assert not record.is_removed(str(tmp_path), RECORD.run_id)
    record.remove(str(tmp_path), RECORD.run_id)
    assert record.is_removed(str(tmp_path), RECORD.run_id)
    assert list(record.all_records(str(tmp_path))) == []
    # Killed between the two, and done again.
    record.remove(str(tmp_path), RECORD.run_id)


def test_an_id_is_no_path(tmp_path: Path) -> None:
    assert record.read(str(tmp_path / "root"), "../../etc/passwd") is None
    record.write(str(tmp_path / "root"), RECORD.model_copy(update={"run_id": "../../x"}))
    assert (tmp_path / "root/runs/x.json").is_file()
