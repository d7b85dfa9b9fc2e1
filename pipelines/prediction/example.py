"""The first question to a new model: an example of its evaluation data, as words of a command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components import files
from components.errors import UserError
from components.protocols import BadRecord, Given, Note, Record, TakesFiles
from components.task import Task


def example_words(task: Task, data_dir: str, folder: Path) -> list[str]:
    """Returns what to write after `predict TASK`: ["millrace-root/examples/mnist.png"], or ["A sentence."].

    What has to be a file is written into `folder`; where that cannot be, ["INPUT"].
    """
    asking = task.fitted_asking
    given = asking.sample
    if isinstance(asking, TakesFiles) and not files.is_uri(data_dir):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            given = asking.written(_first_record(task, Path(data_dir)), folder / task.name)
        except (OSError, UserError, StopIteration):
            # The data may be gone by now, or the disk be full: no reason for a run to fail at its end.
            given = asking.sample
    return list(_words(given)) or ["INPUT"]


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
