"""The entrypoint, with an export that says that it has begun, and takes its time.

python slow_export.py SECONDS FOLDER --executor_input … --node …
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from components.trainer import run
from pipelines.kubeflow import entrypoint


def main(seconds: str, folder: str, *arguments: str) -> int:
    export = run.export

    def slow_export(*given: Any) -> None:
        Path(folder, str(os.getpid())).touch()
        time.sleep(float(seconds))
        export(*given)

    run.export = slow_export  # type: ignore[attr-defined]
    return entrypoint.main(arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
