"""How far the work of this process has come, for whoever watches it; nobody need."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple


class Loop(NamedTuple):
    """Steps that are being taken at once, out of all, and what is known from those before."""

    start: int
    end: int
    total: int
    # A monotonic clock's.
    began_s: float
    # None before the first loop has ended.
    steps_per_second: float | None
    # Such as "loss 0.5123".
    last: str

    def step(self, now_s: float) -> float:
        """Returns which step it may be, by the pace of the loop before; never beyond what was begun."""
        taken = (now_s - self.began_s) * (self.steps_per_second or 0.0)
        return min(self.start + taken, self.end)

    def pace(self, now_s: float) -> float:
        """Returns the steps per second of a loop that has ended."""
        return (self.end - self.start) / (now_s - self.began_s)

    def remaining_s(self, now_s: float) -> float | None:
        """Returns how long the rest will take at that pace."""
        rate = self.steps_per_second
        return (self.total - self.step(now_s)) / rate if rate else None


class Board:
    """What is told and read without waiting for one another: numbers that are a little late do no harm."""

    def __init__(self) -> None:
        self.loop: Loop | None = None
        # Elements by what they are: {"examples": 1437}. In workers of other processes they count there.
        self.counts: Counter[str] = Counter()
        # How many windows of an example are done, and how many there are, as one asks.
        self.windows: Callable[[], tuple[int, int]] | None = None

    def clear(self) -> None:
        """Forgets everything: another node begins."""
        self.loop = None
        self.counts = Counter()

    def count(self, what: str) -> None:
        """Counts an element."""
        self.counts[what] += 1

    def begin_loop(self, start: int, end: int, total: int, rate: float | None, last: str) -> None:
        """Tells that a loop of steps begins now."""
        self.loop = Loop(start, end, total, time.monotonic(), rate, last)


BOARD: Final = Board()
