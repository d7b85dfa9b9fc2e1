"""The verbs that get the raw data of a task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli import options

if TYPE_CHECKING:
    pass


def data_fetch(
    task: options.TaskName,
    out: options.OutDir,
    version: options.DataVersion = None,
    as_json: options.Json = False,
) -> None:
    """Download the data of a task and check its SHA-256 sums."""
    from pipelines import console
    from pipelines.datasets import catalog
    from pipelines.tasks import get_task

    name = catalog.of_version(get_task(task).name, version)
    with console.download_progress() as progress:
        catalog.fetch(name, out, progress)
    _tell(task, out, as_json)


def data_make(
    task: options.TaskName,
    out: options.OutDir,
    version: options.DataVersion = None,
    cases: options.DataCases = None,
    as_json: options.Json = False,
) -> None:
    """Write a small data set that needs no network."""
    from pipelines.datasets import catalog
    from pipelines.tasks import get_task

    catalog.make(catalog.of_version(get_task(task).name, version), out, cases)
    _tell(task, out, as_json)


def _tell(task: str, out: Path, as_json: bool) -> None:
    from pipelines import console

    console.note(f"{out}: complete")
    if as_json:
        files = [{"name": file.name, "bytes": file.stat().st_size} for file in sorted(out.iterdir())]
        console.print_json({"task": task, "dir": str(out.absolute()), "files": files})
