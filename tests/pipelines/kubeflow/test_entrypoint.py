"""The containers' side: whole DAGs as Kubeflow Pipelines runs them, but in this process."""

import contextlib
import functools
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import s3_server
from kfp_launcher import Launcher
from training_operator import Operator, operating

from components.formats.idx import write_idx
from components.registry import registry
from pipelines.dag.settings import RunConfig, apply_overrides
from pipelines.kubeflow import entrypoint, training_job
from pipelines.tasks import TASKS

pytestmark = pytest.mark.slow

SETTINGS: dict[str, dict[str, Any]] = {
    "model": {"filters": [4, 4], "hidden_dim": 16, "dropout_rate": 0.0},
    "train": {"num_epochs": 1, "learning_rate": 0.01, "global_batch_size": 10},
    "blessing": {"threshold": 0.0},
}


PARAMETERS = {"train_num_epochs": 2, "train_learning_rate": 0.02, "train_num_steps": 0}


def write_data(folder: Path) -> Path:
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, count in (("train", 40), ("t10k", 20)):
        write_idx(folder / f"{name}-images-idx3-ubyte", random.integers(0, 255, (count, 28, 28), np.uint8))
        write_idx(folder / f"{name}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    return folder


def compiled(
    volume: Path, data: str, if_news: bool = False, models: str | None = None, **settings: dict[str, Any]
) -> str:
    from pipelines.dag.pipeline import make_pipeline
    from pipelines.kubeflow.runner import compile_pipeline

    config = RunConfig(
        data_dir=data, pipeline_root=str(volume / "work"), models_dir=models or str(volume / "models")
    )
    task, config = apply_overrides(TASKS["mnist"], config, {**SETTINGS, **settings})
    return compile_pipeline(make_pipeline(task, config), "millrace:test", config.cluster, if_news=if_news)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volume")
    write_data(folder / "data")
    return folder


@pytest.fixture(scope="module")
def launcher(volume: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """The whole DAG, run once, before anything is published."""
    with pytest.MonkeyPatch.context() as patch:
        launcher = Launcher(compiled(volume, str(volume / "data")), tmp_path_factory.mktemp("kfp"), patch)
        launcher.run(PARAMETERS)
        yield launcher


def metadata(launcher: Launcher, task: str, key: str) -> dict[str, Any]:
    return dict(launcher.outputs[task][key]["metadata"])


def test_a_model_is_published(launcher: Launcher, volume: Path) -> None:
    live = registry.live(str(volume / "models"), "mnist")
    assert live is not None
    assert live.version == 1
    assert live.source == {
        "model_uri": launcher.outputs["trainer"]["model"]["uri"],
        "pipeline": "mnist",
        "run_id": launcher.run_id,
    }
    assert metadata(launcher, "pusher", "pushed_model")["pushed"] == 1.0
    assert metadata(launcher, "pusher", "pushed_model")["pushed_destination"] == live.path


def test_nobody_else_may_write_what_is_published(launcher: Launcher, volume: Path) -> None:
    made = [volume / "models", *(volume / "models").rglob("*")]
    assert {path.name for path in made} >= {"latest.json", ".lock", "saved_model.pb"}
    assert {path.stat().st_mode & 0o777 for path in made} == {0o755, 0o644}


def test_parameters_of_the_run_reach_the_trainer(launcher: Launcher) -> None:
    log = launcher.store(launcher.outputs["trainer"]["model_run"]["uri"])
    origin = next(launcher.store(launcher.outputs["trainer"]["model"]["uri"]).rglob("origin.json"))
    train = json.loads(origin.read_text())["settings"]["train"]
    assert (train["num_epochs"], train["learning_rate"], train["num_steps"]) == (2, 0.02, None)
    assert list(log.rglob("events.out.tfevents.*"))


def test_a_scheduled_run_without_news_does_no_work(
    launcher: Launcher,
    volume: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scheduled = Launcher(compiled(volume, str(volume / "data"), if_news=True), tmp_path, monkeypatch)
    scheduled.run(PARAMETERS)
    assert scheduled.executed == ["news"]
    assert "nothing changed since version 1\n" in capsys.readouterr().out
    scheduled.run({**PARAMETERS, "train_num_epochs": 3}, only={"news", "schema-gen"})
    assert scheduled.executed == ["news", "news", "schema-gen"]
    assert "settings: train.num_epochs is 3, was 2\n" in capsys.readouterr().out


def test_properties_survive_the_round_trip(launcher: Launcher) -> None:
    examples = metadata(launcher, "example-gen", "examples")
    assert json.loads(examples["split_names"]) == ["train", "eval"]
    assert examples["span"] == 0.0
    assert examples["file_format"] == "tfrecords_gzip"
    assert examples["input_fingerprint"].startswith("split:train,num_files:2,")
    blessing = metadata(launcher, "evaluator", "blessing")
    assert blessing["blessed"] == 1.0
    assert blessing["current_model"] == launcher.outputs["trainer"]["model"]["uri"]
    assert blessing["current_model_id"] == float(launcher.outputs["trainer"]["model"]["name"])


def test_before_the_first_model_there_is_no_baseline(launcher: Launcher) -> None:
    assert metadata(launcher, "latest-blessed-model", "model")["empty"] == 1.0
    assert "baseline_model" not in metadata(launcher, "evaluator", "blessing")


def test_a_model_is_not_compared_with_itself(launcher: Launcher) -> None:
    launcher.run(only={"latest-blessed-model"})
    found = metadata(launcher, "latest-blessed-model", "model")
    assert (found["empty"], "version" in found) == (1.0, False)


def test_the_live_model_is_the_next_baseline(launcher: Launcher, volume: Path) -> None:
    candidate = launcher.store(launcher.outputs["trainer"]["model"]["uri"])
    (origin,) = candidate.rglob("origin.json")
    origin.write_text(origin.read_text().replace('"num_epochs": 2', '"num_epochs": 3'))
    launcher.run(only={"latest-blessed-model", "evaluator"})
    baseline = launcher.outputs["latest-blessed-model"]["model"]
    assert "empty" not in baseline["metadata"]
    assert baseline["metadata"]["version"] == 1.0
    assert metadata(launcher, "evaluator", "blessing")["baseline_model"] == baseline["uri"]
    live, copied = volume / "models/mnist/1", launcher.store(baseline["uri"]) / "Format-Serving"
    assert (copied / "saved_model.pb").read_bytes() == (live / "saved_model.pb").read_bytes()


def test_a_node_publishes_into_s3(launcher: Launcher, volume: Path) -> None:
    import boto3

    with s3_server.serving() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="models")
        specification = compiled(volume, str(volume / "data"), models="s3://models/all")
        other = again(launcher, specification, patch)
        other.run(PARAMETERS, only={"latest-blessed-model", "pusher"})
        live = registry.live("s3://models/all", "mnist")
        assert live is not None
        assert (live.path, live.source["run_id"]) == ("s3://models/all/mnist/1", other.run_id)
        registry.verify(live.path)
        assert metadata(other, "pusher", "pushed_model")["pushed_destination"] == live.path


def test_a_run_that_is_submitted_again_goes_on_where_another_ended(
    launcher: Launcher, volume: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # 40 examples in batches of 10, twice.
    resumed = "resumed at step 8 of 8"
    with caplog.at_level(logging.INFO), pytest.MonkeyPatch.context() as patch:
        again(launcher, compiled(volume, str(volume / "data")), patch).run(PARAMETERS, only={"trainer"})
        assert resumed not in caplog.text
        again(launcher, compiled(volume, str(volume / "data")), patch).run(PARAMETERS, only={"trainer"})
        assert resumed in caplog.text


def again(launcher: Launcher, specification: str, patch: pytest.MonkeyPatch) -> Launcher:
    """Returns another run, which goes on from the outputs of the first."""
    other = Launcher(specification, launcher.folder, patch)
    other.outputs = dict(launcher.outputs)
    return other


def test_two_hosts_train_one_model_also_when_each_is_killed_while_the_first_one_exports(
    launcher: Launcher, volume: Path, tmp_path: Path
) -> None:
    exports = tmp_path / "exports"
    exports.mkdir()
    kill = functools.partial(kill_while_exporting, exports=exports)
    with two_hosts(launcher, volume, tmp_path, ["slow_export.py", "5", str(exports)], 1, kill) as operator:
        assert [pod.process.wait() for pod in operator.all_pods] == [0, 0]
        assert [pod.restarts for pod in operator.all_pods] == [2, 2]


def test_a_chief_that_is_killed_when_all_is_done_does_not_wait_for_those_that_have_ended(
    launcher: Launcher, volume: Path, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    kill = functools.partial(kill_at_the_end, done=done)
    with two_hosts(launcher, volume, tmp_path, ["slow_end.py", str(done)], 2, kill) as operator:
        assert [pod.process.wait() for pod in operator.all_pods] == [0, 0]
        assert [pod.restarts for pod in operator.all_pods] == [1, 0]


@contextlib.contextmanager
def two_hosts(
    launcher: Launcher, volume: Path, folder: Path, script: list[str], seed: int,
    kill: Callable[[Operator], None],
) -> Iterator[Operator]:  # fmt: skip
    """Trains on two hosts by a script beside this one; checks that a model is there, and nothing else."""
    hosts = {"cluster": {"trainer": {"workers": 2, "retries": 2}}}
    name, *given = script
    with pytest.MonkeyPatch.context() as patch, operating(folder, patch) as operator:
        patch.setattr(training_job.run, "__defaults__", (0.2,))
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
        operator.grace_s = 30
        operator.command["python"] = [sys.executable, str(Path(__file__).with_name(name)), *given]
        killer = Thread(target=kill, args=[operator])
        killer.start()
        other = again(launcher, compiled(volume, str(volume / "data"), **hosts), patch)
        other.run({**PARAMETERS, "train_seed": seed}, only={"trainer"})
        killer.join()
        yield operator
    model = other.store(other.outputs["trainer"]["model"]["uri"])
    assert (model / "Format-Serving/saved_model.pb").is_file()
    assert not list((volume / "work").rglob(other.run_id))


def kill_while_exporting(operator: Operator, exports: Path) -> None:
    """Kills worker 1 during the first export, which ends the other, too, and worker 0 during the second."""
    for count, index in ((1, 1), (2, 0)):
        while len(list(exports.iterdir())) < count:
            time.sleep(0.1)
        operator.all_pods[index].process.kill()


def kill_at_the_end(operator: Operator, done: Path) -> None:
    """Kills worker 0 when it has nothing more to do, and the other one has ended."""
    while not done.exists():
        time.sleep(0.1)
    chief, other = operator.all_pods
    other.process.wait(60)
    chief.process.kill()


def test_data_behind_a_uri_is_fetched_by_kfp(launcher: Launcher, volume: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        other = Launcher(compiled(volume, "minio://raw/mnist"), tmp_path, patch)
        write_data(other.store("minio://raw/mnist"))
        other.run(only={"data", "example-gen"})
        for split in ("train", "eval"):
            here, there = (
                sorted(kfp.store(kfp.outputs["example-gen"]["examples"]["uri"]).glob(f"Split-{split}/*"))
                for kfp in (other, launcher)
            )
            assert [f.read_bytes() for f in here] == [f.read_bytes() for f in there]


def test_a_failing_node_ends_with_its_exit_code_and_hands_nothing_on(
    launcher: Launcher, volume: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        other = Launcher(compiled(volume, str(volume / "data")), tmp_path, patch)
        with pytest.raises(AssertionError, match="example-gen: exit code 1"):
            other.run({"data": str(volume / "nowhere")}, only={"example-gen"})
        assert not list(tmp_path.rglob("output_metadata.json"))
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("millrace: error: ")
    assert "nowhere" in last
    assert last.endswith(" (a mistake in what was given)")


def test_the_last_line_of_a_failure_says_where_more_is(capfd: pytest.CaptureFixture[str]) -> None:
    assert entrypoint.main(["--executor_input", "{}", "--node", '{"id": "Trainer"}']) == 1
    first, *_, last = capfd.readouterr().err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert last.startswith("millrace: error: ValidationError: ")
    assert last.endswith(
        "; expected a pipeline compiled by this image's version; the traceback is above (a failure)"
    )
