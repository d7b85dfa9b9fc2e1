"""Runs the probe in a process of its own and makes sense of how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import components
from components.canary.replay import Report
from components.errors import Failure

# Sent from outside, such as by the kernel when memory is short: no verdict on the model.
_OUTSIDE_SIGNALS = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}

# So that the last line on stderr is about what went wrong.
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}


class CanaryError(Failure):
    """The check itself did not come to an end; another run may."""


# TensorFlow's log lines below an error ("I0000 00:00:1795… cudart_stub.cc"), and the frames of a crash.
_NOISE = re.compile(
    r"[IW]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IW] |\s*@ +0x|\*\*\* Check failure stack trace"
    r"|WARNING: All log messages before absl::InitializeLog"
)


def probe(model_dir: str, absolute_tolerance: float, timeout_s: float) -> Report:
    """Returns the verdict of a fresh process on the SavedModel in `model_dir`.

    The process sees no accelerator: the one who asks may hold it.

    Raises:
      CanaryError: no verdict in `timeout_s` seconds, killed from outside, or short of memory.
    """
    location = model_dir if "://" in model_dir else os.path.abspath(model_dir)
    command = [sys.executable, "-m", "components.canary.probe", location]
    command += ["--absolute-tolerance", repr(absolute_tolerance)]
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+", errors="replace") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, **_QUIET, "CUDA_VISIBLE_DEVICES": "-1"},
            # Where the package lies; `-m` looks there first.
            cwd=Path(next(iter(components.__path__))).parent,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        stdout.seek(0)
        stderr.seek(0)
        messages = [json.loads(line) for line in stdout if line.endswith("\n")]
        complaints = [line.strip() for line in stderr if line.strip() and not _NOISE.match(line)]
    stage = next((m["stage"] for m in reversed(messages) if "stage" in m), "starting")
    if code is None:
        raise CanaryError(f"{model_dir}: no verdict within {timeout_s:g} s, still {stage}")
    return _verdict(model_dir, code, stage, messages, complaints)


def _verdict(
    model_dir: str, code: int, stage: str, messages: list[dict[str, Any]], complaints: list[str]
) -> Report:
    complaint = f": {complaints[-1][:400]}" if complaints else ""
    if -code in _OUTSIDE_SIGNALS:
        name = signal.Signals(-code).name
        raise CanaryError(f"{model_dir}: the check was killed by {name} while {stage}; is memory short?")
    if code == os.EX_TEMPFAIL:
        raise CanaryError(f"{model_dir}: memory ran out while {stage}{complaint}")
    if not messages:
        raise CanaryError(f"{model_dir}: the check could not start{complaint}")
    if "report" in messages[-1]:
        return Report.model_validate(messages[-1]["report"])
    how = f"with {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return Report(ok=False, reason=f"the process ended {how} while {stage}{complaint}", signatures={})
