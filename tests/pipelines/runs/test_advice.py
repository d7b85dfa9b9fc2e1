"""What a run is told before it starts, and what to try after its model was refused."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.dag.settings import RunConfig
from pipelines.datasets import catalog
from pipelines.runs import advice
from pipelines.runs.local import NodeReport, RunReport
from pipelines.tasks import TASKS

COMMAND = ["run", "cola", "--data", "my data", "--set", "train.num_epochs=3"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    catalog.make("cola", folder)
    return folder


def warning(data: Path, settings: dict[str, dict[str, Any]], task: str = "cola") -> str | None:
    return advice.before(TASKS[task].override(settings), str(data))


def test_random_weights_are_warned_of_on_data_that_was_not_made(made: Path, tmp_path: Path) -> None:
    assert warning(made, {}) is None
    real = shutil.copytree(made, tmp_path / "real")
    for file in real.iterdir():
        file.write_text(file.read_text().replace("teacher", "cooper"))
    assert warning(real, {}) == (
        "cola: a small network that starts from random weights will hardly reach matthews_corrcoef 0.25 "
        "on real data, and be refused; --set model.init_checkpoint=DIR starts from trained ones"
    )
    # A folder that is missing is refused elsewhere.
    assert "will hardly reach accuracy 0.75" in str(warning(tmp_path / "none", {}, "mrpc"))
    assert warning(real, {"blessing": {"threshold": 0.0}}) is None
    assert warning(real, {}, "mnist") is None


def test_made_data_of_each_version_are_known(tmp_path: Path) -> None:
    assert "will hardly reach f1 0.6" in str(warning(tmp_path, {}, "squad"))
    catalog.make("squad-v2.0", tmp_path)
    assert warning(tmp_path, {}, "squad") is None


def report(tmp_path: Path, **results: Any) -> RunReport:
    content = {"blessed": False, "reasons": ["too low"], "metrics": {"accuracy": 0.5}}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    nothing = dict.fromkeys(RunReport._fields, None)
    given = {"run_id": "r", "nodes": (), "evaluation_dir": str(tmp_path), "model_dir": "/m", **results}
    return RunReport(**{**nothing, **given})


def test_what_to_try_after_a_refusal_can_be_pasted(tmp_path: Path) -> None:
    task = TASKS["cola"].override({"train": {"num_epochs": 3}})
    assert list(advice.after_refusal(task, report(tmp_path, blessed=False), COMMAND, ["It's so."])) == [
        "train longer: millrace run cola --data 'my data' --set train.num_epochs=6",
        "start from trained weights: millrace run cola --data 'my data' --set train.num_epochs=3 "
        "--set model.init_checkpoint=DIR",
        f"see its mistakes: {tmp_path}/report.html",
        "ask it: millrace predict cola 'It'\"'\"'s so.' --model /m",
    ]


def test_steps_are_doubled_where_they_end_the_training(tmp_path: Path) -> None:
    task = TASKS["mnist"].override({"train": {"num_steps": 50}})
    first, *others = advice.after_refusal(task, report(tmp_path, blessed=False), ["run", "mnist"], ["x.png"])
    assert first == "train longer: millrace run mnist --set train.num_steps=100"
    assert not any("init_checkpoint" in line for line in others)


def test_a_model_that_a_rollback_withdrew_can_be_published(tmp_path: Path) -> None:
    refused = report(tmp_path, blessed=True, push_reason="version 1 was rolled back")
    lines = list(advice.after_refusal(TASKS["mnist"], refused, ["run", "mnist"], ["x.png"]))
    assert lines[0] == "publish it nevertheless: millrace run mnist --force"
    assert len(lines) == 3


def test_what_an_interrupted_run_keeps_is_told(tmp_path: Path) -> None:
    task = TASKS["mnist"]
    config = RunConfig(data_dir="d", pipeline_root=str(tmp_path), models_dir="m")
    told = [NodeReport("ExampleGen", "running", 0.0)]
    assert advice.after_interrupt(task, config, told, 0) == (
        "nothing is finished yet; the same command starts anew"
    )
    told += [NodeReport("ExampleGen", "complete", 1.0), NodeReport("SchemaGen", "cached", 0.0)]
    assert advice.after_interrupt(task, config, told, 0) == (
        "kept: ExampleGen, SchemaGen; the same command goes on after SchemaGen"
    )
    checkpoints = tmp_path / "unfinished/mnist/0a/checkpoints"
    checkpoints.mkdir(parents=True)
    for step in (600, 1000):
        (checkpoints / f"ckpt-{step}.index").touch()
        os.utime(checkpoints / f"ckpt-{step}.index", (step, step))
    assert advice.after_interrupt(task, config, told, 999) == (
        "kept: ExampleGen, SchemaGen, the training up to step 1000; the same command goes on from step 1000"
    )
    # Those of another training do not count, nor results that the command does not take.
    no_cache = config.model_copy(update={"enable_cache": False})
    assert "nothing is finished yet" in advice.after_interrupt(task, no_cache, told, 1001)
