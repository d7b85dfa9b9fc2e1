"""The loop gives the same numbers however the work is cut up, and an interrupted run loses nothing."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.progress import BOARD
from components.task import Task
from components.trainer.errors import TrainConfigError, TrainingFailure
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.train import TrainResult, train

TaskMaker = Callable[..., Task]


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, write_examples: Callable[..., ExampleFiles]
) -> Callable[..., TrainResult]:
    train_files, eval_files = write_examples(60), write_examples(21, seed=1)

    def run_task(task: Task, working_dir: Path | None = None) -> TrainResult:
        folder = working_dir or tmp_path_factory.mktemp("run")
        return train(task, train_files, eval_files, str(folder), str(folder / "logs"))

    return run_task


def assert_same(first: TrainResult, second: TrainResult, tolerance: float = 2e-6) -> None:
    assert first.num_steps == second.num_steps
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)


def test_training_learns(run: Any, tiny_task: TaskMaker) -> None:
    result = run(tiny_task(num_epochs=12))
    assert result.num_steps == 12 * (60 // 8)
    assert result.metrics["accuracy"] > 0.9


def test_two_replicas_give_the_numbers_of_one_device(run: Any, tiny_task: TaskMaker) -> None:
    settings = {"clip_norm": 0.05, "num_epochs": 2}
    one = run(tiny_task(strategy="one_device", **settings))
    two = run(tiny_task(strategy="mirrored", **settings))
    assert_same(one, two)
    assert two.metrics == pytest.approx(one.metrics, abs=1e-5)


def test_lamb_gives_the_same_numbers_on_replicas_and_of_micro_batches(run: Any, tiny_task: TaskMaker) -> None:
    settings = {"optimizer": "lamb", "weight_decay": 0.01, "clip_norm": 0.05, "epsilon": 1e-3}
    one = run(tiny_task(strategy="one_device", **settings))
    assert_same(one, run(tiny_task(strategy="mirrored", **settings)))
    assert_same(one, run(tiny_task(strategy="one_device", gradient_accumulation_steps=4, **settings)))


def test_accumulated_micro_batches_give_the_numbers_of_the_whole_batch(
    run: Any, tiny_task: TaskMaker
) -> None:
    settings = {"clip_norm": 0.05, "optimizer": "sgd", "momentum": 0.9, "strategy": "one_device"}
    assert_same(run(tiny_task(**settings)), run(tiny_task(gradient_accumulation_steps=4, **settings)))


def test_xla_gives_the_numbers_of_the_graph(run: Any, tiny_task: TaskMaker) -> None:
    settings = {"strategy": "one_device", "optimizer": "sgd"}
    assert_same(run(tiny_task(**settings)), run(tiny_task(jit_compile=True, **settings)), 1e-4)


def test_the_length_of_a_loop_changes_nothing(run: Any, tiny_task: TaskMaker) -> None:
    settings = {"strategy": "one_device", "dropout_rate": 0.3}
    assert_same(run(tiny_task(steps_per_loop=1, **settings)), run(tiny_task(steps_per_loop=100, **settings)))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_and_keeps_float32_weights(run: Any, tiny_task: TaskMaker, dtype: str) -> None:
    result = run(tiny_task(dtype=dtype, num_epochs=12))
    assert result.metrics["accuracy"] > 0.9
    assert {weight.dtype for weight in result.weights} == {np.dtype("float32")}


def test_mirrored_float16_gives_the_numbers_of_one_device(run: Any, tiny_task: TaskMaker) -> None:
    settings = {"dtype": "mixed_float16", "optimizer": "sgd"}
    one = run(tiny_task(strategy="one_device", **settings))
    assert_same(one, run(tiny_task(strategy="mirrored", **settings)), 2e-3)


def test_an_early_stop_ends_at_the_threshold(run: Any, tiny_task: TaskMaker) -> None:
    result = run(tiny_task(num_epochs=50, stop_threshold=0.8))
    assert result.stopped_early
    assert result.metrics["accuracy"] >= 0.8
    assert result.num_steps < 50 * 7
    assert result.num_steps % 7 == 0


class Interrupted(BaseException):
    """Stands for a process that ends between two operations."""


@pytest.mark.parametrize(
    ("loops", "optimizer"), [(1, "adam"), (3, "adam"), (4, "adam"), (6, "adam"), (4, "lamb")]
)
def test_an_interrupted_run_ends_with_the_weights_of_one_that_was_not(
    run: Any, tiny_task: TaskMaker, tmp_path: Path, loops: int, optimizer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from components.trainer.loop import CompiledLoop

    task = tiny_task(
        num_epochs=3, dropout_rate=0.3, checkpoint_every_loops=2, learning_rate=0.02, optimizer=optimizer
    )
    whole = run(task)
    calls = 0
    original = CompiledLoop.run

    def interrupted(self: Any, iterator: Any, num_steps: int) -> Any:
        nonlocal calls
        calls += 1
        if calls > loops:
            raise Interrupted
        return original(self, iterator, num_steps)

    with monkeypatch.context() as patch:
        patch.setattr(CompiledLoop, "run", interrupted)
        with pytest.raises(Interrupted):
            run(task, tmp_path)
    resumed = run(task, tmp_path)
    assert_same(whole, resumed, 0)
    assert resumed.metrics == whole.metrics


def test_a_finished_run_is_not_trained_again(run: Any, tiny_task: TaskMaker, tmp_path: Path) -> None:
    first = run(tiny_task(), tmp_path)
    again = run(tiny_task(), tmp_path)
    assert_same(first, again, 0)
    assert again.metrics == pytest.approx(first.metrics)


def test_checkpoints_are_kept_to_the_last_few(run: Any, tiny_task: TaskMaker, tmp_path: Path) -> None:
    run(tiny_task(num_epochs=3, keep_checkpoints=2), tmp_path)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("ckpt-*.index"))
    assert kept == ["ckpt-20.index", "ckpt-21.index"]


def test_tensorboard_scalars_are_written(run: Any, tiny_task: TaskMaker, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tiny_task(), tmp_path)
    tags = {}
    for name in ("train", "eval"):
        events = EventAccumulator(str(tmp_path / "logs" / name), size_guidance={"tensors": 0})
        events.Reload()
        tags[name] = {tag: [e.step for e in events.Tensors(tag)] for tag in events.Tags()["tensors"]}
    assert set(tags["train"]) == {
        "loss", "cross_entropy", "learning_rate", "gradient_norm", "examples_per_second"
    }  # fmt: skip
    assert tags["train"]["loss"] == [3, 6, 7]
    assert tags["eval"] == {"loss": [7], "accuracy": [7], "matthews_corrcoef": [7]}


def test_training_tells_how_far_it_is(run: Any, tiny_task: TaskMaker) -> None:
    run(tiny_task(num_epochs=2, steps_per_loop=4))
    # Each epoch has seven steps, in loops of four and three.
    loop = BOARD.loop
    assert loop is not None
    assert (loop.start, loop.end, loop.total) == (11, 14, 14)
    assert loop.steps_per_second is not None
    assert loop.steps_per_second > 0
    assert re.fullmatch(r"loss \d\.\d{4}, accuracy [01]\.\d{4}(, \w+ -?\d\.\d{4})*", loop.last)


def test_a_batch_that_cannot_be_cut_up_is_refused(run: Any, tiny_task: TaskMaker) -> None:
    with pytest.raises(TrainConfigError, match=r"expected a multiple of 2 \(2 replicas × 1 .*got 9"):
        run(tiny_task(strategy="mirrored", global_batch_size=9, eval_global_batch_size=8))


def test_a_batch_larger_than_the_data_is_refused(run: Any, tiny_task: TaskMaker) -> None:
    with pytest.raises(TrainConfigError, match="expected at most the 60 training examples, got 64"):
        run(tiny_task(global_batch_size=64))


def test_a_loss_that_is_not_finite_ends_training(run: Any, tiny_task: TaskMaker) -> None:
    with pytest.raises(TrainingFailure, match=r"the loss became .* lower train.learning_rate"):
        run(tiny_task(optimizer="sgd", learning_rate=1e38, num_epochs=3))
    with pytest.raises(TrainingFailure, match=r"or set train.jit_compile=true or train.clip_norm"):
        run(tiny_task(optimizer="sgd", learning_rate=1e38, num_epochs=3, dtype="mixed_bfloat16"))


def overflowing(monkeypatch: pytest.MonkeyPatch, steps: range) -> None:
    """Makes float16 overflow in some optimizer steps: its largest number is 65,504."""
    import tensorflow as tf

    from components.trainer.loop import CompiledLoop

    original = CompiledLoop._weighted_sums
    taken = tf.Variable(-1)

    def weighted_sums(self: Any, features: Any, outputs: Any) -> Any:
        step = taken.assign_add(1)
        factor = tf.where(tf.logical_and(step >= steps.start, step < steps.stop), float("inf"), 1.0)
        return {name: total * factor for name, total in original(self, features, outputs).items()}

    monkeypatch.setattr(CompiledLoop, "_weighted_sums", weighted_sums)


def test_a_step_that_overflows_in_float16_does_not_end_training(
    run: Any, tiny_task: TaskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    overflowing(monkeypatch, range(1, 6))
    task = tiny_task(dtype="mixed_float16", strategy="one_device")
    with caplog.at_level(logging.INFO, "components"):
        assert run(task, tmp_path).num_steps == 7
    # Loops end after 3, 6 and 7 steps; all of the second one is skipped.
    assert re.findall(r"step (\d): (\d) steps were skipped", caplog.text) == [("3", "2"), ("6", "3")]
    assert scalars(tmp_path / "logs/train")["skipped_steps"] == [2, 3, 0]


def test_a_training_of_nothing_but_skipped_steps_fails(
    run: Any, tiny_task: TaskMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflowing(monkeypatch, range(10_000))
    settings = {"dtype": "mixed_float16", "strategy": "one_device"}
    with pytest.raises(
        TrainingFailure, match=r"float16 overflowed in every step from 6 to 7; set train\.dtype"
    ):
        run(tiny_task(**settings))
    # 15 steps halve the loss scale from 2^15 to 1.
    overflowing(monkeypatch, range(10_000))
    with pytest.raises(TrainingFailure, match="float16 overflowed in every step from 14 to 17"):
        run(tiny_task(num_epochs=50, **settings))


def scalars(folder: Path) -> dict[str, list[float]]:
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag: [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }
