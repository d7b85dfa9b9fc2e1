"""Runs the model server for as long as the one who started it lives, and holds its standard input open.

python -m components.canary.child --port=0 …
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def _end_with_parent() -> None:
    # Not sys.stdin, whose lock a thread must not hold when the interpreter ends.
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # By name: to this package the server is a program, not a library.
    sys.argv[0] = "components.serving"
    runpy.run_module("components.serving", run_name="__main__", alter_sys=True)
