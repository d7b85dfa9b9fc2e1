"""What a run is told before it starts and after its model was refused, in commands that can be pasted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from components import files
from components.task import Task
from pipelines import program
from pipelines.datasets import catalog
from pipelines.runs.history import read_evaluation

if TYPE_CHECKING:
    from pipelines.runs.local import RunReport

_CHECKPOINT: Final = "init_checkpoint"


def before(task: Task, data_dir: str) -> str | None:
    """Returns what to know of training that can begin with trained weights and does not; None: nothing."""
    if not _lacks_checkpoint(task) or task.blessing.threshold <= 0:
        return None
    if not files.is_uri(data_dir) and catalog.is_learnable_data(task.name, Path(data_dir)):
        return None
    needed = f"{task.blessing.metric} {task.blessing.threshold:g}"
    return (
        f"{task.name}: a small network that starts from random weights does not reach {needed} on real data, "
        f"and will be refused; --set model.{_CHECKPOINT}=DIR starts from trained ones"
    )


def after_refusal(
    task: Task, report: RunReport, arguments: Sequence[str], look: Sequence[str]
) -> Iterator[str]:
    """Yields what to try, a line each: other settings of the same command, the report, the model itself.

    `arguments` are those of the command that ran, `look` those of `predict TASK` for a first question.
    """
    if report.blessed is False:
        yield f"train longer: {_again(arguments, _longer(task))}"
        if _lacks_checkpoint(task):
            yield f"start from trained weights: {_again(arguments, f'model.{_CHECKPOINT}=DIR')}"
    if report.push_reason:
        yield f"publish it nevertheless: {program.command(*arguments, '--force')}"
    evaluation = read_evaluation(report.evaluation_dir) if report.evaluation_dir else None
    if evaluation is not None:
        yield f"see its mistakes: {evaluation.report}"
    if report.model_dir:
        yield f"ask it: {program.command('predict', task.name, *look, '--model', report.model_dir)}"


def _lacks_checkpoint(task: Task) -> bool:
    return getattr(task.model, _CHECKPOINT, "") is None


def _longer(task: Task) -> str:
    steps = task.train.num_steps
    return f"train.num_steps={2 * steps}" if steps else f"train.num_epochs={2 * task.train.num_epochs}"


def _again(arguments: Sequence[str], assignment: str) -> str:
    return program.command(*program.with_setting(arguments, assignment))
