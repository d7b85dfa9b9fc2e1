"""The best epoch's weights are kept, whatever comes after it, and training ends where nothing gets better."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.task import Task
from components.trainer.best import Best
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.train import TrainResult, train

TaskMaker = Callable[..., Task]
# So fast that it jumps about.
RESTLESS = {"learning_rate": 0.1, "num_epochs": 6, "strategy": "one_device"}
STEPS = 7


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, write_examples: Callable[..., ExampleFiles]
) -> Callable[..., TrainResult]:
    train_files, eval_files = write_examples(60), write_examples(40, seed=1)

    def run_task(task: Task, working_dir: Path | None = None) -> TrainResult:
        folder = working_dir or tmp_path_factory.mktemp("run")
        return train(task, train_files, eval_files, str(folder), str(folder / "logs"))

    return run_task


def accuracies(run: Any, tiny_task: TaskMaker, **settings: Any) -> list[float]:
    """Returns the accuracy after each epoch, of trainings that end there."""
    epochs = range(1, settings["num_epochs"] + 1)
    return [run(tiny_task(**{**settings, "num_epochs": n})).metrics["accuracy"] for n in epochs]


def assert_equal(weights: Any, others: Any) -> None:
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_where_the_last_epoch_is_worse_the_best_ones_weights_are_kept(
    run: Any, tiny_task: TaskMaker, tmp_path: Path
) -> None:
    by_epoch = accuracies(run, tiny_task, **RESTLESS)
    best = int(np.argmax(by_epoch)) + 1
    assert by_epoch[-1] < max(by_epoch)
    result = run(tiny_task(keep="best", **RESTLESS), tmp_path)
    alone = run(tiny_task(**{**RESTLESS, "num_epochs": best}))
    assert_equal(result.weights, alone.weights)
    assert result.metrics == pytest.approx(alone.metrics)
    assert (result.num_steps, result.kept_step, result.stopped_early) == (6 * STEPS, best * STEPS, False)
    assert [path.name for path in tmp_path.glob("best-*")] == [f"best-{best * STEPS}.npz"]
    # A finished training that is asked again has the same.
    again = run(tiny_task(keep="best", **RESTLESS), tmp_path)
    assert_equal(again.weights, result.weights)
    assert (again.metrics, again.kept_step) == (result.metrics, result.kept_step)


def test_training_ends_after_so_many_epochs_without_a_better_one(run: Any, tiny_task: TaskMaker) -> None:
    by_epoch = accuracies(run, tiny_task, **RESTLESS)
    # The first epoch that is no better than the best one before it.
    end = next(n for n in range(1, 6) if by_epoch[n] <= max(by_epoch[:n])) + 1
    assert end < 6
    result = run(tiny_task(patience=1, **RESTLESS))
    assert (result.num_steps, result.stopped_early, result.kept_step) == (end * STEPS, True, end * STEPS)
    assert result.metrics["accuracy"] == pytest.approx(by_epoch[end - 1])
    kept = run(tiny_task(patience=1, keep="best", **RESTLESS))
    assert kept.metrics["accuracy"] == pytest.approx(max(by_epoch[:end]))


class Interrupted(BaseException):
    """Stands for a process that ends between two operations."""


@pytest.mark.parametrize(("place", "times"), [("write", 1), ("sweep", 1), ("sweep", 2)])
def test_an_interrupted_run_keeps_what_one_that_was_not_keeps(
    run: Any, tiny_task: TaskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, times: int
) -> None:
    task = tiny_task(keep="best", patience=3, **RESTLESS)
    whole = run(task)
    calls, original = 0, getattr(Best, place)

    def interrupted(self: Best, *arguments: Any) -> None:
        nonlocal calls
        calls += 1
        original(self, *arguments)
        if calls == times:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(Best, place, interrupted)
        with pytest.raises(Interrupted):
            run(task, tmp_path)
    resumed = run(task, tmp_path)
    assert_equal(resumed.weights, whole.weights)
    assert (resumed.metrics, resumed.kept_step) == (whole.metrics, whole.kept_step)
    assert len(list(tmp_path.glob("best-*"))) == 1


def test_two_replicas_keep_the_epoch_that_one_device_keeps(run: Any, tiny_task: TaskMaker) -> None:
    settings = {**RESTLESS, "learning_rate": 0.02, "keep": "best"}
    one = run(tiny_task(**settings))
    two = run(tiny_task(**{**settings, "strategy": "mirrored"}))
    assert one.kept_step == two.kept_step
    for first, second in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5, rtol=1e-5)


def test_what_does_not_exist_is_never_the_best(tiny_task: TaskMaker, tmp_path: Path) -> None:
    best = Best(str(tmp_path), tiny_task())
    assert (best.judged_by, best.step) == ("accuracy", 0)
    judged = [
        best.judge(step, {"accuracy": value}) for step, value in enumerate((math.nan, 0.5, 0.5, 0.7), 1)
    ]
    assert judged == [False, True, False, True]
    assert (best.step, best.stale, best.metrics) == (4, 0, {"accuracy": 0.7})
    assert not best.judge(5, {"accuracy": 0.6})
    assert not best.judge(6, {"accuracy": math.nan})
    assert (best.step, best.stale) == (4, 2)


def test_where_a_model_does_not_measure_what_blesses_the_loss_judges(
    tiny_task: TaskMaker, tmp_path: Path
) -> None:
    task = tiny_task()
    best = Best(
        str(tmp_path), task.model_copy(update={"blessing": task.blessing.model_copy(update={"metric": "f1"})})
    )
    assert best.judged_by == "loss"
    assert [best.judge(step, {"loss": loss}) for step, loss in enumerate((0.5, 0.7, 0.4), 1)] == [
        True, False, True
    ]  # fmt: skip


def test_weights_are_read_as_they_were_written_and_those_of_earlier_steps_go(
    tiny_task: TaskMaker, tmp_path: Path
) -> None:
    best = Best(str(tmp_path), tiny_task())
    for step, value in ((7, 0.5), (14, 0.6)):
        best.judge(step, {"accuracy": value})
        weights = [np.full((2, step), value, np.float32), np.arange(12, dtype=np.int64)]
        best.write(weights)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-14.npz", "best-7.npz"]
    best.sweep()
    assert [path.name for path in tmp_path.iterdir()] == ["best-14.npz"]
    read = best.read()
    assert_equal(read, weights)
    assert [each.dtype for each in read] == [np.float32, np.int64]
