"""A process of its own that publishes: alone, or in children that are killed. Not a test module.

    publishing_process.py publish BASE SOURCE...              publishes each folder in turn
    publishing_process.py kill ACTION STATE SOURCE OUT        kills ACTION at its 1st, 2nd, … system call
    publishing_process.py delay ACTION STATE SOURCE OUT       kills ACTION after growing delays
    publishing_process.py limit BASE SOURCE BYTES             publishes with files limited to BYTES

`kill` and `delay` leave one copy of STATE for each kill in OUT.
"""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from components.registry import registry

FILE_EVENTS = {
    "open",
    "os.listdir",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.scandir",
    "os.fsync",
}
_real_fsync = os.fsync


def publish(base: str, source: str) -> None:
    published = registry.publish(source, base, "mnist", metrics={}, source={}, keep_versions=3)
    print(published.version, flush=True)


def act(action: str, base: str, source: str) -> None:
    if action == "publish":
        publish(base, source)
    else:
        registry.rollback(base, "mnist")


def kill_at_event(number: int) -> None:
    """Makes this process kill itself just before its n-th file operation."""
    counter = itertools.count(1)

    def hook(event: str, arguments: object) -> None:
        if event in FILE_EVENTS and next(counter) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def fsync(descriptor: int) -> None:
        sys.audit("os.fsync", descriptor)
        _real_fsync(descriptor)

    os.fsync = fsync
    sys.addaudithook(hook)


def in_child(state: str, copy: Path, work: Callable[[str], None], delay_s: float | None = None) -> bool:
    """Runs `work` on a copy of the state in a child; returns whether it was killed."""
    shutil.copytree(state, copy)
    child = os.fork()
    if child == 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        work(str(copy))
        os._exit(0)
    if delay_s is not None:
        time.sleep(delay_s)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if status not in (0, signal.SIGKILL):
        sys.exit(f"child ended with {status}")
    return status == signal.SIGKILL


def main(mode: str, *arguments: str) -> None:
    if mode == "publish":
        base, *sources = arguments
        for source in sources:
            publish(base, source)
    elif mode == "limit":
        base, source, limit = arguments
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
        publish(base, source)
    else:
        action, state, source, out = arguments
        for number in itertools.count(1):
            if mode == "kill":

                def work(base: str, number: int = number) -> None:
                    kill_at_event(number)
                    act(action, base, source)

                killed = in_child(state, Path(out, str(number)), work)
            else:
                delay_s = number * 1e-3
                killed = in_child(
                    state, Path(out, str(number)), lambda base: act(action, base, source), delay_s
                )
            if not killed:
                break


if __name__ == "__main__":
    main(*sys.argv[1:])
