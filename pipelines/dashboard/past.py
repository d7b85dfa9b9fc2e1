"""The runs under a pipeline root, kept in memory and read again where they changed.

ML Metadata needs a second or more for hundreds of runs, and a page is asked for again and again while a run
goes on; of that, only the newest run changes.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from pipelines.runs import history, lock
from pipelines.runs.history import Run

# How long a page may be behind the clock of a run that goes on.
_TICK_S: Final = 5


class Stamp(NamedTuple):
    """What differs where the history may have changed."""

    modified_ns: int
    size: int
    # Whether a run goes on, and then a number that counts on.
    alive: bool
    tick: int


class Past:
    """Past runs, and the one that goes on; of any thread."""

    def __init__(self, pipeline_root: str) -> None:
        self.pipeline_root = pipeline_root
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._runs: tuple[Run, ...] = ()

    def stamp(self) -> Stamp:
        """Returns what tells whether `runs` may have changed; reads none of them."""
        alive = lock.is_held(self.pipeline_root)
        try:
            found = os.stat(Path(self.pipeline_root, history.METADATA_FILE))
        except FileNotFoundError:
            return Stamp(0, 0, alive, 0)
        return Stamp(found.st_mtime_ns, found.st_size, alive, int(time.time() / _TICK_S) if alive else 0)

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
        """Returns the run of a short id or of a long one."""
        return next((run for run in self.runs() if run_id in (run.short_id, run.run_id)), None)

    def of_task(self, task: str) -> list[Run]:
        """Returns the runs of a task, newest first."""
        return [run for run in self.runs() if run.task == task]

    def _read(self, stamp: Stamp) -> tuple[Run, ...]:
        is_run = stamp.alive or (self._stamp is not None and self._stamp.alive)
        if self._runs and is_run:
            # It, and the one before, which it may have ended.
            newest = history.read_runs(self.pipeline_root, limit=2)
            places = {run.run_id: place for place, run in enumerate(self._runs)}
            if newest and (place := places.get(newest[-1].run_id)) is not None:
                return (*newest, *self._runs[place + 1 :])
        return history.read_runs(self.pipeline_root)
