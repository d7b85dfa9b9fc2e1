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
    from pipelines.dag.settings import RunConfig
    from pipelines.runs.display import NodeReport
    from pipelines.runs.local import RunReport

# States of nodes that a later run need not execute again.
_DONE: Final = ("complete", "cached")
_CHECKPOINT: Final = "init_checkpoint"


def before(task: Task, data_dir: str) -> str | None:
    """Returns what to know of training that can begin with trained weights and does not; None: nothing."""
    if not _lacks_checkpoint(task) or task.blessing.threshold <= 0:
        return None
    if (
        not files.is_uri(data_dir)
        and task.name in catalog.MAKERS
        and catalog.is_made(task.name, Path(data_dir))
    ):
        return None
    needed = f"{task.blessing.metric} {task.blessing.threshold:g}"
    return (
        f"{task.name}: a small network that starts from random weights will hardly reach {needed} "
        f"on real data, and be refused; --set model.{_CHECKPOINT}=DIR starts from trained ones"
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
        yield f"ask it: {program.command('predict', task.reference, *look, '--model', report.model_dir)}"


def after_interrupt(task: Task, config: RunConfig, told: Sequence[NodeReport], start_s: float) -> str:
    """Returns what is kept of a run that somebody ended, and from where the same command goes on.

    `told` are the reports of its nodes; checkpoints count that are newer than `start_s`, in seconds of Unix.
    """
    done = [report.node for report in told if report.state in _DONE] if config.enable_cache else []
    step = _newest_step(Path(config.unfinished_dir(task.name)), start_s)
    if step is not None:
        done.append(f"the training up to step {step}")
    if not done:
        return "nothing is finished yet; the same command starts anew"
    where = f"from step {step}" if step is not None else f"after {done[-1]}"
    return f"kept: {', '.join(done)}; the same command goes on {where}"


def _newest_step(folder: Path, since_s: float) -> int | None:
    """Returns the optimizer step of the newest checkpoint, such as `ckpt-400.index`."""
    found = [(path.stat().st_mtime, path) for path in folder.rglob("ckpt-*.index")]
    newest = max((each for each in found if each[0] >= since_s), default=None)
    return int(newest[1].stem.removeprefix("ckpt-")) if newest else None


def _lacks_checkpoint(task: Task) -> bool:
    return getattr(task.model, _CHECKPOINT, "") is None


def _longer(task: Task) -> str:
    steps = task.train.num_steps
    return f"train.num_steps={2 * steps}" if steps else f"train.num_epochs={2 * task.train.num_epochs}"


def _again(arguments: Sequence[str], assignment: str) -> str:
    return program.command(*program.with_setting(arguments, assignment))
