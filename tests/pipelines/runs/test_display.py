"""What is seen of a run, on a pseudo-terminal and through a pipe."""

from __future__ import annotations

import re
import subprocess
import sys

import pseudo_terminal
import pytest

# As the runner tells it, without the minutes of a real run.
SCRIPT = """
import logging, time
from pipelines import console, terminal
from pipelines.runs.display import Display, NodeReport
from components.progress import BOARD
terminal.prepare()
def tell(node, state, seconds=0.0):
    display.tell(NodeReport(node, state, seconds))
with console.quiet(None, debug=False), Display() as display:
    logger = logging.getLogger("components.trainer.progress")
    for node in ("ExampleGen", "SchemaGen", "StatisticsGen"):
        tell(node, "cached", 0.1)
    tell("Transform", "running")
    BOARD.count("examples")
    BOARD.count("examples")
    time.sleep(0.6)
    tell("Transform", "complete", 2.0)
    tell("Trainer", "running")
    BOARD.begin_loop(10, 20, 40, 4.0, "loss 0.5000, accuracy 0.9000")
    logger.info("step 10/40", extra={"in_live_block": True})
    logger.info("step 10: eval accuracy 0.9")
    time.sleep(1.3)
    tell("Trainer", "failed", 1.3)
    for node in ("Canary", "Pusher"):
        tell(node, "running")
        tell(node, "skipped")
"""
STAYS = [
    "cached: ExampleGen, SchemaGen, StatisticsGen",
    "Transform: complete, 2.0 s",
    "step 10: eval accuracy 0.9",
    "Trainer: failed, 1.3 s",
    "skipped: Canary, Pusher",
]
# Where nothing can be redrawn.
LINES = [
    *(STAYS[0], "Transform: running", STAYS[1], "Trainer: running", "step 10/40", *STAYS[2:4]),
    *("Canary: running", "Pusher: running", STAYS[4]),
]


def _frames(raw: str) -> list[str]:
    return [re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", line) for line in re.split("[\r\n]+", raw)]


def test_a_terminal_shows_one_block_that_lives_and_goes() -> None:
    seen = pseudo_terminal.run(["-c", SCRIPT], columns=80)
    assert (seen.code, [line for line in seen.screen if line]) == (0, STAYS)
    frames = _frames(seen.raw)
    assert any(re.match(r"node 5 of 10  Transform  0:00  2 examples", frame) for frame in frames)
    steps = [int(found[1]) for frame in frames if (found := re.match(r"step (\d+)/40  0:0\d left", frame))]
    # Four steps a second from step 10 on, for 1.3 s.
    assert steps[0] == 10
    assert 12 <= max(steps) <= 17
    assert steps == sorted(steps)
    assert any("4 steps/s  loss 0.5000, accuracy 0.9000" in frame for frame in frames)
    assert seen.raw.rindex("\x1b[?25h") > seen.raw.rindex("\x1b[?25l")


@pytest.mark.parametrize("columns", [40, 10])
def test_a_narrow_terminal_shows_the_block_in_as_many_lines(columns: int) -> None:
    seen = pseudo_terminal.run(["-c", SCRIPT], columns=columns)
    assert (seen.code, [line for line in seen.screen if line]) == (0, STAYS)
    lives = [frame for frame in _frames(seen.raw) if frame.startswith(("node 5", "━"))]
    assert lives
    assert max(map(len, lives)) == columns


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_terminal_that_cannot_redraw_gets_lines(environment: dict[str, str]) -> None:
    seen = pseudo_terminal.run(["-c", SCRIPT], columns=80, **environment)
    assert "\x1b" not in seen.raw
    assert [line for line in seen.screen if line] == LINES


def test_a_pipe_gets_a_line_when_something_is_said_and_no_control_characters() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr.splitlines() == LINES
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", done.stderr)
