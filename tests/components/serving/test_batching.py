"""Requests that run together: the outputs say in how large a batch each was."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from serving_client import Client, Models, predict_request, publish, refused, served

from components.serving import batching
from components.serving.config_protos import BatchingParameters
from components.serving.errors import ServingError
from components.serving.models import inference
from components.serving.models.batching_settings import BatchingSettings, read_batching_settings
from components.serving.models.servable import Graph
from components.serving.models.tensors import read_tensor, write_tensor

SECOND = 1_000_000


@contextlib.contextmanager
def batched(models: Models, folder: Path, parameters: str, **flags: Any) -> Iterator[Client]:
    base_path = folder / "m"
    base_path.mkdir()
    publish(models.everything, base_path, 1)
    (folder / "batching.txt").write_text(parameters)
    file = str(folder / "batching.txt")
    with served(base_path, enable_batching=True, batching_parameters_file=file, **flags) as client:
        yield client


def at_once(client: Client, *requests: Any) -> list[Any]:
    """Sends requests together, in order; gives each one's outputs or its RpcError."""
    futures = [client.prediction.Predict.future(request, timeout=20) for request in requests]
    return [future.exception() or future.result() for future in futures]


def below_100(*x: float) -> Any:
    return predict_request(signature="below_100", x=np.float32(x))


def test_requests_share_a_batch_and_each_gets_its_own_rows(models: Models, tmp_path: Path) -> None:
    settings = f"max_batch_size {{ value: 6 }} batch_timeout_micros {{ value: {20 * SECOND} }}"
    with batched(models, tmp_path, settings) as client:
        answers = at_once(client, below_100(1), below_100(2, 3), below_100(4, 5, 6))
    assert [list(a.outputs["y"].float_val) for a in answers] == [[1], [2, 3], [4, 5, 6]]
    assert [list(a.outputs["batch_size"].int_val) for a in answers] == [[6], [6, 6], [6, 6, 6]]


@pytest.mark.parametrize(("rows", "in_thread"), [(10, False), (50_000, True)])
def test_long_tensors_are_read_and_written_in_threads(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, in_thread: bool
) -> None:
    threads = []

    def noted(function: Any) -> Any:
        def call(*arguments: Any, **keys: Any) -> Any:
            threads.append(threading.current_thread())
            return function(*arguments, **keys)

        return call

    for function in (read_tensor, write_tensor):
        monkeypatch.setattr(inference, function.__name__, noted(function))
    with batched(models, tmp_path, f"max_batch_size {{ value: {rows} }}") as client:
        x = np.arange(rows, dtype=np.float32)
        np.testing.assert_array_equal(client.predict(x=x)["y"], x / 2 + 2)
        assert [thread is not client._thread for thread in threads] == [in_thread, in_thread]


def test_a_bad_request_fails_alone(models: Models, tmp_path: Path) -> None:
    settings = f"max_batch_size {{ value: 3 }} batch_timeout_micros {{ value: {20 * SECOND} }}"
    with batched(models, tmp_path, settings) as client:
        good, bad, other = at_once(client, below_100(1), below_100(100), below_100(3))
    assert bad.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "x is too large" in bad.details()
    assert [list(a.outputs["y"].float_val) for a in (good, other)] == [[1], [3]]


def test_a_batch_is_filled_up_to_an_allowed_size_and_runs_when_it_is_old_enough(
    models: Models, tmp_path: Path
) -> None:
    settings = """max_batch_size { value: 8 } batch_timeout_micros { value: 100000 }
                  allowed_batch_sizes: 4 allowed_batch_sizes: 8"""
    with batched(models, tmp_path, settings) as client:
        (small,) = at_once(client, below_100(1, 2, 3))
        (large,) = at_once(client, below_100(1, 2, 3, 4, 5))
    assert list(small.outputs["batch_size"].int_val) == [4, 4, 4]
    assert list(small.outputs["y"].float_val) == [1, 2, 3]
    assert list(large.outputs["batch_size"].int_val) == [8] * 5


def test_other_shapes_and_signatures_never_share_a_batch(models: Models, tmp_path: Path) -> None:
    def rows(*shape: int) -> Any:
        return predict_request(signature="row_sums", rows=np.ones(shape, np.int32))

    settings = f"max_batch_size {{ value: 2 }} batch_timeout_micros {{ value: {20 * SECOND} }}"
    with batched(models, tmp_path, settings) as client:
        answers = at_once(client, rows(1, 2), rows(1, 3), below_100(7), rows(1, 2), rows(1, 3), below_100(8))
    assert [list(a.outputs["sums"].int_val) for a in answers if "sums" in a.outputs] == [[2], [3], [2], [3]]
    assert [list(a.outputs["y"].float_val) for a in answers if "y" in a.outputs] == [[7], [8]]


