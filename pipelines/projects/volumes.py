"""A look at scans with masks, and the project that segments them: the task of LiTS with other settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from components.config import ConfigError
from components.formats import nifti, npy_volume
from components.sources.volume_layouts import declared, find_layout
from pipelines import program
from pipelines.planning import plan as planning
from pipelines.projects.classes import tuple_of
from pipelines.projects.writing import Project, ProjectError, quoted
from pipelines.tasks.lits import LITS

# Of a GPU, for what config.yaml proposes.
_MEMORY: Final = "8GB"
_FOLDERS: Final = ("", "imagesTr")


class Look(NamedTuple):
    """Where scans are, and what their masks hold."""

    folder: Path
    names: tuple[str, ...]
    values: tuple[int, ...]


def has_scans(folder: Path) -> bool:
    """Whether a folder holds files that are called as scans."""
    suffixes = (*nifti.SUFFIXES, npy_volume.SUFFIX)
    places = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    inside = [os.listdir(place / below) for place in places for below in _FOLDERS if (place / below).is_dir()]
    return any(name.lower().endswith(suffixes) for names in inside for name in names)


def look(folder: Path, names: Sequence[str] | None) -> Look:
    """Returns what the masks of a folder's scans hold, as dataset.json or `names` tells.

    Raises UserError where neither does, and for a folder without cases.
    """
    layout = find_layout(str(folder), None)
    if names is not None:
        return Look(folder, tuple(names), tuple(range(len(names))))
    if layout.description is None:
        expected = "the names of what masks have as 0, 1, …, such as background,liver,tumour"
        raise ProjectError(f"--labels: expected {expected}, got none, and there is no dataset.json")
    found = declared(layout.description)
    return Look(folder, found.names, found.values)


def project(name: str, package: str, seen: Look) -> Project:
    """Returns what is to be written for scans; raises UserError for names or cases that cannot be used."""
    is_counted = seen.values == tuple(range(len(seen.values)))
    settings = {"label_names": list(seen.names), "label_values": None if is_counted else list(seen.values)}
    if len(seen.names) < 2 or not all(each.strip() for each in seen.names):
        raise ConfigError(f"--labels: expected at least two names, got {', '.join(seen.names)!r}")
    task = LITS.override({"source": settings})
    grids = task.source.grids(seen.folder)  # type: ignore[attr-defined]
    made = planning.plan(task, grids, planning.read_bytes(_MEMORY))
    command = program.command("plan", package, "--data", seen.folder, "--memory", _MEMORY)
    values = {
        "name": name,
        "package": package,
        "kind": "Scans with masks",
        "summary": quoted(f"Which voxels of a scan are {' or '.join(seen.names[1:])}?"),
        "labels": tuple_of(seen.names),
        "foreground": f"[{', '.join(map(quoted, seen.names[1:]))}]",
        "values": "" if is_counted else f"\n        label_values={seen.values},",
        "label_values": str(seen.values),
        "plan": planning.as_yaml(made, command, len(grids)).rstrip(),
        "question": "SCAN.nii.gz --out mask.nii.gz",
    }
    return Project("volumes", values, {})
