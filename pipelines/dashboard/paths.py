"""Files of runs, which have to lie under the pipeline root: what a database names may be anywhere."""

from __future__ import annotations

from pathlib import Path

from pipelines.runs.history import Run


def inside(path: Path, root: str) -> Path | None:
    """Returns a file if it is there and lies under the pipeline root, wherever links lead."""
    resolved = path.resolve()
    return resolved if resolved.is_file() and resolved.is_relative_to(Path(root).resolve()) else None


def output(run: Run, type_name: str, name: str, root: str) -> Path | None:
    """Returns a file of a run's output of a type; None where there is none under the pipeline root."""
    artifact = run.artifact(type_name)
    return inside(Path(artifact.uri, name), root) if artifact else None
