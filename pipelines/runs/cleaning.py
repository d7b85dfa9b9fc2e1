"""What under a pipeline root may go, and how much room it takes.

What is published lies in the registry's own folders, of which nothing is touched. An artifact goes when no
run that is kept made, took or reused it; TFX then executes what would have reused it.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from components import files
from components.errors import UserError
from components.registry import registry
from pipelines.dag.nodes import PUSHER
from pipelines.runs import history, lock, record
from pipelines.runs.history import Run
from pipelines.runs.record import read_record

# An interrupted training goes on from its checkpoints for a week, as the Trainer itself sweeps.
_RESUMABLE_S: Final = 7 * 24 * 3600
# What tells of a run, and is small: the rest can be made again.
_TELLING: Final = (
    *("ExampleStatistics", "Schema", "ExampleAnomalies", "ModelRun"),
    *("ModelEvaluation", "ModelBlessing", "InfraBlessing", "PushedModel"),
)


class Piece(NamedTuple):
    """Something that may go."""

    # "run mnist-3", "outputs of mnist-2", "leftovers", "training", "log".
    what: str
    why: str
    paths: tuple[str, ...]
    bytes: int
    # The run to forget, where it goes as a whole.
    run_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the piece as JSON values."""
        return {"what": self.what, "why": self.why, "bytes": self.bytes, "paths": list(self.paths)}


def of_runs(pipeline_root: str, run_ids: Sequence[str]) -> list[Piece]:
    """Returns what goes with some runs; UserError for one whose version is live."""
    chosen = {run.run_id: run for run in (history.find_run(pipeline_root, each) for each in run_ids)}
    for run in chosen.values():
        _check_not_live(run)
    kept = [run for run in history.read_runs(pipeline_root) if run.run_id not in chosen]
    needed, pieces = _uris(kept), []
    for run in chosen.values():
        paths = _own(pipeline_root, [run], needed)
        # Of runs that share an artifact, the first one counts it.
        needed |= set(paths)
        log = read_record(run).log
        whole = (*paths, log) if log and _is_below(log, pipeline_root) else paths
        pieces.append(_piece(f"run {run.short_id}", f"of {run.started:%Y-%m-%d}", whole, run.run_id))
    return pieces


def superseded(pipeline_root: str, keep: int, task: str | None = None) -> list[Piece]:
    """Returns what may go while runs stay to be looked at.

    Of each task's runs but the newest `keep`, those with a name or a tag and those of versions that are
    published, what is large: examples, transformed ones, models. Of all tasks, unless one is given, also
    what no run knows, and trainings that nobody has gone on with for a week.
    """
    runs = history.read_runs(pipeline_root)
    kept = {run.run_id for run in runs if task not in (None, run.task)} | _kept(runs, keep)
    needed = _uris(run for run in runs if run.run_id in kept)
    pieces = []
    for run in (run for run in runs if run.run_id not in kept):
        paths = _own(pipeline_root, [run], needed, spared=_TELLING)
        needed |= set(paths)
        pieces.append(_piece(f"outputs of {run.short_id}", f"{keep} runs are newer", paths))
    if task is None:
        pieces += [_leftovers(pipeline_root, runs), *_trainings(pipeline_root), *_logs(pipeline_root, runs)]
    return [piece for piece in pieces if piece.bytes]


def look(pipeline_root: str, find: Callable[[], list[Piece]]) -> list[Piece]:
    """Returns what `find` finds to go; UserError while a run is going on, whose outputs no run knows yet."""
    if lock.is_held(pipeline_root):
        raise UserError(f"{pipeline_root}: expected no run that is going on, got one")
    return find()


def remove(pipeline_root: str, find: Callable[[], list[Piece]]) -> list[Piece]:
    """Removes what `find` finds, and returns it; UserError while a run is going on.

    A run is forgotten first: if this is interrupted, the rest belongs to no run, and may go.
    """
    with lock.held(pipeline_root):
        pieces = find()
        for piece in pieces:
            if piece.run_id is not None:
                record.remove(pipeline_root, piece.run_id)
        paths = {path for piece in pieces for path in piece.paths}
        for run in history.read_runs(pipeline_root):
            _keep_data(run, paths)
        for path in sorted(paths):
            _remove(Path(path))
        return pieces


def _keep_data(run: Run, paths: Collection[str]) -> None:
    """Writes down what is known of a run's raw data, before the examples that tell it go."""
    examples = run.artifact("Examples")
    if examples and examples.uri in paths:
        record.write(run.root, read_record(run).model_copy(update={"data": run.data}))


