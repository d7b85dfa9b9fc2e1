"""The pods that train together: which of them wait for a place on the cluster, and what each wrote last."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from absl import logging

NUM_LINES: Final = 20
_MOST_CHARACTERS: Final = 300
# For which lines are waited for that are still on their way.
_LAST_LINES_S: Final = 3.0
# The last line of the entrypoint's log, where it knows what went wrong.
_REASON: Final = "millrace: error: "

FollowLog = Callable[[str, int], Iterator[str]]


class Workers:
    """What is seen of a job's pods; `follow_log` yields the lines of a pod, by its name, until it ends."""

    def __init__(self, job: str, count: int, follow_log: FollowLog) -> None:
        self._job, self._count, self._follow_log = job, count, follow_log
        self._logs: dict[str, _Log] = {}
        self._num_waiting = 0
        self._reasons: list[str] = []
        self._waiting_since: float | None = None

    def see(self, pods: Sequence[Any]) -> None:
        """Takes the pods (V1Pod) as they are now; one that is not there waits, too."""
        placed = [pod for pod in pods if pod.status.phase != "Pending"]
        for pod in placed:
            log = self._logs.setdefault(pod.metadata.name, _Log(pod.metadata.name, self._follow_log))
            log.follow(pod.status.phase)
        self._reasons = [_why(pod) for pod in pods if pod.status.phase == "Pending"]
        self._num_waiting = self._count - len(placed)
        if self._num_waiting <= 0:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = time.monotonic()

    @property
    def waiting_s(self) -> float:
        """Since when pods have been waiting for a place, in seconds; 0 where none is."""
        return 0.0 if self._waiting_since is None else time.monotonic() - self._waiting_since

    @property
    def waiting(self) -> str:
        """Says which wait, and why: "2 workers Pending for 10 min: Insufficient nvidia.com/gpu"."""
        reasons = "; ".join(dict.fromkeys(filter(None, self._reasons))) or "no reason is given"
        workers = "worker" if self._num_waiting == 1 else "workers"
        return (
            f"{self._num_waiting} {workers} Pending for {self.waiting_s / 60:.0f} min: "
            f"{reasons[:_MOST_CHARACTERS]}"
        )

    def last_words(self) -> str:
        """Returns what each worker said last, and logs its last lines: "worker-0: …; worker-1: …"."""
        words = []
        end = time.monotonic() + _LAST_LINES_S
        for name, log in sorted(self._logs.items()):
            short = name.removeprefix(f"{self._job}-")
            for line in log.lines(end):
                logging.info("%s: %s", short, line)
            words.append(f"{short}: {log.last_word}")
        return "; ".join(words) or "no worker has written anything"


class _Log:
    """The last lines of a pod, through restarts of its container."""

    def __init__(self, pod: str, follow_log: FollowLog) -> None:
        self._pod, self._follow_log = pod, follow_log
        self._lines: deque[str] = deque(maxlen=NUM_LINES)
        self._reader: threading.Thread | None = None

    def follow(self, phase: str) -> None:
        """Reads on, unless that is being done, or all has been read."""
        if self._reader is None or (phase == "Running" and not self._reader.is_alive()):
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()

    def lines(self, end: float) -> list[str]:
        """Returns what was read, once there is nothing more to read, or at `end` of time.monotonic."""
        if self._reader is not None:
            self._reader.join(max(0.0, end - time.monotonic()))
        return list(self._lines)

    @property
    def last_word(self) -> str:
        """What the entrypoint says went wrong, or else the last line."""
        lines = list(self._lines) or ["wrote nothing"]
        line = next((line for line in reversed(lines) if line.startswith(_REASON)), lines[-1])
        return line.removeprefix(_REASON)[:_MOST_CHARACTERS]

    def _read(self) -> None:
        try:
            for line in self._follow_log(self._pod, NUM_LINES):
                if line.strip():
                    self._lines.append(line)
        except Exception as error:
            # A log that cannot be read is no reason to end what writes it.
            logging.warning("%s: its log cannot be read: %s", self._pod, error)


def _why(pod: Any) -> str:
    """Returns why a pod has not begun: "Insufficient nvidia.com/gpu", "ErrImagePull"."""
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return _scheduling(condition.message or condition.reason or "")
    for container in pod.status.container_statuses or ():
        if waiting := container.state and container.state.waiting:
            return " ".join(filter(None, (waiting.reason, waiting.message)))
    return ""


def _scheduling(message: str) -> str:
    """Returns its reasons: "0/3 nodes are available: 3 Insufficient cpu. …" -> "Insufficient cpu"."""
    reasons = re.sub(r"^0/\d+ nodes are available: ", "", message).partition(". ")[0].rstrip(".")
    return re.sub(r"\b\d+ (?=Insufficient|node)", "", reasons)
