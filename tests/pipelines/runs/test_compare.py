"""Runs side by side, of which one knows every difference."""

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from json_documents import document

from components.errors import UserError
from pipelines import console
from pipelines.cli import run_tables
from pipelines.runs import record
from pipelines.runs.compare import compare, differing
from pipelines.runs.history import Artifact, NodeRun, Run
from pipelines.runs.record import Machine, Record, Revision

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def make_run(
    root: Path, number: int, epochs: int, accuracy: float, train: str, commit: str, state: str = "complete"
) -> Run:
    run_id = f"2026-01-0{number}"
    folder = root / run_id
    folder.mkdir()
    metrics = {
        "blessing": {"metric": "accuracy"},
        "metrics": {"accuracy": accuracy, "f1": None, "by_class": [1.0]},
        "intervals": {"metric": [accuracy - 0.01, accuracy + 0.01], "difference": None},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "data_digests.json").write_text(json.dumps({"train.tsv": train, "dev.tsv": "d" * 64}))
    (folder / "counts.json").write_text(json.dumps({"train": 10 * number, "eval": 5}))
    fingerprint = json.dumps({"components/trainer/loop.py": "1" * 16, "keras": "3.12.4"})

    def node(name: str, seconds: float, key: str, kind: str, **properties: Any) -> NodeRun:
        artifact = Artifact(key, kind, str(folder), {}, 1)
        told = {"fingerprint": fingerprint, **properties}
        return NodeRun(name, state, MOMENT, seconds, (artifact,), (), told)

    nodes = (
        node("ExampleGen", 2.0, "examples", "Examples", input_base="/data"),
        node("Evaluator", 7.25, "evaluation", "ModelEvaluation"),
    )
    record.write(
        str(root),
        Record(
            run_id=run_id,
            name=f"run {number}",
            settings={
                "train": {"num_epochs": epochs, "seed": 0},
                **({"windowing": {"a": 1}} if number == 1 else {}),
            },
            changed=("train.num_epochs",),
            revisions={"millrace": Revision(root="/src", commit=commit, dirty=number == 2)},
            packages={"keras": "3.12.4", "numpy": f"1.2{number}"},
            python="3.10.1",
            machine=Machine(host="h", os="Linux", cpu="c", cpus=2 * number, memory_bytes=1 << 30),
        ),
    )
    return Run(run_id, number, "cola", state, MOMENT, 9.25, nodes, None, str(root))


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    return [
        make_run(tmp_path, 1, 3, 0.8, "a" * 64, "1" * 40),
        make_run(tmp_path, 2, 5, 0.85, "b" * 64, "2" * 40),
    ]


def test_what_differs_between_two_runs_is_told(runs: list[Run]) -> None:
    found = compare(runs)
    assert [run["short_id"] for run in found["runs"]] == ["cola-1", "cola-2"]
    # Of a section that one run does not have, it cannot be said.
    assert found["settings"] == {"train.num_epochs": (3, 5)}
    assert found["metrics"]["accuracy"]["values"] == [0.8, 0.85]
    assert found["metrics"]["accuracy"]["intervals"][1] == pytest.approx([0.84, 0.86])
    assert found["metrics"]["f1"] == {"values": [None, None], "intervals": [None, None]}
    assert "by_class" not in found["metrics"]
    assert found["data"] == {
        "counts": {"train": (10, 20)},
        "files": {"train.tsv": ("a" * 64, "b" * 64)},
    }
    assert found["code"] == {
        "revision of millrace": ("1111111111", "2222222222 and changes"),
        "numpy": ("1.21", "1.22"),
    }
    assert found["machine"] == {"cpus": (2, 4)}
    assert found["nodes"]["Evaluator"] == {"seconds": [7.25, 7.25], "states": ["complete", "complete"]}


def test_three_runs_have_three_values(runs: list[Run], tmp_path: Path) -> None:
    third = make_run(tmp_path, 3, 3, 0.9, "a" * 64, "1" * 40, state="cached")
    found = compare([*runs, third])
    assert found["settings"] == {"train.num_epochs": (3, 5, 3)}
    assert found["data"]["files"] == {"train.tsv": ("a" * 64, "b" * 64, "a" * 64)}


def test_a_run_that_ended_early_has_no_values(runs: list[Run]) -> None:
    early = runs[1]._replace(nodes=(), state="failed")
    found = compare([runs[0], early])
    assert found["metrics"]["accuracy"]["values"] == [0.8, None]
    assert found["nodes"]["Evaluator"] == {"seconds": [7.25, None], "states": ["complete", None]}
    assert found["data"]["dir"] == ("/data", None)


def test_one_run_is_nothing_to_compare(runs: list[Run]) -> None:
    with pytest.raises(UserError, match="compare: expected at least two runs, got 1"):
        compare(runs[:1])


def test_a_key_that_is_missing_differs_from_none() -> None:
    assert differing([{"a": 1, "b": None, "c": 2}, {"a": 1, "c": 3}]) == {"b": (None, None), "c": (2, 3)}
    assert differing([{}, {"a": None}]) == {"a": (None, None)}


def test_a_comparison_is_a_document_and_tables(runs: list[Run], capsys: pytest.CaptureFixture[str]) -> None:
    found = compare(runs)
    console.print_json(found)
    assert document("compared", capsys.readouterr().out)["settings"] == {"train.num_epochs": [3, 5]}
    run_tables.show_comparison(found)
    lines = capsys.readouterr().out.splitlines()
    for line in (
        "run\tcola-1\tcola-2",
        "name\trun 1\trun 2",
        "accuracy\t0.8000 (0.7900 to 0.8100)\t0.8500 (0.8400 to 0.8600)",
        "f1\t–\t–",
        "train.num_epochs\t3\t5",
        "examples of train\t10\t20",
        "train.tsv\taaaaaaaaaaaa\tbbbbbbbbbbbb",
        "cpus\t2\t4",
        "Evaluator\t7.2 s\t7.2 s",
    ):
        assert line in lines
    run_tables.show_comparison(compare([runs[0], runs[0]]))
    told = capsys.readouterr().out
    assert "settings   the same" in told
    assert "data       the same" in told


def test_settings_say_which_are_defaults(runs: list[Run], capsys: pytest.CaptureFixture[str]) -> None:
    run_tables.show_settings(record.read_record(runs[0]))
    assert capsys.readouterr().out.splitlines() == [
        "setting\tvalue\tis",
        "train.num_epochs\t3\t",
        "train.seed\t0\tdefault",
        "windowing.a\t1\tdefault",
    ]


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (5 * 10**15, "5000.0 TB")],
)
def test_sizes_are_read_by_people(count: int, told: str) -> None:
    assert run_tables.size(count) == told
