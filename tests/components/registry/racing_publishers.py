"""Two processes that publish into one bucket at once, round by round. Not a test module.

    racing_publishers.py BASE FOLDER ROUNDS

Every fourth round one of the two is killed in the middle. Prints the numbers that publishers said were theirs
and how many were killed, as JSON; fails if the live version is ever not whole.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from components.registry import registry


def write_model(folder: Path, content: str) -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(f"graph {content}")
    (folder / "variables/variables.data-00000-of-00001").write_text(content)
    return folder


def publish(base: str, model: Path) -> int:
    """Returns the number of the new version."""
    version = registry.publish(str(model), base, "mnist", metrics={}, source={}, keep_versions=3)
    return version.version


def started(base: str, model: Path, results: Path) -> int:
    """Returns the id of a process that publishes, and writes down the number."""
    child = os.fork()
    if child == 0:
        results.write_text(str(publish(base, model)))
        os._exit(0)
    return child


def race(base: str, folder: Path, delay_s: float | None) -> int:
    """Lets two publish; kills the first one after a delay. Returns how many were killed."""
    publishers = [
        started(base, write_model(folder / name, f"{folder.name} {name}"), folder / f"{name}.number")
        for name in ("first", "second")
    ]
    if delay_s is not None:
        time.sleep(delay_s)
        os.kill(publishers[0], signal.SIGKILL)
    codes = [os.waitpid(publisher, 0)[1] for publisher in publishers]
    if codes[1] or codes[0] not in (0, signal.SIGKILL):
        sys.exit(f"publishers ended with {codes}")
    return int(codes[0] == signal.SIGKILL)


def main(base: str, folder: str, rounds: str) -> None:
    drawn = random.Random(0)
    # Imports what takes long before the processes are made, and then says how long a publisher takes.
    numbers = [publish(base, write_model(Path(folder, "before"), "before"))]
    begin_s = time.monotonic()
    numbers.append(publish(base, write_model(Path(folder, "timed"), "timed")))
    longest_s = time.monotonic() - begin_s
    killed = 0
    for number in range(int(rounds)):
        place = Path(folder, str(number))
        killed += race(base, place, drawn.uniform(0, longest_s) if number % 4 == 0 else None)
        numbers += [int(found.read_text()) for found in place.glob("*.number")]
        live = registry.live(base, "mnist")
        if live is None:
            sys.exit("nothing is live")
        registry.verify(live.path)
    print(json.dumps({"numbers": numbers, "killed": killed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
