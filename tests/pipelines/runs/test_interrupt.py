"""Ctrl-C is heard also while one call keeps Python busy."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

# Minutes in C, without Python's lock, as training steps are.
BUSY = """
import hashlib, threading
from pipelines.runs import interrupt
with interrupt.acknowledged(lambda: print("kept: all", flush=True)):
    # From another thread, once this one is in the call.
    threading.Timer(0.5, print, ["ready"], {"flush": True}).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""

# With Ctrl-C as on a terminal, also where a shell started the tests in the background.
PYTHON = ["env", "--default-signal=INT", sys.executable]


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[str]]:
    command = [*PYTHON, "-c", BUSY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_the_first_is_told_and_the_second_ends_the_run(busy: subprocess.Popen[str]) -> None:
    assert busy.stderr is not None
    busy.send_signal(signal.SIGINT)
    told = "interrupted: ends after the steps under way; Ctrl-C once more ends it now\n"
    assert busy.stderr.readline() == told
    busy.send_signal(signal.SIGINT)
    assert busy.communicate(timeout=30) == ("kept: all\n", "")
    assert busy.returncode == 130


def test_another_signal_is_none(busy: subprocess.Popen[str]) -> None:
    busy.send_signal(signal.SIGTERM)
    assert busy.wait(30) == -signal.SIGTERM


def test_what_ends_soon_is_not_talked_about() -> None:
    code = BUSY.replace('hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)', "import time; time.sleep(60)")
    with subprocess.Popen([*PYTHON, "-c", code], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert err.endswith("KeyboardInterrupt\n")
    assert "steps under way" not in err
