"""Requests run together: the dynamic batching of TensorFlow Serving's BatchingSession.

Requests share a batch if they ask the same version for the same tensors, and their inputs have the same
dtypes and, beyond the 0th dimension, the same shapes. A batch runs once a thread is free for it and it is
full or old enough. If it fails, each of its requests runs alone, so that a bad one fails alone.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import grpc
import numpy as np
from numpy.typing import NDArray

from components.serving.errors import ServingError, invalid_argument
from components.serving.models.batching_settings import BatchingSettings
from components.serving.models.servable import Arrays, Graph, Servable

_Outcome: TypeAlias = "list[NDArray[Any]] | BaseException"


@dataclass(eq=False)
class Task:
    """A request in a batch; `outcome` comes on the event loop."""

    inputs: Arrays
    size: int
    outcome: asyncio.Future[list[NDArray[Any]]]
    # Nobody waits any more; it is left out of a batch that has not begun.
    abandoned: bool = False


@dataclass(eq=False)
class _Batch:
    kind: tuple[Any, ...]  # what its requests have in common: the servable, the graph, dtypes and shapes
    settings: BatchingSettings
    tasks: list[Task] = field(default_factory=list)
    size: int = 0
    # Full, old enough, or followed by another of its kind.
    is_due: bool = False


class Batcher:
    """Forms and runs batches; its methods belong to the event loop."""

    def __init__(self, num_threads: int) -> None:
        self._threads = ThreadPoolExecutor(num_threads, "batch")
        self._num_free = num_threads
        # (servable, graph) -> batches, oldest first; in the order of service.
        self._queues: OrderedDict[Hashable, list[_Batch]] = OrderedDict()
        # The batches that still take requests.
        self._open: dict[Hashable, _Batch] = {}

    def submit(self, servable: Servable, graph: Graph, inputs: Arrays, settings: BatchingSettings) -> Task:
        """Returns the request, enqueued; ServingError if it is too large or the queue is full."""
        size = _batch_size(inputs)
        if size > settings.max_batch_size:
            raise invalid_argument(
                f"Task size {size} is larger than maximum input batch size {settings.max_batch_size}"
            )
        kind = (servable, graph, *(_outer(array, settings) for array in inputs))
        batch = self._open.get(kind)
        if batch is None or batch.size + size > settings.max_batch_size:
            batch = self._new_batch(kind, settings)
        task = Task(inputs, size, asyncio.get_running_loop().create_future())
        batch.tasks.append(task)
        batch.size += size
        if batch.size == settings.max_batch_size:
            self._close(batch)
        return task

    def stop(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=False)

    def _new_batch(self, kind: tuple[Any, ...], settings: BatchingSettings) -> _Batch:
        queue = self._queues.setdefault(kind[:2], [])
        if len(queue) >= settings.max_enqueued_batches:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full",
            )
        if kind in self._open:
            self._close(self._open[kind])
        batch = self._open[kind] = _Batch(kind, settings)
        queue.append(batch)
        asyncio.get_running_loop().call_later(settings.batch_timeout_us / 1e6, self._ripen, batch)
        return batch

    def _close(self, batch: _Batch) -> None:
        del self._open[batch.kind]
        self._ripen(batch)

    def _ripen(self, batch: _Batch) -> None:
        batch.is_due = True
        self._dispatch()

    def _dispatch(self) -> None:
        while self._num_free and (batch := self._next_due()):
            for task in batch.tasks:
                if task.abandoned:
                    task.outcome.cancel()
            tasks = [task for task in batch.tasks if not task.abandoned]
            if tasks:
                self._num_free -= 1
                servable, graph = batch.kind[:2]
                running = self._threads.submit(_outcomes, servable, graph, batch.settings, tasks)
                asyncio.wrap_future(running).add_done_callback(partial(self._finish, tasks))

    def _next_due(self) -> _Batch | None:
        """Takes out the oldest due batch of the queue whose turn it is."""
        for key, queue in self._queues.items():
            batch = next((batch for batch in queue if batch.is_due), None)
            if batch is not None:
                queue.remove(batch)
                if self._open.get(batch.kind) is batch:
                    del self._open[batch.kind]
                self._queues.move_to_end(key)
                if not queue:
                    del self._queues[key]
                return batch
        return None

    def _finish(self, tasks: Sequence[Task], running: asyncio.Future[list[_Outcome]]) -> None:
        self._num_free += 1
        error = running.exception()
        outcomes = running.result() if error is None else [error] * len(tasks)
        for task, outcome in zip(tasks, outcomes, strict=True):
            if task.abandoned:
                task.outcome.cancel()
            elif isinstance(outcome, BaseException):
                task.outcome.set_exception(outcome)
            else:
                task.outcome.set_result(outcome)
        self._dispatch()


def _batch_size(inputs: Arrays) -> int:
    if not inputs:
        raise invalid_argument("Batching session Run() must have at least one input tensor")
    if any(array.ndim == 0 for array in inputs):
        raise invalid_argument("Batching session Run() input tensors must have at least one dimension")
    if any(len(array) != len(inputs[0]) for array in inputs):
        raise invalid_argument("Batching session Run() input tensors must have equal 0th-dimension size")
    return len(inputs[0])


def _outer(array: NDArray[Any], settings: BatchingSettings) -> tuple[Any, ...]:
    return array.dtype, array.ndim if settings.pad_variable_length_inputs else array.shape[1:]


def _outcomes(
    servable: Servable, graph: Graph, settings: BatchingSettings, tasks: Sequence[Task]
) -> list[_Outcome]:
    """Runs a batch, in a thread, and returns its requests' outputs; where it fails, each one's own."""
    try:
        return list(_run(servable, graph, settings, tasks))
    except ServingError as error:
        if len(tasks) == 1:
            return [error]
    return [_outcomes(servable, graph, settings, [task])[0] for task in tasks]


def _run(
    servable: Servable, graph: Graph, settings: BatchingSettings, tasks: Sequence[Task]
) -> Iterator[list[NDArray[Any]]]:
    sizes = [task.size for task in tasks]
    total = sum(sizes)
    num_rows = next((size for size in settings.allowed_batch_sizes if size >= total), total)
    merged = [
        _merged([task.inputs[i] for task in tasks], num_rows - total) for i in range(len(tasks[0].inputs))
    ]
    outputs = servable.run(graph, merged)
    for output in outputs:
        _check_output(output, num_rows if total else 0)
    for start, size in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
        yield [output[start : start + size] for output in outputs]


def _merged(arrays: list[NDArray[Any]], num_missing: int) -> NDArray[Any]:
    """Returns arrays joined along axis 0, filled up with copies of a row that is known to be valid."""
    if len({array.shape[1:] for array in arrays}) > 1:
        arrays = _padded(arrays)
    rows = next((array[:1] for array in arrays if len(array)), None)
    if rows is not None and num_missing:
        arrays = [*arrays, np.repeat(rows, num_missing, axis=0)]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _padded(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    outer = np.max([array.shape[1:] for array in arrays], axis=0)
    padded = []
    for array in arrays:
        wide = np.full((len(array), *outer), b"" if array.dtype == object else 0, array.dtype)
        wide[tuple(slice(size) for size in array.shape)] = array
        padded.append(wide)
    return padded


def _check_output(output: NDArray[Any], num_rows: int) -> None:
    if output.ndim == 0:
        raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
    if len(output) != num_rows:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the "
            "0th dimension sizes of the input tensors",
        )
