"""Training in real processes: two workers, and one that is killed."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cut_sequences
import numpy as np
import pytest
import tiny_corpus
import tiny_questions

from components.task import Task
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.train import train

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow


class Case:
    """One training that can run here or in processes of its own."""

    def __init__(self, task: Task, splits: list[ExampleFiles], folder: Path, made_of: str = "images") -> None:
        self.task, self.splits, self.folder, self.made_of = task, splits, folder, made_of

    def here(self) -> list[Any]:
        folder = self.folder / "here"
        return train(self.task, *self.splits, str(folder), str(folder / "logs")).weights

    def start(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        settings = {
            "made_of": self.made_of,
            "model": self.task.model.model_dump(),
            "train": self.task.train.model_dump(),
            "train_files": self.splits[0].files,
            "train_examples": self.splits[0].num_examples,
            "eval_files": self.splits[1].files,
            "eval_examples": self.splits[1].num_examples,
            "working_dir": str(self.folder / "work"),
            "log_dir": str(self.folder / "logs"),
            "result": str(self.folder / "result.npz"),
        }
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(settings))
        script = Path(__file__).with_name("train_process.py")
        return subprocess.Popen(
            [sys.executable, script, file],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stderr=(self.folder / f"{name}.log").open("wb"),
        )

    def result(self) -> list[Any]:
        with np.load(self.folder / "result.npz") as arrays:
            return [arrays[name] for name in arrays.files]


@pytest.fixture(scope="module")
def splits(write_examples: Callable[..., ExampleFiles]) -> list[ExampleFiles]:
    return [write_examples(64), write_examples(21, seed=1)]


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Windowed(NamedTuple):
    """A task of windows, as train_process.py makes it, too."""

    made_of: str
    make_task: Callable[..., Task]
    splits: list[ExampleFiles]

    def case(self, folder: Path, dropout_rate: float = 0.0, **train: Any) -> Case:
        return Case(self.make_task(dropout_rate, **train), self.splits, folder, self.made_of)


@pytest.fixture(scope="module", params=["sequences", "questions", "runs"])
def windowed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Windowed:
    make = {"sequences": sequences, "questions": questions, "runs": runs}[request.param]
    return make(tmp_path_factory.mktemp("windows"))


def sequences(folder: Path) -> Windowed:
    lengths = np.random.default_rng(1).integers(0, 60, 30).tolist()
    made = [cut_sequences.make_sequences(lengths[:20]), cut_sequences.make_sequences(lengths[20:], seed=1)]
    splits = [cut_sequences.write_sequences(folder / f"{seed}.gz", each) for seed, each in enumerate(made)]
    return Windowed("sequences", cut_sequences.make_task, splits)


def questions(folder: Path) -> Windowed:
    splits = [
        tiny_questions.write_questions(folder / f"{seed}.gz", count, seed)
        for seed, count in enumerate((40, 10))
    ]
    return Windowed("questions", tiny_questions.make_task, splits)


def runs(folder: Path) -> Windowed:
    splits = [
        tiny_corpus.write_runs(folder / f"{seed}.gz", count, seed) for seed, count in enumerate((50, 10))
    ]
    return Windowed("runs", functools.partial(tiny_corpus.make_task, folder), splits)


def run_two_workers(case: Case) -> None:
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        processes.append(case.start(f"worker-{index}", TF_CONFIG=json.dumps(config)))
    try:
        for index, process in enumerate(processes):
            assert process.wait(240) == 0, (case.folder / f"worker-{index}.log").read_text()[-3000:]
    finally:
        for process in processes:
            process.kill()


MULTI_WORKER = {"train": {"strategy": "multi_worker_mirrored"}}


def test_two_worker_processes_give_the_numbers_of_one_device(
    tmp_path: Path, splits: list[ExampleFiles], tiny_task: Callable[..., Task]
) -> None:
    task = tiny_task(num_epochs=2, clip_norm=0.05, eval_global_batch_size=6)
    expected = Case(task, splits, tmp_path).here()
    case = Case(task.override(MULTI_WORKER), splits, tmp_path)
    run_two_workers(case)
    for one, other in zip(expected, case.result(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6, rtol=2e-6)


def test_two_worker_processes_give_the_numbers_of_one_device_on_windows(
    tmp_path: Path, windowed: Windowed
) -> None:
    settings = {"num_epochs": 2, "clip_norm": 0.05, "eval_global_batch_size": 6}
    expected = windowed.case(tmp_path, **settings).here()
    case = windowed.case(tmp_path, **settings, **MULTI_WORKER["train"])
    run_two_workers(case)
    for one, other in zip(expected, case.result(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6, rtol=2e-6)


def test_two_worker_processes_keep_the_epoch_that_one_device_keeps(
    tmp_path: Path, splits: list[ExampleFiles], tiny_task: Callable[..., Task]
) -> None:
    task = tiny_task(keep="best", num_epochs=6, learning_rate=0.05, eval_global_batch_size=6)
    expected = Case(task, splits, tmp_path).here()
    case = Case(task.override(MULTI_WORKER), splits, tmp_path)
    run_two_workers(case)
    for one, other in zip(expected, case.result(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5)
    # Of the chief alone, and of the best epoch alone.
    assert len(list((tmp_path / "work").glob("best-*"))) == 1


def test_two_worker_processes_train_several_seeds(
    tmp_path: Path, splits: list[ExampleFiles], tiny_task: Callable[..., Task]
) -> None:
    task = tiny_task(num_seeds=2, num_steps=3, eval_global_batch_size=6)
    case = Case(task.override(MULTI_WORKER), splits, tmp_path)
    run_two_workers(case)
    logs = sorted(folder.name for folder in (tmp_path / "logs").iterdir())
    assert logs == ["seed-0", "seed-1"]
    alone = [Case(tiny_task(seed=seed, num_steps=3), splits, tmp_path / str(seed)).here() for seed in (0, 1)]
    # The one of median quality, which of two is the worse.
    assert any(
        all(np.allclose(*pair, atol=2e-6, rtol=2e-6) for pair in zip(weights, case.result(), strict=True))
        for weights in alone
    )


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, splits: list[ExampleFiles], tiny_task: Callable[..., Task]
) -> None:
    task = tiny_task(num_epochs=60, dropout_rate=0.3, steps_per_loop=2, learning_rate=0.003)
    case = Case(task, splits, tmp_path)
    expected = case.here()
    killed_at = kill_twice_and_finish(case)
    assert 0 < killed_at[0] < killed_at[1] < 60 * 8
    for one, other in zip(expected, case.result(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_killed_run_keeps_the_epoch_that_one_keeps_that_was_not(
    tmp_path: Path, splits: list[ExampleFiles], tiny_task: Callable[..., Task]
) -> None:
    task = tiny_task(keep="best", num_epochs=40, dropout_rate=0.3, steps_per_loop=2, learning_rate=0.05)
    case = Case(task, splits, tmp_path)
    expected = case.here()
    killed_at = kill_twice_and_finish(case)
    assert 0 < killed_at[0] < killed_at[1] < 40 * 8
    for one, other in zip(expected, case.result(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_killed_run_on_windows_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, windowed: Windowed
) -> None:
    # 18 and fewer steps an epoch, so that it is killed in the middle of one.
    case = windowed.case(tmp_path, 0.3, num_epochs=12, steps_per_loop=2)
    expected = case.here()
    killed_at = kill_twice_and_finish(case)
    assert 0 < killed_at[0] < killed_at[1]
    for one, other in zip(expected, case.result(), strict=True):
        np.testing.assert_array_equal(one, other)


def kill_twice_and_finish(case: Case) -> list[int]:
    """Returns the steps at which the process was killed."""
    killed_at: list[int] = []
    for attempt in range(2):
        process = case.start(f"killed-{attempt}")
        killed_at.append(kill_after_new_checkpoint(process, case.folder / "work/checkpoints", killed_at))
    final = case.start("final")
    assert final.wait(240) == 0, (case.folder / "final.log").read_text()[-3000:]
    return killed_at


def kill_after_new_checkpoint(process: Any, folder: Path, before: list[int]) -> int:
    """Kills with SIGKILL some milliseconds after a new checkpoint, and returns the newest step."""
    deadline = time.monotonic() + 120
    newest = max(before, default=0)
    while time.monotonic() < deadline and process.poll() is None:
        steps = [int(path.stem.removeprefix("ckpt-")) for path in folder.glob("ckpt-*.index")]
        if max(steps, default=0) > newest + 5:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return max(steps)
        time.sleep(0.003)
    raise AssertionError("the process ended, or wrote no checkpoint, before it could be killed")
