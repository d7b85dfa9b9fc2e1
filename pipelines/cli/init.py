"""The verb that writes a project for a user's own data."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import UserError
from pipelines.cli import options

if TYPE_CHECKING:
    from pipelines.projects.writing import Project


def init(
    name: options.ProjectName,
    source: options.ProjectSource,
    text: options.TextColumn = None,
    text2: options.SecondTextColumn = None,
    label: options.LabelColumn = None,
    score: options.ScoreColumn = None,
    evaluation: options.EvaluationFile = None,
    size: options.ImageSize = None,
    labels: options.LabelNames = None,
    as_json: options.Json = False,
) -> None:
    """Write a project with a task for your own data.

    These are texts with labels or scores in a .csv, .tsv or .jsonl file, images in a folder for each class or
    in idx files, or scans with masks. What is not told of the columns is asked on a terminal. The data stay
    where they are; a few texts or images become the data of the project's test.
    """
    from pipelines import console, program
    from pipelines.projects import writing

    package, folder = writing.package_of(name), Path(name)
    writing.check_free(folder)
    if not source.exists():
        raise UserError(f"--from {source}: no such file or folder")
    columns = {"text": text, "text2": text2, "label": label, "score": score}
    if source.is_dir():
        _check_unused("a file", {**columns, "eval": evaluation})
        project = _of_folder(name, package, source, size, labels)
    else:
        _check_unused("a folder of images", {"size": size})
        _check_unused("a folder of scans or idx files", {"labels": labels})
        project = _of_table(name, package, source, columns, evaluation)
    writing.write(folder, project)
    for note in project.notes:
        console.note(note)
    reference, data = f"{package}.task:TASK", source if source.is_dir() else source.parent
    command = program.command("run", reference, "--data", data.absolute(), "--config", "config.yaml")
    if as_json:
        console.print_json(
            {"project": str(folder.absolute()), "task": package, "reference": reference, "command": command}
        )
    else:
        print(f"project    {folder.absolute()}\ntry it     cd {name} && {command}")


def _of_table(
    name: str, package: str, source: Path, columns: Mapping[str, str | None], evaluation: Path | None
) -> Project:
    from pipelines.projects import tables

    seen = tables.look(source)
    chosen = tables.with_evaluation(tables.ask(seen, columns, _question(seen.names)), seen, evaluation)
    return tables.project(name, package, seen, chosen)


def _of_folder(name: str, package: str, source: Path, size: str | None, labels: str | None) -> Project:
    from components.sources.idx import has_idx
    from pipelines.projects import idx, images, volumes

    names = None if labels is None else [each.strip() for each in labels.split(",")]
    if volumes.has_scans(source):
        _check_unused("a folder of images", {"size": size})
        return volumes.project(name, package, volumes.look(source, names))
    if has_idx(str(source)):
        _check_unused("a folder of images", {"size": size})
        return idx.project(name, package, idx.look(source, names))
    _check_unused("a folder of scans or idx files", {"labels": labels})
    seen = images.look(source, _size(size))
    if seen is None:
        expected = "a folder of .png or .jpg images for each of two or more classes"
        raise UserError(f"{source}: expected {expected}, MNIST's idx files, or scans with masks")
    return images.project(name, package, seen)


def _size(text: str | None) -> tuple[int, int] | None:
    """Returns height and width: "48x64" -> (48, 64), "64" -> (64, 64)."""
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?", text)
    if not found:
        raise UserError(f"--size {text}: expected HEIGHTxWIDTH, such as 64x64")
    return int(found[1]), int(found[2] or found[1])


def _check_unused(goes_with: str, given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if value is not None:
            raise UserError(f"init: --{name} goes with {goes_with} as --from")


def _question(columns: str) -> Callable[[str, str | None], str]:
    """Returns what asks a person, where there is one, for one of the columns."""

    def question(what: str, guess: str | None) -> str:
        if not sys.stdin.isatty():
            return ""
        print(f"{what} ({columns}) [{guess or ''}]: ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip() or guess or ""

    return question
