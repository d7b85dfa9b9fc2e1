"""The runs under a pipeline root, kept in memory and read again where they changed.

ML Metadata needs a second or more for hundreds of runs, and a page is asked for again and again while a run
goes on; of that, only the newest run changes.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipelines.runs import explain, history, lock, record
from pipelines.runs.history import Run
from pipelines.runs.record import Record, read_record

# How long a page may be behind the clock of a run that goes on.
_TICK_S: Final = 5


class Stamp(NamedTuple):
    """What differs where the history may have changed."""

    modified_ns: int
    size: int
    # How many runs were removed, which the database does not tell.
    num_removed: int
    # Whether a run goes on, and then a number that counts on.
    alive: bool
    tick: int


class MadeBy(NamedTuple):
    """What made a run, flat, to be held against what made another one."""

    record: Record
    settings: Mapping[str, Any]
    # SHA-256 sums by file, and versions of packages and digests of source files by name.
    files: Mapping[str, str]
    code: Mapping[str, str]

    @classmethod
    def of(cls, run: Run) -> MadeBy:
        """Reads it from the run's record, or else from what ML Metadata remembers."""
        digests, found = run.data["digests"], read_record(run)
        return cls(
            record=found,
            settings=dict(explain.flat(found.settings)),
            files=digests if isinstance(digests, dict) else {},
            code=run.code,
        )


class Past:
    """Past runs, and the one that goes on; of any thread."""

    def __init__(self, pipeline_root: str) -> None:
        self.pipeline_root = pipeline_root
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._runs: tuple[Run, ...] = ()
        # By the run's id, with the state that it had.
        self._made_by: dict[str, tuple[str, MadeBy]] = {}

    def stamp(self) -> Stamp:
        """Returns what tells whether `runs` may have changed; reads none of them."""
        alive = lock.is_held(self.pipeline_root)
        tick = int(time.time() / _TICK_S) if alive else 0
        removed = record.num_removed(self.pipeline_root)
        try:
            found = os.stat(Path(self.pipeline_root, history.METADATA_FILE))
        except FileNotFoundError:
            return Stamp(0, 0, removed, alive, tick)
        return Stamp(found.st_mtime_ns, found.st_size, removed, alive, tick)

    def runs(self) -> tuple[Run, ...]:
        """Returns the runs of all tasks, newest first."""
        with self._lock:
            # Asked first: what changes meanwhile is read the next time.
            stamp = self.stamp()
            if stamp != self._stamp:
                self._runs = self._read(stamp)
                self._stamp = stamp
            return self._runs

    def find(self, run_id: str) -> Run | None:
        """Returns the run of a short id, of a long one or of a name; of several of a name, the newest."""
        runs = self.runs()
        exact = (run for run in runs if run_id in (run.short_id, run.run_id))
        named = (run for run in runs if self.made_by(run).record.name == run_id)
        return next(itertools.chain(exact, named), None)

    def made_by(self, run: Run) -> MadeBy:
        """Returns what made a run; of one that has ended, as it was read first."""
        state, known = self._made_by.get(run.run_id, (None, None))
        if known is None or state != run.state or state == "running":
            known = MadeBy.of(run)
            self._made_by[run.run_id] = (run.state, known)
        return known

    def read_ahead(self) -> None:
        """Reads what the first page will want."""
        for run in self.runs():
            self.made_by(run)

    def of_task(self, task: str) -> list[Run]:
        """Returns the runs of a task, newest first."""
        return [run for run in self.runs() if run.task == task]

    def _read(self, stamp: Stamp) -> tuple[Run, ...]:
        before = self._stamp
        if before and before.num_removed == stamp.num_removed and (stamp.alive or before.alive):
            # It, and the one before, which it may have ended.
            newest = history.read_runs(self.pipeline_root, limit=2)
            places = {run.run_id: place for place, run in enumerate(self._runs)}
            if newest and (place := places.get(newest[-1].run_id)) is not None:
                return (*newest, *self._runs[place + 1 :])
        return history.read_runs(self.pipeline_root)
