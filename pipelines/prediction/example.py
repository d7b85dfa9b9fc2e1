"""The first question to a new model: an example of its evaluation data, as words of a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from components import files
from components.errors import UserError
from components.protocols import BadRecord, Given, Note, Record, TakesFiles
from components.task import Task


def example_words(task: Task, data_dir: str, folder: Path) -> list[str]:
    """Returns what to write after `predict TASK`: ["millrace-root/examples/mnist.png"], or ["A sentence."].

    What has to be a file is written into `folder`; where that cannot be, ["INPUT"].
    """
    given = task.fitted_asking.sample
    # The data may be gone by now, or the disk be full: no reason for a run to fail at its end.
    with suppress(OSError, UserError, StopIteration):
        given = given if files.is_uri(data_dir) else first_question(task, Path(data_dir), folder)
    return list(_words(given)) or ["INPUT"]


def first_question(task: Task, data_dir: Path, folder: Path) -> Given:
    """Returns what asks about the first example of a task's evaluation data; a file is written into `folder`.

    Where the task takes texts, that is its sample. Raises OSError, UserError, StopIteration for no example.
    """
    asking = task.fitted_asking
    if not isinstance(asking, TakesFiles):
        return asking.sample
    folder.mkdir(parents=True, exist_ok=True)
    return asking.written(_first_record(task, data_dir), folder / task.name)


def _first_record(task: Task, data_dir: Path) -> Record:
    split = task.source.input_splits[-1]
    records = (record for part in task.source.parts(data_dir, split) for record in part.records())
    return next(record for record in records if not isinstance(record, (BadRecord, Note)))


def _words(given: Given) -> Iterator[str]:
    yield from given.inputs
    if given.rows is not None:
        yield from ("--pairs", str(given.rows))
    for name, value in given.fields.items():
        yield from ("--field", f"{name}={value}")
