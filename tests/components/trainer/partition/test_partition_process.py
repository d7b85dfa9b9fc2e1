"""Training in a process of JAX: the numbers of TensorFlow, an end by force, and errors in one line."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_volumes import make_task, write_volumes

from components.progress import BOARD
from components.trainer.errors import TrainConfigError, TrainingFailure
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.partition import process
from components.trainer.train import train

ROOT = Path(__file__).parents[4]
# Not Adam, which turns rounding of a gradient near 0 into a step.
SGD = {
    "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "clip_norm": 1.0,
    "schedule": "polynomial", "warmup_fraction": 0.3,
}  # fmt: skip
ALONG_DEPTH = (1, 4, 1, 1, 1)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> list[ExampleFiles]:
    folder = tmp_path_factory.mktemp("volumes")
    # Of three windows each: the last batch of the evaluation is not full.
    return [write_volumes(folder / f"{seed}.gz", count, seed) for seed, count in enumerate((4, 1))]


def trained(splits: list[ExampleFiles], folder: Path, model: Any = None, **settings: Any) -> Any:
    return train(make_task(model, **settings), *splits, str(folder), str(folder / "logs"))


def test_a_training_in_parts_is_the_one_of_tensorflow(
    splits: list[ExampleFiles], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    whole = trained(splits, tmp_path / "whole", **SGD)
    caplog.set_level(logging.INFO, "components")
    caplog.clear()
    BOARD.clear()
    parts = trained(splits, tmp_path / "parts", **SGD, partition=ALONG_DEPTH)
    assert parts.num_steps == whole.num_steps == 6
    assert parts.metrics == pytest.approx(whole.metrics, rel=1e-4)
    for one, other in zip(whole.weights, parts.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert "JAX sees no accelerator: 4 virtual devices of this CPU" in caplog.messages
    assert caplog.messages[-1].startswith("step 6: eval loss")
    assert BOARD.loop is not None
    assert (BOARD.loop.start, BOARD.loop.end, BOARD.loop.total) == (3, 6, 6)
    events = EventAccumulator(str(tmp_path / "parts/logs/eval")).Reload()
    assert "dice" in events.Tags()["tensors"]


def test_adamw_in_bfloat16_learns_as_in_tensorflow(splits: list[ExampleFiles], tmp_path: Path) -> None:
    settings = {
        "optimizer": "adamw", "weight_decay": 0.1, "learning_rate": 0.01, "schedule": "cosine",
        "dtype": "mixed_bfloat16",
    }  # fmt: skip
    model = {"normalization": "instance"}
    # By XLA on both sides: TensorFlow 2.16's own convolutions of volumes may give NaN (docs/limits.md).
    whole = trained(splits, tmp_path / "whole", model, **settings, jit_compile=True)
    parts = trained(splits, tmp_path / "parts", model, **settings, partition=(2, 1, 2, 1, 1))
    assert parts.metrics["loss"] == pytest.approx(whole.metrics["loss"], rel=0.05)
    assert {weight.dtype for weight in parts.weights} == {np.dtype(np.float32)}


def test_too_few_devices_are_refused(
    splits: list[ExampleFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    with pytest.raises(TrainConfigError, match=r"^train.partition: expected 4 devices, got 2 \(cpu\)$"):
        trained(splits, tmp_path, partition=ALONG_DEPTH)


def test_several_hosts_are_refused(
    splits: list[ExampleFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}}))
    with pytest.raises(TrainConfigError, match=r"^train.partition: expected one host, got several"):
        trained(splits, tmp_path, partition=ALONG_DEPTH)


def test_without_jax_it_says_how_to_install_it(
    splits: list[ExampleFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrainConfigError, match=r"JAX, which is not installed: uv sync --extra partition$"):
        trained(splits, tmp_path, partition=ALONG_DEPTH)


def test_an_error_in_the_process_is_one_line(splits: list[ExampleFiles], tmp_path: Path) -> None:
    missing = splits[0]._replace(files=["/nowhere.gz"])
    with pytest.raises(TrainingFailure, match=r"^/nowhere.gz: cannot unpack .*: No such file"):
        trained([missing, splits[1]], tmp_path, partition=ALONG_DEPTH)


def test_a_process_that_cannot_begin_tells_its_last_line(
    splits: list[ExampleFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_PROGRAM", "components.trainer.nothing")
    expected = r"^train.partition: the process of JAX ended with exit code 1: .*No module named components"
    with pytest.raises(TrainingFailure, match=expected):
        trained(splits, tmp_path, partition=ALONG_DEPTH)


@pytest.mark.slow
def test_killed_runs_end_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    # Dropout, whose random numbers have to go on, too.
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert finish(start(whole)) == (0, "")
    first = start(killed)
    child = child_after_checkpoint(first, killed, 0)
    os.kill(child, signal.SIGKILL)
    code, last = finish(first)
    assert code == 1
    assert "train.partition: the process of JAX was ended by SIGKILL" in last
    second = start(killed)
    child = child_after_checkpoint(second, killed, newest(killed))
    second.kill()
    finish(second)
    wait_for(lambda: not alive(child))
    assert 0 < newest(killed) < NUM_STEPS
    assert finish(start(killed)) == (0, "")
    with np.load(whole / "result.npz") as expected, np.load(killed / "result.npz") as got:
        for name in expected.files:
            np.testing.assert_array_equal(expected[name], got[name])


# Fewer than an epoch has, so that evaluating takes no time.
NUM_STEPS = 24
SETTINGS = {
    "num_steps": NUM_STEPS, "steps_per_loop": 1, "learning_rate": 0.01, "clip_norm": 1.0,
    "partition": [1, 2, 1, 1, 1],
}  # fmt: skip


def start(folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, Path(__file__).with_name("partition_process.py"), folder, json.dumps(SETTINGS)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stderr=(folder / "log").open("w"),
        text=True,
    )


def finish(running: subprocess.Popen[str]) -> tuple[int, str]:
    """Returns the exit code, and for a failure the last line."""
    code = running.wait(200)
    lines = (Path(running.args[2]) / "log").read_text().splitlines()  # type: ignore[index]
    return code, lines[-1] if code else ""


def newest(folder: Path) -> int:
    """Returns the step of the newest checkpoint."""
    names = (folder / "checkpoints").glob("ckpt-*.index")
    return max((int(path.stem.removeprefix("ckpt-")) for path in names), default=0)


def child_after_checkpoint(parent: subprocess.Popen[str], folder: Path, step: int) -> int:
    """Returns the parent's child once there is a checkpoint of a later step."""
    wait_for(lambda: newest(folder) > step or parent.poll() is not None)
    assert parent.poll() is None, (folder / "log").read_text()[-3000:]
    (child,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    return int(child)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 150
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.003)
