"""What the shell proposes while a command line of `millrace` is typed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from components.errors import UserError

if TYPE_CHECKING:
    from components.task import Task

Proposals = list[tuple[str, str]]


def task_names(incomplete: str) -> Proposals:
    """Proposes tasks with their summaries."""
    from pipelines.tasks import all_tasks

    return _beginning(incomplete, ((name, task.summary) for name, task in all_tasks().tasks.items()))


def node_names(incomplete: str) -> Proposals:
    """Proposes the nodes of the DAG as tables show them, or in lower case where one begins so."""
    from pipelines.dag.nodes import NODES

    shown = [node if node.startswith(incomplete) else node.lower() for node in NODES]
    return _beginning(incomplete, ((node, "") for node in shown))


def run_ids(ctx: typer.Context, incomplete: str) -> Proposals:
    """Proposes `latest` and the runs under the pipeline root; a long id where one begins to write it."""
    from pipelines.runs import history

    try:
        runs = history.read_runs(ctx.params["pipeline_root"])
    except UserError:
        runs = ()
    known = [(run.short_id, f"{run.state}, {run.run_id}") for run in runs]
    long = [(run.run_id, run.short_id) for run in runs if incomplete]
    return _beginning(incomplete, [(history.LATEST, "the newest run"), *known, *long])


def setting_keys(ctx: typer.Context, incomplete: str) -> Proposals:
    """Proposes what `--set` takes for the task before it, or else for any: "train.num_epochs="."""
    from pipelines.cli.meaning import meanings
    from pipelines.dag.settings import CanaryConfig, PushConfig
    from pipelines.tasks import TASKS

    chosen = _tasks_before(ctx) or TASKS.values()
    sections = [section for task in chosen for section in task.sections()]
    keys = {
        f"{name}.{key}=": meanings(type(section)).get(key, "")
        for name, section in [*sections, ("canary", CanaryConfig()), ("push", PushConfig())]
        for key in type(section).model_fields
    }
    return _beginning(incomplete, keys.items())


def preset_names(ctx: typer.Context, incomplete: str) -> Proposals:
    """Proposes the presets of the task before `--config`; where none begins so, the shell proposes files."""
    from pipelines import presets

    tasks = [task.name for task in _tasks_before(ctx)]
    known = [(name, presets.summary(task, name)) for task in tasks for name in presets.names(task)]
    return _beginning(incomplete, known)


def _tasks_before(ctx: typer.Context) -> list[Task]:
    """Returns the task of a command line, if it has been typed."""
    from pipelines.tasks import get_task

    found = []
    # An option that still lacks its value ends the reading of the words before it.
    for word in [ctx.params.get("task"), *ctx.args]:
        with suppress(UserError):
            found += [get_task(word)] if word else []
    return found


def _beginning(incomplete: str, proposals: Iterable[tuple[str, str]]) -> Proposals:
    return [(name, text) for name, text in proposals if name.startswith(incomplete)]