def test_inputs_of_different_lengths_share_a_batch_if_they_may_be_padded(
    models: Models, tmp_path: Path
) -> None:
    settings = f"""max_batch_size {{ value: 2 }} batch_timeout_micros {{ value: {20 * SECOND} }}
                   pad_variable_length_inputs: true"""
    with batched(models, tmp_path, settings) as client:
        ragged = [predict_request(signature="row_sums", rows=np.ones((1, n), np.int32)) for n in (2, 5)]
        answers = at_once(client, *ragged)
    assert [list(a.outputs["sums"].int_val) for a in answers] == [[2], [5]]


def test_what_cannot_be_batched_is_refused(models: Models, tmp_path: Path) -> None:
    with batched(models, tmp_path, "max_batch_size { value: 2 }") as client:
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        with refused(invalid, "Task size 3 is larger than maximum input batch size 2"):
            client.predict(signature="below_100", x=np.float32([1, 2, 3]))
        with refused(invalid, "Batching session Run() input tensors must have at least one dimension"):
            client.predict(signature="scalar", x=np.float32(1))
        with refused(invalid, "Batching session Run() input tensors must have equal 0th-dimension size"):
            client.predict(signature="two_inputs", a=np.float32([1, 2]), b=np.float32([[1, 2]]))
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "Batched output tensor's 0th dimension does not…"):
            client.predict(signature="spin", steps=np.int32([1, 1]))
        assert client.answer() == 3.0


def test_a_full_queue_is_unavailable(models: Models, tmp_path: Path) -> None:
    def spin(num_steps: int) -> Any:
        request = predict_request(signature="spin", steps=np.int32([num_steps]))
        return client.prediction.Predict.future(request, timeout=60)

    settings = """max_batch_size { value: 1 } max_enqueued_batches { value: 2 }
                  num_batch_threads { value: 1 }"""
    with batched(models, tmp_path, settings) as client:
        busy = spin(1500)
        time.sleep(0.2)
        errors = [error for error in [future.exception() for future in [spin(1) for _ in range(5)]] if error]
        assert {error.code() for error in errors} == {grpc.StatusCode.UNAVAILABLE}
        assert {error.details() for error in errors} == {
            "The batch scheduling queue to which this task was submitted is full"
        }
        assert busy.result().outputs["y"].float_val == [0.0]


class Waiting:
    """Stands for a model that runs until it is let go, and says what it was given."""

    def __init__(self) -> None:
        self.started, self.may_end = threading.Event(), threading.Event()
        self.inputs: list[list[float]] = []

    def run(self, graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
        self.inputs.append(inputs[0].tolist())
        self.started.set()
        assert self.may_end.wait(20)
        return list(inputs)


def test_a_request_that_left_the_queue_never_runs() -> None:
    model = Waiting()

    async def run() -> None:
        batcher = batching.Batcher(num_threads=1)
        settings = BatchingSettings(max_batch_size=2)
        first, left, right = (
            batcher.submit(model, Graph(("x",), ("y",)), [np.float32([x] * size)], settings)
            for x, size in ((1, 2), (2, 1), (3, 1))
        )
        await asyncio.to_thread(model.started.wait)
        left.abandoned = True
        model.may_end.set()
        await asyncio.gather(first.outcome, right.outcome)
        assert left.outcome.cancelled()

    asyncio.run(run())
    assert model.inputs == [[1, 1], [3]]


def test_the_model_may_bring_its_own_parameters(models: Models, tmp_path: Path) -> None:
    with batched(
        models, tmp_path, "max_batch_size { value: 8 }", enable_per_model_batching_parameters=True
    ) as client:
        # Without any, its requests run alone.
        assert client.predict(signature="scalar", x=np.float32(1))["y"] == 2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("allowed_batch_sizes: 2", "Last entry in allowed_batch_sizes must match max_batch_size"),
        ("max_batch_size { value: 4 } allowed_batch_sizes: [4, 4]", "must be positive and increase"),
        ("max_batch_size { value: 0 }", "greater than 0"),
    ],
)
def test_parameters_that_do_not_hold_are_refused(parameters: str, message: str) -> None:
    with pytest.raises(ServingError, match=message):
        read_batching_settings(text_format.Parse(parameters, BatchingParameters()))


class Doubling:
    """Stands for a model where only the arithmetic of batches is tried."""

    def run(self, graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return [2 * array for array in inputs]


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=6),
    st.sampled_from([(), (8, 16, 32), (30,)]),
)
def test_any_split_of_rows_gives_each_request_what_it_would_get_alone(
    sizes: list[int], allowed: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    tasks = [batching.Task([rng.integers(0, 9, (size, 3))], size, None) for size in sizes]
    outcomes = batching._outcomes(
        Doubling(), Graph((), ()), BatchingSettings(allowed_batch_sizes=allowed), tasks
    )
    for task, outcome in zip(tasks, outcomes, strict=True):
        np.testing.assert_array_equal(outcome[0], 2 * task.inputs[0])


def test_many_clients_at_once_all_get_their_answers(models: Models, tmp_path: Path) -> None:
    settings = (
        "max_batch_size { value: 16 } num_batch_threads { value: 2 } max_enqueued_batches { value: 100 }"
    )
    with batched(models, tmp_path, settings) as client, ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(client.answer, range(500)))
    assert answers == [x / 2 + 2 for x in range(500)]
