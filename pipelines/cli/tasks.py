"""The verbs that show tasks."""

from __future__ import annotations

from pipelines.cli import options


def tasks_list(as_json: options.Json = False) -> None:
    """List the tasks, and what presets `--config` takes for each (the default)."""
    from pipelines import console
    from pipelines.cli import tables
    from pipelines.tasks import all_tasks

    whole, broken = all_tasks()
    if as_json:
        known = [tables.task_json(task) for task in whole.values()]
        console.print_json([*known, *({"name": name, "error": broken[name]} for name in broken)])
    else:
        tables.show_tasks(whole.values(), broken)


def tasks_show(
    task: options.TaskName, signatures: options.Signatures = False, as_json: options.Json = False
) -> None:
    """Show one task: the files that it reads, its settings with defaults and meaning, metrics."""
    from pipelines import console
    from pipelines.cli import task_tables
    from pipelines.tasks import get_task

    chosen = get_task(task)
    # What a request carries is told in TensorFlow's words, which take seconds to learn.
    with console.quiet(None, debug=False):
        described = task_tables.describe(chosen, with_signatures=signatures)
    if as_json:
        console.print_json(described)
    else:
        task_tables.show(described)
