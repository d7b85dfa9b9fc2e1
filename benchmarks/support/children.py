"""Work that is measured in a process of its own, so that its memory is its own, too."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


def figures(script: str, *arguments: str) -> dict[str, Any]:
    """Runs `python SCRIPT --child ARGUMENTS`; returns the JSON of its last line, or exits with its errors."""
    command = [sys.executable, script, "--child", *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(finished.stderr)
    return json.loads(finished.stdout.splitlines()[-1])


def measured(work: Callable[[], None]) -> dict[str, float]:
    """Returns seconds, CPU seconds, and the most MB that this process held in RAM before and at the end."""
    before_mb, wall, cpu = _peak_mb(), time.perf_counter(), _cpu_s()
    work()
    return {
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_s": round(_cpu_s() - cpu, 2),
        "MB before": round(before_mb),
        "MB at most": round(_peak_mb()),
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
