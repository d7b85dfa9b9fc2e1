"""The verb that proposes settings for data and a memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from components.errors import UserError
from pipelines.cli import options


def plan(
    ctx: typer.Context,
    task: options.TaskName,
    data: options.DataDir,
    memory: options.Memory = "8GB",
    out: options.PlanFile = None,
    assignments: options.Assignments = None,
    configs: options.Configs = None,
    as_json: options.Json = False,
) -> None:
    """Propose settings for scans: spacing, patches, network, batch.

    They are a file for `run --config`, with the reason for each. Settings of the source count, and the kind
    of network that is given.
    """
    from components.protocols import HasGrids
    from pipelines import console, program
    from pipelines.planning import plan as planning
    from pipelines.tasks import get_task

    memory_bytes = planning.read_bytes(memory)
    chosen = get_task(task).override(options.overrides(task, configs, assignments))
    if not isinstance(chosen.source, HasGrids):
        raise UserError(f"plan: expected a task of scans, got {chosen.name}")
    with console.quiet(None, options.debug(ctx)):
        grids = chosen.source.grids(Path(data))
    made = planning.plan(chosen, grids, memory_bytes)
    # What does not go with the task is better known now than when it is run.
    chosen.override(made.sections)
    files, sets = _repeated("--config", configs), _repeated("--set", assignments)
    command = program.command("plan", chosen.reference, "--data", data, *files, *sets, "--memory", memory)
    text = planning.as_yaml(made, command, len(grids))
    if out is not None:
        _write(out, text)
        console.note(program.command("run", chosen.reference, "--data", data, *files, "--config", out, *sets))
    if as_json:
        console.print_json({"task": chosen.name, "cases": len(grids), **planning.to_json(made)})
    elif out is None:
        print(text, end="")


def _repeated(option: str, values: Sequence[object] | None) -> list[object]:
    """Returns the words of an option that was given with each of these: ["--set", "a.b=1"]."""
    return [word for value in values or () for word in (option, value)]


def _write(out: Path, text: str) -> None:
    from pipelines import full_disk

    if not out.parent.is_dir():
        raise UserError(f"--out {out}: expected a file in an existing folder")
    with full_disk.writing(str(out)):
        out.write_text(text, encoding="utf-8")
