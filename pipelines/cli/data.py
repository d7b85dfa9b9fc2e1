"""The verbs that get the raw data of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.cli import options

if TYPE_CHECKING:
    pass


def data_fetch(task: options.TaskName, out: options.OutDir, version: options.DataVersion = None) -> None:
    """Download the data of a task and check its SHA-256 sums."""
    from pipelines import console
    from pipelines.datasets import catalog
    from pipelines.tasks import get_task

    name = catalog.of_version(get_task(task).name, version)
    with console.download_progress() as progress:
        catalog.fetch(name, out, progress)
    console.note(f"{out}: complete")


def data_make(task: options.TaskName, out: options.OutDir, version: options.DataVersion = None) -> None:
    """Write a small data set that needs no network."""
    from pipelines import console
    from pipelines.datasets import catalog
    from pipelines.tasks import get_task

    catalog.make(catalog.of_version(get_task(task).name, version), out)
    console.note(f"{out}: complete")
