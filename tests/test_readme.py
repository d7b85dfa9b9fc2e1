"""The README's commands work as they stand there, in their order."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Why a command of the README is not run here.
LEFT_OUT = {
    "make test": "it is what runs this test",
    "make demo": "its recipe, `millrace demo`, is run instead: the environment is there already",
}

pytestmark = pytest.mark.slow


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def test_the_commands_of_the_readme_work(tmp_path: Path) -> None:
    assert "$(VENV)/bin/millrace demo" in (ROOT / "Makefile").read_text(encoding="utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "CUDA_VISIBLE_DEVICES": "-1"}
    listed = commands()
    assert {"make demo", "make test"} <= set(listed)
    for command in ["millrace demo", *(c for c in listed if c not in LEFT_OUT)]:
        result = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert result.returncode == 0, f"$ {command}\n{result.stdout}\n{result.stderr[-3000:]}"
        if command.startswith("millrace predict mnist"):
            assert re.fullmatch(r'Prediction is "\d" \(\d+\.\d%\)\.', result.stdout.strip())
