"""The verbs that get the raw data of a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from components.errors import UserError
from pipelines.cli import options

if TYPE_CHECKING:
    from components.protocols import Surveyed, Surveys


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


def data_show(
    ctx: typer.Context,
    task: options.TaskName,
    data: options.DataDir,
    picture: options.DataPicture = None,
    assignments: options.Assignments = None,
    configs: options.Configs = None,
    as_json: options.Json = False,
) -> None:
    """Show what raw data hold, and what looks wrong.

    Of scans a row each; of other data counts, lengths, the first rows, and rows that are in it twice, empty,
    far longer than others or labelled in several ways. Settings of the source count.
    """
    from components.protocols import Surveys
    from pipelines import console
    from pipelines.cli import data_tables, tables
    from pipelines.datasets.survey import survey
    from pipelines.tasks import get_task

    chosen = get_task(task).override(options.overrides(task, configs, assignments))
    source, told = chosen.source, {"task": chosen.name, "dir": data}
    if isinstance(source, Surveys):
        with console.quiet(None, options.debug(ctx)):
            records = _surveyed(source, Path(data), picture)
        if as_json:
            console.print_json({**told, "cases": tables.surveyed_json(records)})
        else:
            tables.show_surveyed(records)
        return
    if picture is not None:
        raise UserError(f"--picture: expected a task of scans, got {chosen.name}")
    with console.quiet(None, options.debug(ctx)):
        found = survey(source, Path(data))
    if as_json:
        console.print_json({**told, **data_tables.survey_json(found, source.features)})
    else:
        data_tables.show_survey(found, source.features)


def _surveyed(source: Surveys, directory: Path, picture: Path | None) -> Sequence[Surveyed]:
    """Returns what a look at each record shows, and draws them."""
    from components import files
    from pipelines import console

    looks = source.surveys(directory)
    read = (look() for look in looks)
    records = source.compared(list(console.counted(read, len(looks), "cases")))
    if picture is not None:
        files.write_bytes(str(picture), _sheet(records))
    return records


def _sheet(records: Sequence[Surveyed]) -> bytes:
    """Returns pictures of what can be read, side by side, as PNG."""
    from components.pictures import contact_sheet
    from pipelines import console

    shown = [(record.name, record.picture) for record in records if record.picture]
    if not shown:
        raise UserError("--picture: expected at least one case that can be read, got none")
    drawn = ((name, picture()) for name, picture in shown)
    return contact_sheet(console.counted(drawn, len(shown), "pictures"))


def _tell(task: str, out: Path, as_json: bool) -> None:
    from pipelines import console

    console.note(f"{out}: complete")
    if as_json:
        files = [{"name": file.name, "bytes": file.stat().st_size} for file in sorted(out.iterdir())]
        console.print_json({"task": task, "dir": str(out.absolute()), "files": files})
