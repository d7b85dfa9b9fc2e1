"""What everybody said during a run: its log file, or the part of one node."""

from __future__ import annotations

import re
from datetime import timezone
from pathlib import Path
from typing import Final

from components import files
from components.errors import UserError
from pipelines.runs.history import Run
from pipelines.runs.record import read_record

# A run's id as `history` knows it, and no id of a cluster.
LOCAL_ID: Final = re.compile(r"latest|[a-z][a-z0-9_]*-[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}T.*")


def log_file(run: Run) -> Path | None:
    """Returns the log of a run; of one that did not write down which, the last one that began before it."""
    stored = read_record(run).log
    if stored is not None:
        return Path(stored)
    began = f"{run.started.astimezone(timezone.utc):%Y-%m-%dT%H-%M-%SZ}.log"
    return max((path for path in Path(run.root, "logs").glob("*.log") if path.name <= began), default=None)


def read_log(run: Run, node: str | None = None) -> str:
    """Returns the log of a run, or what was said while a node ran; UserError where there is none."""
    path = log_file(run)
    if path is None or not path.is_file():
        raise UserError(f"{run.short_id}: expected a log, got none{f' at {path}' if path else ''}")
    text = files.read_bytes(str(path)).decode("utf-8", "replace")
    if node is None:
        return text
    part = _part(text, node)
    if part is None:
        raise UserError(f"{run.short_id}: {node} did not run; {path} has the whole log")
    return part


def _part(text: str, node: str) -> str | None:
    """Returns the lines from a node's first until it is finished, or until another one begins."""
    begin = re.search(rf"^.*\bComponent {node} is running\.$", text, re.MULTILINE)
    if begin is None:
        return None
    rest = text[begin.start() :]
    end = re.compile(rf"^.*\bComponent (?:{node} is finished|(?!{node}\b)\w+ is running)\.$\n?", re.MULTILINE)
    found = end.search(rest)
    return rest[: found.end()] if found else rest
