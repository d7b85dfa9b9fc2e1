"""What people see of a run while it goes on: lines that stay, and on a terminal a block that lives below."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from components.progress import BOARD, Loop
from pipelines import console
from pipelines.dag.nodes import NODES

_GROUPED: Final = ("cached", "skipped")
_WIDEST_BAR: Final = 60


class NodeReport(NamedTuple):
    """How one node did."""

    node: str
    state: str  # "running", "complete", "cached", "skipped", "failed", "interrupted"
    seconds: float


class Display:
    """Tells of nodes, those that did nothing in one line; with it, `console.live` is true on a terminal."""

    def __init__(self) -> None:
        self._node: str | None = None
        self._began_s = 0.0
        self._waiting: tuple[str, list[str]] = ("", [])
        self._live = Live(
            get_renderable=self._block,
            console=console.diagnostics(),
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Display:
        if console.has_live_block():
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._node = None
        self._live.stop()
        self._tell_waiting()

    def tell(self, report: NodeReport) -> None:
        """Tells how a node is doing."""
        is_running = report.state == "running"
        self._node = report.node if is_running else None
        self._began_s = time.monotonic()
        BOARD.clear()
        if report.state in _GROUPED:
            self._wait(report)
            return
        # A node that is skipped was running before.
        if not is_running or self._waiting[0] == "cached":
            self._tell_waiting()
        if not is_running:
            console.note(f"{report.node}: {report.state}, {report.seconds:.1f} s")
        elif not self._live.is_started:
            console.note(f"{report.node}: running")

    def _wait(self, report: NodeReport) -> None:
        state, nodes = self._waiting
        if state != report.state:
            self._tell_waiting()
            nodes = []
        self._waiting = (report.state, [*nodes, report.node])

    def _tell_waiting(self) -> None:
        state, nodes = self._waiting
        self._waiting = ("", [])
        if nodes:
            console.note(f"{state}: {', '.join(nodes)}")

    def _block(self) -> RenderableType:
        """Returns one line on the node that is running, and two on its training."""
        if self._node is None:
            return Group()
        now_s = time.monotonic()
        place = f"node {NODES.index(self._node) + 1} of {len(NODES)}"
        counts = [f"{count:,} {what}" for what, count in BOARD.counts.items()]
        block = Table.grid()
        block.add_row(_line([place, self._node, clock(now_s - self._began_s), *counts]))
        if (loop := BOARD.loop) is not None:
            width = min(_WIDEST_BAR, console.diagnostics().width)
            block.add_row(ProgressBar(total=loop.total, completed=loop.step(now_s), width=width))
            block.add_row(_line(_steps(loop, now_s)))
        return block


def clock(seconds: float) -> str:
    """Returns minutes and seconds, and hours where there are any: "1:02:03"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _line(parts: list[str]) -> Text:
    # A second line would move the block up and down.
    return Text("  ".join(part for part in parts if part), no_wrap=True, overflow="crop")


def _steps(loop: Loop, now_s: float) -> list[str]:
    steps = f"step {int(loop.step(now_s)):,}/{loop.total:,}"
    remaining_s = loop.remaining_s(now_s)
    if loop.steps_per_second is None or remaining_s is None:
        return [steps]
    return [steps, f"{clock(remaining_s)} left", f"{loop.steps_per_second:.3g} steps/s", loop.last]
