"""From what a user asked for to a finished run: everything is checked before anything heavy is loaded."""

from __future__ import annotations

import importlib.resources
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING

from components import files
from components.errors import Failure, UserError
from components.patterns import check_literal
from components.registry import registry
from components.task import Task
from pipelines import console, program
from pipelines.dag.nodes import check_order
from pipelines.dag.settings import Overrides, RunConfig, apply_overrides
from pipelines.runs import advice, interrupt
from pipelines.runs.display import Display, NodeReport
from pipelines.runs.history import Evaluation, read_evaluation
from pipelines.runs.record import NOTHING_ASKED, Asked

if TYPE_CHECKING:
    from pipelines.runs.foresee import Foreseen
    from pipelines.runs.local import RunReport


class LaunchError(UserError):
    """A run that cannot start."""


class NotPublished(Failure):
    """A run that went well and whose model was refused."""


def launch(
    task: Task,
    config: RunConfig,
    overrides: Overrides,
    *,
    asked: Asked = NOTHING_ASKED,
    from_node: str | None = None,
    until_node: str | None = None,
    on_node: Callable[[NodeReport], None] = lambda report: None,
    debug: bool = False,
) -> RunReport:
    """Applies the overrides, checks all that can be checked quickly, then runs the DAG."""
    told: list[NodeReport] = []
    task, config = apply_overrides(task, config, overrides)
    check_order(from_node, until_node)
    for location in (config.data_dir, config.pipeline_root):
        _check_local(location)
    for root in (config.pipeline_root, config.models_dir):
        check_writable(root)
    if files.is_uri(config.models_dir):
        # A bucket that cannot be reached is told before anything is trained for it.
        with console.quiet(None, debug):
            registry.live(config.models_dir, task.name)
    # Where the Canary serves a model from.
    check_literal(tempfile.gettempdir())
    task.source.check(Path(config.data_dir))
    if warning := advice.before(task, config.data_dir):
        console.note(warning)
    log = _new_log(config.pipeline_root)
    asked = asked._replace(given=overrides or asked.given, log=str(log))
    console.note(f"loading TensorFlow and TFX; their own messages go to {log}")
    provide_time_zones()
    start_s = time.time()

    def tell_kept() -> None:
        # Which the block on the terminal hides, and a process that ends at once leaves hidden.
        console.diagnostics().show_cursor()
        console.note(advice.after_interrupt(task, config, told, start_s))

    try:
        with console.quiet(log, debug), interrupt.acknowledged(tell_kept), Display() as display:
            from pipelines.runs import local

            def tell(report: NodeReport) -> None:
                told.append(report)
                display.tell(report)
                on_node(report)

            return local.run(
                task, config, asked=asked, from_node=from_node, until_node=until_node, on_node=tell
            )
    except KeyboardInterrupt:
        tell_kept()
        raise


def foreseen(
    task: Task, config: RunConfig, from_node: str | None, until_node: str | None, *, debug: bool = False
) -> list[Foreseen]:
    """Returns what a run would do with each node; checks what a run checks, and writes nothing."""
    check_order(from_node, until_node)
    for location in (config.data_dir, config.pipeline_root):
        _check_local(location)
    task.source.check(Path(config.data_dir))
    console.note("loading TensorFlow and TFX; nothing is run")
    provide_time_zones()
    with console.quiet(None, debug):
        from pipelines.runs.foresee import foresee

        return foresee(task, config, from_node, until_node)


def why_not_published(report: RunReport) -> str | None:
    """Returns why a run that got as far as judging its model did not publish it."""
    if report.blessed is False:
        evaluation = evaluation_of(report)
        reasons = "; ".join(evaluation.reasons) if evaluation else "see its evaluation"
        return f"the model is not blessed: {reasons}"
    if report.canary_reason is not None:
        return f"the canary refused the model: {report.canary_reason}"
    if report.push_reason:
        return report.push_reason
    return None


def evaluation_of(report: RunReport) -> Evaluation | None:
    """Returns what the Evaluator found in a run that reached it."""
    return read_evaluation(report.evaluation_dir) if report.evaluation_dir else None


def absolute(location: str) -> str:
    """Returns a local path as an absolute one, so that what is recorded holds from everywhere."""
    return location if files.is_uri(location) else os.path.abspath(location)


def beam_options(assignments: Iterable[str]) -> dict[str, str]:
    """Returns Beam's options by name: ["direct_num_workers=2"] -> {"direct_num_workers": "2"}.

    Raises UserError for what is none of Beam's.
    """
    options = {}
    for assignment in assignments:
        name, separator, value = assignment.removeprefix("--").partition("=")
        if not (name and separator):
            raise LaunchError(f"--beam {assignment}: expected KEY=VALUE")
        if name in options:
            raise LaunchError(f"--beam {assignment}: {name} is given twice")
        options[name] = value
    if options:
        # Only now: it takes Beam, which warns of much as it is imported.
        from pipelines.runs.beam import check_options

        with console.quiet(None, debug=False):
            return check_options(options)
    return options


def check_writable(root: str) -> None:
    """Makes a local folder; raises LaunchError unless files can be written there, and PatternError."""
    check_literal(root)
    if files.is_uri(root):
        return
    try:
        os.makedirs(root, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT):
            raise
        raise LaunchError(f"{root}: expected a folder that can be written, got: {error.strerror}") from error


def provide_time_zones() -> None:
    """Lets TFX, which ends the process where a system has no time zones, use those of the package tzdata."""
    if not os.path.isdir("/usr/share/zoneinfo"):
        folder = importlib.resources.files("tzdata") / "zoneinfo"
        os.environ.setdefault("TZDIR", str(folder))


def _check_local(location: str) -> None:
    """Raises LaunchError for a URI, where a cluster alone could read and write."""
    if files.is_uri(location):
        command = program.command("submit", "--help")
        raise LaunchError(f"{location}: expected a folder here, got a URI; a cluster reads it: `{command}`")


def _new_log(pipeline_root: str) -> Path:
    folder = Path(pipeline_root, "logs")
    folder.mkdir(exist_ok=True)
    return folder / f"{datetime.now(timezone.utc):%Y-%m-%dT%H-%M-%SZ}.log"
