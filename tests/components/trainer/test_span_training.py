"""Training on windows of questions: the same numbers on replicas, after an interruption, and in few bits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_questions import SPANS, make_task, write_questions

from components.features import TOKEN_IDS
from components.train_config import TrainConfig
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.records import unpacked
from components.trainer.train import TrainResult, streams, train
from components.trainer.window_streams import ExampleWindows, window_stream


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> list[ExampleFiles]:
    folder = tmp_path_factory.mktemp("questions")
    return [write_questions(folder / f"{seed}.gz", count, seed) for seed, count in enumerate((40, 10))]


@pytest.fixture(scope="module")
def run(splits: list[ExampleFiles], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainResult]:
    def run_task(working_dir: Path | None = None, **settings: Any) -> TrainResult:
        where = str(working_dir or tmp_path_factory.mktemp("run"))
        return train(make_task(**settings), *splits, where, where)

    return run_task


@pytest.fixture(scope="module")
def whole(run: Any) -> TrainResult:
    return run()


def test_two_replicas_give_the_numbers_of_one_device(run: Any, whole: TrainResult) -> None:
    two = run(strategy="mirrored")
    assert two.num_steps == whole.num_steps
    for one, other in zip(whole.weights, two.weights, strict=True):
        # Adam divides by the size of gradients that are nearly 0: what rounds differently moves by more.
        np.testing.assert_allclose(one, other, atol=5e-4)


@pytest.mark.parametrize(("workers", "replicas"), [(2, 1), (2, 2)])
def test_two_workers_draw_the_windows_of_one(splits: list[ExampleFiles], workers: int, replicas: int) -> None:
    import tensorflow as tf

    def rows(stream: Any, worker: int, of: int, each: int) -> Any:
        batches = stream.batches(0, tf.distribute.InputContext(of, worker, of * each))
        return np.concatenate([batch[TOKEN_IDS].numpy() for batch in batches])

    with unpacked(splits[0].files, splits[0].num_examples) as records:
        config = TrainConfig(global_batch_size=8, seed=3)
        stream = window_stream(records, ExampleWindows(splits[0], SPANS), config)
        one = rows(stream, 0, 1, 1).reshape(-1, workers, 8 // workers, 16)
        for worker in range(workers):
            own = rows(stream, worker, workers, replicas).reshape(-1, 8 // workers, 16)
            np.testing.assert_array_equal(own, one[:, worker])


class Interrupted(BaseException):
    """Stands for a process that ends between two operations."""


def test_an_interrupted_run_ends_with_the_weights_of_one_that_was_not(
    run: Any, whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.trainer.loop import CompiledLoop

    original, loops = CompiledLoop.run, []

    def stop_at_the_third(self: Any, *arguments: Any) -> Any:
        loops.append(arguments)
        if len(loops) == 3:
            raise Interrupted
        return original(self, *arguments)

    monkeypatch.setattr(CompiledLoop, "run", stop_at_the_third)
    with pytest.raises(Interrupted):
        run(tmp_path)
    resumed = run(tmp_path)
    assert resumed.num_steps == whole.num_steps
    for one, other in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_few_bits_draw_the_windows_of_float32(splits: list[ExampleFiles], dtype: str) -> None:
    import tensorflow as tf

    def batches(**settings: Any) -> list[Any]:
        task = make_task(seed=3, **settings)
        with streams(task, *splits) as (stream, _):
            drawn = stream.batches(stream.steps_per_epoch, tf.distribute.InputContext())
            return [{name: value.numpy() for name, value in batch.items()} for batch in drawn]

    for few, whole in zip(batches(dtype=dtype), batches(), strict=True):
        assert few.keys() == whole.keys()
        for name, value in whole.items():
            np.testing.assert_array_equal(few[name], value)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_few_bits_learn_what_float32_learns_and_keep_its_weights(
    run: Any, whole: TrainResult, dtype: str
) -> None:
    few = run(dtype=dtype)
    assert {weight.dtype for weight in few.weights} == {weight.dtype for weight in whole.weights}
    assert few.metrics["loss"] == pytest.approx(whole.metrics["loss"], rel=0.1)
