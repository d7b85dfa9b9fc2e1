"""What a run finds around itself as it starts: machine, packages, revisions of code, its command line."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import UserError
from components.task import Task
from pipelines.dag.settings import RUN_SECTIONS, RunConfig
from pipelines.runs.explain import flat
from pipelines.runs.record import Asked, Machine, Record, Revision

_HIDDEN: Final = "***"
# Names of what is not to be written down, but for the files that hold it.
_SECRET: Final = re.compile(
    r"(^|[._-])(password|passwd|secret|token|credentials?|(access|account|api|private)_?key)($|[._-])",
    re.IGNORECASE,
)
_PLACE: Final = re.compile(r"[._-](file|path|dir)$", re.IGNORECASE)
_USER: Final = re.compile(r"://[^/@\s]+@")
# A repository on a slow disk is not worth more.
_PATIENCE_S: Final = 20.0
# Of a cluster, nothing holds for a run here.
_HERE: Final = tuple(name for name in RUN_SECTIONS if name != "cluster")


def record_of(task: Task, config: RunConfig, asked: Asked, run_id: str) -> Record:
    """Returns the record of a run that starts now; TensorFlow tells the accelerators."""
    nowhere = RunConfig(data_dir="", pipeline_root="", models_dir="")
    settings, defaults = _settings(task, config), dict(flat(_settings(_declared(task), nowhere)))
    return Record(
        run_id=run_id,
        name=asked.name,
        tags=tuple(dict.fromkeys(asked.tags)),
        command=tuple(without_secrets(asked.command)),
        given={section: dict(values) for section, values in asked.given.items()},
        settings=settings,
        changed=tuple(key for key, value in flat(settings) if defaults.get(key, _HIDDEN) != value),
        data_dir=config.data_dir,
        beam={name: _HIDDEN if _is_secret(name) else value for name, value in config.beam.items()},
        revisions=revisions(Path(__file__), Path.cwd()),
        packages=packages(),
        python=platform.python_version(),
        machine=machine(),
        log=asked.log,
    )


def _settings(task: Task, config: RunConfig) -> dict[str, Any]:
    sections = [*task.sections(), *((name, getattr(config, name)) for name in _HERE)]
    return {name: section.model_dump(mode="json") for name, section in sections}


def _declared(task: Task) -> Task:
    """Returns a task as it is without any setting given; itself where nobody declared it."""
    from pipelines.tasks import get_task

    try:
        return get_task(task.reference).override({})
    except UserError:
        return task


def without_secrets(words: Iterable[str]) -> Iterator[str]:
    """Yields the words of a command: ["--beam", "s3_secret=x"] -> ["--beam", "s3_secret=***"]."""
    is_value = False
    for word in words:
        yield _HIDDEN if is_value else _hidden(word)
        is_value = not is_value and word.startswith("--") and "=" not in word and _is_secret(word)


def _hidden(word: str) -> str:
    """Returns a word without a secret's value, nor a user's name and password in a URI."""
    name, separator, value = word.partition("=")
    if not separator:
        return _USER.sub(f"://{_HIDDEN}@", word)
    return f"{name}={_HIDDEN if _is_secret(name) else _hidden(value)}"


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _PLACE.search(name)


def packages() -> dict[str, str]:
    """Returns the versions of all installed packages, sorted by name."""
    found = {found.metadata["Name"]: found.version for found in importlib.metadata.distributions()}
    return {name: found[name] for name in sorted(filter(None, found), key=str.lower)}


def machine() -> Machine:
    """Returns what this process runs on; imports TensorFlow."""
    return Machine(
        host=platform.node(),
        os=platform.platform(),
        cpu=_cpu(),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        accelerators=_accelerators(),
    )


def _cpu() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    found = re.search(r"^model name\s*: (.*)$", told, re.MULTILINE)
    return found[1] if found else platform.machine()


def _accelerators() -> tuple[str, ...]:
    import tensorflow as tf

    devices = [device for device in tf.config.list_physical_devices() if device.device_type in ("GPU", "TPU")]
    details: list[Mapping[str, Any]] = [tf.config.experimental.get_device_details(d) for d in devices]
    return tuple(
        str(told.get("device_name", device.device_type))
        for device, told in zip(devices, details, strict=True)
    )


def revisions(file: Path, folder: Path) -> dict[str, Revision]:
    """Returns {"millrace": of a source file's repository, "folder": of a folder's, where it is another}.

    What is installed, and lies in a repository that does not know it, has none.
    """
    own = revision(file.parent) if _git(file.parent, "ls-files", "--error-unmatch", file.name) else None
    there = revision(folder)
    found = {"millrace": own, "folder": there if there != own else None}
    return {name: each for name, each in found.items() if each is not None}


def revision(folder: Path) -> Revision | None:
    """Returns the state of the repository that a folder is in; None without one, or without git."""
    root = _git(folder, "rev-parse", "--show-toplevel")
    status = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    commit = re.search(r"^# branch\.oid ([0-9a-f]{40,64})$", status or "", re.MULTILINE)
    if root is None or status is None or commit is None:
        return None
    dirty = any(not line.startswith("#") for line in status.splitlines())
    return Revision(root=root.strip(), commit=commit[1], dirty=dirty)


def _git(folder: Path, *words: str) -> str | None:
    """Returns what git says, which writes nothing; None where it fails."""
    # A hook of ours sets these for its own repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
