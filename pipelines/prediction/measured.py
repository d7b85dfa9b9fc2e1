"""What a model is to be measured on, checked before anything heavy is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from components.errors import UserError
from components.protocols import EvaluatesFile, Source, Split
from components.task import Task


class DataError(UserError):
    """Data that a task cannot be measured on."""


class Measured(NamedTuple):
    """A task whose source reads the evaluation split from files in a folder."""

    task: Task
    directory: Path


def measured(task: Task, data: Path) -> Measured:
    """Returns what to measure on a folder as for a run, or on one file; raises DataError or FormatError."""
    source, directory = task.source, data
    if data.is_file():
        if not isinstance(source, EvaluatesFile):
            raise DataError(f"{data}: expected a folder as for `millrace run {task.name}`, got a file")
        source, directory = source.with_evaluation_file(data.name), data.parent
    elif not data.exists():
        raise DataError(f"{data}: expected a folder as for `millrace run {task.name}`, got none")
    # Raises where the files are not there.
    source.parts(directory, evaluation_split(source))
    return Measured(task.model_copy(update={"source": source}), directory)


def evaluation_split(source: Source) -> Split:
    """Returns the input split that blesses a model."""
    return next(split for split in source.input_splits if split.name == source.evaluation_split)