def _remove(path: Path) -> None:
    if path.is_dir():
        files.remove_tree(str(path))
    else:
        path.unlink(missing_ok=True)


def _check_not_live(run: Run) -> None:
    live = _live(run)
    if live is not None and run.published_version in (live.version, live.first_version):
        raise UserError(f"{run.short_id}: its model is version {live.version} of {run.task}, which is live")


def _live(run: Run) -> registry.PublishedVersion | None:
    base = _models_dir(run)
    return registry.live(base, run.task) if base else None


def _models_dir(run: Run) -> str | None:
    pusher = run.node(PUSHER)
    return pusher.properties.get("base_dir") if pusher else None


def _kept(runs: Sequence[Run], keep: int) -> set[str]:
    """Returns the ids of the runs that stay as they are."""
    seen: dict[str, int] = defaultdict(int)
    kept, published = set(), _published(runs)
    for run in runs:
        seen[run.task] += 1
        made_by = read_record(run)
        is_chosen = bool(made_by.name or made_by.tags)
        is_published = run.published_version in published.get((_models_dir(run), run.task), ())
        if seen[run.task] <= keep or is_chosen or is_published:
            kept.add(run.run_id)
    return kept


def _published(runs: Iterable[Run]) -> dict[tuple[str | None, str], set[int]]:
    """Returns the numbers of the versions that there are, by folder and task."""
    places = {(base, run.task) for run in runs if (base := _models_dir(run))}
    return {
        (base, task): {
            number for v in registry.versions(base, task) for number in (v.version, v.first_version)
        }
        for base, task in places
    }


def _uris(runs: Iterable[Run]) -> set[str]:
    """Returns where everything lies that runs made, took or reused."""
    nodes = (node for run in runs for node in run.nodes)
    return {artifact.uri for node in nodes for artifact in (*node.artifacts, *node.inputs)}


def _own(
    pipeline_root: str, runs: Iterable[Run], needed: set[str], spared: Iterable[str] = ()
) -> tuple[str, ...]:
    """Returns the outputs of runs that nothing else needs, without those of some types."""
    found = {
        artifact.uri
        for run in runs
        for node in run.nodes
        for artifact in node.artifacts
        if artifact.type not in spared and artifact.uri not in needed
    }
    return tuple(sorted(uri for uri in found if os.path.exists(uri) and _is_below(uri, pipeline_root)))


def _is_below(path: str, folder: str) -> bool:
    return Path(folder).resolve() in Path(path).resolve().parents


def _leftovers(pipeline_root: str, runs: Iterable[Run]) -> Piece:
    """Returns the outputs that no run knows: of executions that failed, or of runs that are forgotten."""
    known = {os.path.realpath(uri) for uri in _uris(runs)}
    # artifacts/TASK/NODE/KEY/EXECUTION
    found = (path for path in Path(pipeline_root, "artifacts").glob("*/*/*/*") if path.is_dir())
    ours = (path for path in found if not path.parent.name.startswith("."))
    paths = tuple(sorted(str(path) for path in ours if os.path.realpath(path) not in known))
    return _piece("leftovers", "no run knows them", paths)


def _trainings(pipeline_root: str) -> Iterator[Piece]:
    for folder in sorted(Path(pipeline_root, "unfinished").glob("*/*")):
        times = [file.stat().st_mtime for file in folder.rglob("*") if file.is_file()]
        if times and max(times) < time.time() - _RESUMABLE_S:
            days = int((time.time() - max(times)) / 86400)
            yield _piece(
                f"training of {folder.parent.name}", f"not gone on with for {days} days", (str(folder),)
            )


def _logs(pipeline_root: str, runs: Sequence[Run]) -> Iterator[Piece]:
    """Yields the logs of what never became a run, once there are records that tell which these are."""
    known = {read_record(run).log for run in runs}
    oldest = min((run.started for run in runs if read_record(run).log), default=None)
    paths = [
        str(path)
        for path in sorted(Path(pipeline_root, "logs").glob("*.log"))
        if oldest and str(path) not in known and path.stat().st_mtime >= oldest.timestamp()
    ]
    if paths:
        yield _piece("logs", "of commands that began no run", tuple(paths))


def _piece(what: str, why: str, paths: Sequence[str], run_id: str | None = None) -> Piece:
    return Piece(what, why, tuple(paths), sum(map(_bytes_of, paths)), run_id)


def _bytes_of(path: str) -> int:
    found = Path(path)
    if found.is_file():
        return found.stat().st_size
    return sum(file.lstat().st_size for file in found.rglob("*") if not file.is_dir())
