"""What made a run, beside what ML Metadata remembers of it: `PIPELINE_ROOT/runs/RUN_ID.json`.

Written once, before the first node and as a whole, so that it is there however the run ends. The raw files,
the counts of examples and the times of nodes are the run's own: `history.Run.data`, `.code` and `.nodes`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pydantic

from components import files

if TYPE_CHECKING:
    from pipelines.runs.history import Run

_FOLDER: Final = "runs"
# Beside the records: an empty file for each run that was removed, whose traces in ML Metadata stay.
_REMOVED: Final = ".removed"


class Asked(NamedTuple):
    """What somebody asked for beside the task and where its data and models lie."""

    # The words of the command line, the program's first.
    command: tuple[str, ...] = ()
    # Settings by section and key, as they were given.
    given: Mapping[str, Any] = MappingProxyType({})
    name: str | None = None
    tags: tuple[str, ...] = ()
    # Where all that is said meanwhile goes.
    log: str | None = None


NOTHING_ASKED: Final = Asked()


class _Stored(pydantic.BaseModel):
    """Frozen; keys of a later version are passed over."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")


class Revision(_Stored):
    """A state of a git repository."""

    root: str
    commit: str
    # Whether files that git knows differ from the commit's.
    dirty: bool


class Machine(_Stored):
    """What a run ran on."""

    host: str
    os: str
    cpu: str
    # Those that this process may use.
    cpus: int
    memory_bytes: int
    # Such as "NVIDIA H100 80GB HBM3", one a device.
    accelerators: tuple[str, ...] = ()


class Record(_Stored):
    """What made a run; what a run of an earlier version did not write down is None or empty."""

    run_id: str
    name: str | None = None
    tags: tuple[str, ...] = ()
    # Without what looks like a secret.
    command: tuple[str, ...] = ()
    # As given, by section and key; and all of them, with defaults.
    given: dict[str, Any] = pydantic.Field(default_factory=dict)
    settings: dict[str, Any] = pydantic.Field(default_factory=dict)
    # "section.key" of the settings that are not the task's defaults.
    changed: tuple[str, ...] = ()
    data_dir: str | None = None
    # As `history.Run.data`, once the examples are gone that tell it.
    data: dict[str, Any] | None = None
    beam: dict[str, str] = pydantic.Field(default_factory=dict)
    # Of "millrace", and of the "folder" where the command was given: those that git knows.
    revisions: dict[str, Revision] = pydantic.Field(default_factory=dict)
    # Versions of all installed packages, by name.
    packages: dict[str, str] = pydantic.Field(default_factory=dict)
    python: str | None = None
    machine: Machine | None = None
    log: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the record as JSON values."""
        return self.model_dump(mode="json")


def read_record(run: Run) -> Record:
    """Returns what made a run; of one that left no record that can be read, what ML Metadata tells."""
    return read(run.root, run.run_id) or Record(
        run_id=run.run_id, settings=run.settings, data_dir=run.data["dir"]
    )


def read(pipeline_root: str, run_id: str) -> Record | None:
    """Returns the record of a run; None where there is none that can be read."""
    try:
        return Record.model_validate_json(_path(pipeline_root, run_id).read_bytes())
    except (OSError, ValueError):
        return None


def write(pipeline_root: str, record: Record) -> None:
    """Writes a record; a reader sees the whole of it or nothing."""
    path = _path(pipeline_root, record.run_id)
    files.write_text(str(path), record.model_dump_json(indent=2))


def remove(pipeline_root: str, run_id: str) -> None:
    """Lets a run be forgotten."""
    files.write_bytes(str(_path(pipeline_root, run_id, _REMOVED)), b"")
    _path(pipeline_root, run_id).unlink(missing_ok=True)


def is_removed(pipeline_root: str, run_id: str) -> bool:
    """Whether a run is to be forgotten."""
    return _path(pipeline_root, run_id, _REMOVED).exists()


def num_removed(pipeline_root: str) -> int:
    """Returns how many runs are to be forgotten."""
    return sum(1 for _ in Path(pipeline_root, _FOLDER).glob(f"*{_REMOVED}"))


def all_records(pipeline_root: str) -> Iterator[Record]:
    """Yields the records under a pipeline root, also of runs that ended before ML Metadata knew them."""
    for path in sorted(Path(pipeline_root, _FOLDER).glob("*.json")):
        if found := read(pipeline_root, path.stem):
            yield found


def _path(pipeline_root: str, run_id: str, suffix: str = ".json") -> Path:
    # A run's id is TFX's, and no path.
    return Path(pipeline_root, _FOLDER, f"{os.path.basename(run_id)}{suffix}")
