"""What a run finds around itself, on this machine."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.dag.settings import RunConfig, apply_overrides
from pipelines.runs.record import Asked
from pipelines.runs.surroundings import machine, record_of, revision, revisions, without_secrets
from pipelines.tasks import TASKS

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")


def git(folder: Path, *words: str) -> str:
    # Not of this repository, should a hook of it run the tests.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    identity = ("-c", "user.name=n", "-c", "user.email=e")
    return subprocess.check_output(["git", "-C", str(folder), *identity, *words], env=environment, text=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "code.py").write_text("1")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


@needs_git
def test_a_revision_is_a_commit_and_whether_its_files_changed(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD").strip()
    clean = revision(repository)
    assert clean is not None
    assert (clean.commit, clean.dirty, Path(clean.root)) == (head, False, repository.resolve())
    (repository / "untracked").touch()
    assert revision(repository) == clean
    (repository / "code.py").write_text("2")
    changed = revision(repository)
    assert changed is not None
    assert (changed.commit, changed.dirty) == (head, True)


@needs_git
def test_what_is_installed_into_somebodys_repository_is_not_of_its_revision(
    repository: Path, tmp_path: Path
) -> None:
    installed = repository / "venv/module.py"
    installed.parent.mkdir()
    installed.touch()
    assert revisions(installed, tmp_path) == {}
    assert revisions(installed, repository) == {"folder": revision(repository)}
    # One repository is told once.
    assert revisions(repository / "code.py", repository) == {"millrace": revision(repository)}


def test_a_folder_without_a_repository_has_no_revision(tmp_path: Path) -> None:
    assert revision(tmp_path) is None
    assert revision(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("run mnist --data D", "run mnist --data D"),
        ("--beam s3_secret_access_key=abc", "--beam s3_secret_access_key=***"),
        ("--beam=--api_key=abc", "--beam=--api_key=***"),
        ("--token abc --data D", "--token *** --data D"),
        ("--token-file F --data D", "--token-file F --data D"),
        ("--data s3://user:word@host/x", "--data s3://***@host/x"),
        ("--set=source.password=abc=d", "--set=source.password=***"),
        ("--set source.group_key=patient", "--set source.group_key=patient"),
        ("--set windowing.max_tokens=5", "--set windowing.max_tokens=5"),
    ],
)
def test_a_command_line_is_kept_without_secrets(words: str, shown: str) -> None:
    assert " ".join(without_secrets(words.split())) == shown


def test_the_machine_is_this_one() -> None:
    found = machine()
    assert found.cpus == len(os.sched_getaffinity(0))
    assert found.memory_bytes > 1 << 28
    assert (found.host, found.os, found.accelerators) == (platform.node(), platform.platform(), ())


def test_a_record_tells_given_settings_from_effective_and_default_ones(tmp_path: Path) -> None:
    given = {"train": {"num_epochs": 7}, "push": {"keep_versions": 5}}
    config = RunConfig(
        data_dir="/data", pipeline_root="/r", models_dir="/m", beam={"runner": "Direct", "api_key": "k"}
    )
    task, config = apply_overrides(TASKS["mnist"], config, given)
    asked = Asked(("millrace", "run"), given, "night", ("a", "b", "a"), "/r/logs/x.log")
    made = record_of(task, config, asked, "id")
    assert made.given == given
    assert made.settings["train"]["num_epochs"] == 7
    assert made.settings["train"]["seed"] == 0
    assert made.settings["canary"]["timeout_s"] == 300
    assert "cluster" not in made.settings
    # What was given as it is anyway is a default.
    assert made.changed == ("train.num_epochs",)
    assert (made.name, made.tags, made.log, made.data_dir) == ("night", ("a", "b"), "/r/logs/x.log", "/data")
    assert made.beam == {"runner": "Direct", "api_key": "***"}
    assert made.packages["pydantic"] == importlib.metadata.version("pydantic")
    assert made.python == platform.python_version()
