"""Millrace in Python, for notebooks and scripts: what `millrace` on the command line does, as functions.

>>> import millrace
>>> outcome = millrace.run("mnist", "digits", settings={"train": {"num_epochs": 3}})
>>> millrace.predict("mnist", "digits/digit.png")

Importing it takes no TensorFlow, which comes with the first function that needs it. What the functions return
are tuples of plain objects, which a notebook shows as tables. Mistakes in what is given raise UserError,
failures of the work itself Failure; each is one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.errors import Failure, UserError
from millrace.shown import Outcome, Table

if TYPE_CHECKING:
    from components.protocols import Reply
    from components.registry.registry import PublishedVersion
    from components.task import Task
    from pipelines.runs.history import Run

__all__ = ["Failure", "Outcome", "Table", "UserError", "load_task", "models", "predict", "run", "runs"]

DEFAULT_ROOT: Final = "./millrace-root"


def load_task(task: str | Task) -> Task:
    """Returns a task by its name, or at "package.module:TASK"; a task is returned as it is.

    Raises UserError for one that is not known, or not declared well.
    """
    from pipelines.tasks import get_task

    return get_task(task) if isinstance(task, str) else task


def run(
    task: str | Task,
    data: str | Path,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    pipeline_root: str | Path = DEFAULT_ROOT,
) -> Outcome:
    """Runs a task's DAG on a folder of raw files; returns how it went, also where the model was refused.

    `settings` are those of `--set`, by section: {"train": {"num_epochs": 3}}. Raises UserError and Failure.
    """
    from pipelines.dag.settings import RunConfig
    from pipelines.runs import launch

    root = launch.absolute(str(pipeline_root))
    config = RunConfig(data_dir=launch.absolute(str(data)), pipeline_root=root, models_dir=_models_dir(root))
    overrides = {section: dict(values) for section, values in (settings or {}).items()}
    report = launch.launch(load_task(task), config, overrides)
    return Outcome.of(report, launch.evaluation_of(report), launch.why_not_published(report))


def predict(
    task: str | Task,
    *inputs: str | Path,
    texts: Iterable[str] = (),
    rows: str | Path | None = None,
    fields: Mapping[str, str] | None = None,
    model: str | Path | None = None,
    pipeline_root: str | Path = DEFAULT_ROOT,
) -> Table[Reply]:
    """Returns a reply for each input, as the task takes them: texts, or paths of files.

    `texts` are inputs that name no files, `rows` is a file whose rows are asked about, `fields` what goes
    with all inputs, such as {"context": …}; `model` is the folder of a SavedModel in place of the live one.
    Raises UserError, also where no model is published.
    """
    from components.protocols import Given
    from pipelines import console
    from pipelines.prediction import predict as asking

    asked = load_task(task)
    given = Given([*map(str, inputs)], Path(rows) if rows else None, dict(fields or {}), [*texts])
    with console.quiet(None, debug=False):
        found = str(model) if model else asking.published_model(_models_dir(pipeline_root), asked.name)
        replies = asking.predict(asked, asking.questions(asked, given), asking.load(asked, found))
    columns = ["input", *(replies[0].cells if replies else ())]
    cells = [[reply.name, *reply.cells.values()] for reply in replies]
    return Table(replies, [name.removesuffix(">") for name in columns], cells)


def models(task: str | Task, *, pipeline_root: str | Path = DEFAULT_ROOT) -> Table[PublishedVersion]:
    """Returns the published versions of a task's model, oldest first; the last one is live."""
    from components.registry import registry

    found = registry.versions(_models_dir(pipeline_root), load_task(task).name)
    cells = [[str(each.version), each.created, _numbers(each.metrics), each.path] for each in found]
    return Table(found, ["version", "created", "metrics", "path"], cells)


def runs(task: str | Task | None = None, *, pipeline_root: str | Path = DEFAULT_ROOT) -> Table[Run]:
    """Returns the runs of all tasks or of one, newest first."""
    from pipelines.runs import history

    found = history.read_runs(str(pipeline_root), load_task(task).name if task else None)
    cells = [
        [each.short_id, each.state, each.started.isoformat(" ", "seconds"), f"{each.seconds:.1f}",
         _numbers(each.evaluation.metrics) if each.evaluation else "", str(each.published_version or "")]
        for each in found
    ]  # fmt: skip
    return Table(found, ["run", "state", "started", "seconds", "metrics", "published"], cells)


def _models_dir(pipeline_root: str | Path) -> str:
    from pipelines.runs.launch import absolute

    return absolute(str(Path(pipeline_root, "models")))


def _numbers(metrics: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if isinstance(value, float))
