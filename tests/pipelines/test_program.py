"""Commands that the program proposes work when they are pasted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import program

SCRIPT = Path(sys.executable).with_name("millrace")


def asked(monkeypatch: pytest.MonkeyPatch, called: str, path: str) -> str:
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setenv("PATH", path)
    return program.command("run", "a b")


def test_a_command_has_the_program_as_it_was_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(SCRIPT.parents[1])
    assert asked(monkeypatch, "bin/millrace", "/nowhere") == "bin/millrace run 'a b'"
    # Where the name alone calls the same program, it is enough; another program of that name is not.
    assert asked(monkeypatch, "bin/millrace", str(SCRIPT.parent)) == "millrace run 'a b'"
    (tmp_path / "millrace").write_text("#!/bin/sh\n")
    (tmp_path / "millrace").chmod(0o755)
    assert asked(monkeypatch, "bin/millrace", str(tmp_path)) == "bin/millrace run 'a b'"
    assert asked(monkeypatch, "/usr/bin/pytest", "/nowhere") == "millrace run 'a b'"


def test_a_module_is_called_as_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.cli.main", "runs", "--pipeline-root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=os.getcwd())
    assert f"`{sys.executable} -m pipelines.cli.main run TASK --data DIR`" in done.stderr


def test_a_setting_replaces_what_the_command_said_of_it() -> None:
    given = [
        "run",
        "cola",
        "--set",
        "train.num_epochs=3",
        "--set=train.num_epochs=4",
        "--set",
        "train.seed=1",
    ]
    assert program.with_setting(given, "train.num_epochs=6") == [
        "run", "cola", "--set", "train.seed=1", "--set", "train.num_epochs=6"
    ]  # fmt: skip
