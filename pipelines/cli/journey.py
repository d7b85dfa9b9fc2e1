"""The verb that follows one example from the raw row to the answer."""

from __future__ import annotations

from pathlib import Path

import typer

from components.errors import UserError
from pipelines.cli import options


def show(
    ctx: typer.Context,
    task: options.TaskName,
    row: options.Row = 1,
    data: options.LastData = None,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    as_json: options.Json = False,
) -> None:
    """Follow one example from the raw row to the answer.

    Each step comes with the file that does it. Without a run of the task, features and answer are left out.
    """
    from pipelines import console
    from pipelines.prediction import journey
    from pipelines.runs import history
    from pipelines.tasks import get_task

    chosen = get_task(task)
    with console.quiet(None, options.debug(ctx)):
        runs = history.read_runs(pipeline_root, chosen.name)
        places = journey.places(runs, options.models_dir(models, pipeline_root), chosen.name)
        data_dir = data or places.data_dir
        if data_dir is None:
            raise UserError(f"show: expected --data DIR, since there is no run of {chosen.name}")
        steps = journey.followed(chosen, Path(data_dir), row, places)
    if as_json:
        console.print_json([step._asdict() for step in steps])
        return
    for step in steps:
        console.results().print(f"{step.title}  {step.file}", style="bold", soft_wrap=True)
        for name, text in step.shown.items():
            console.results().print(f"  {name}  {text}", soft_wrap=True)
