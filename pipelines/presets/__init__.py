"""Settings that come with the tasks: a folder a task, a file a preset; `--config NAME` takes one."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from components.config import ConfigError, unknown_name
from pipelines.tasks import get_task

_SUFFIX: Final = ".yaml"


def names(task: str) -> list[str]:
    """Returns the presets of a task, sorted."""
    return sorted(path.stem for path in _folder(task).glob(f"*{_SUFFIX}"))


def summary(task: str, name: str) -> str:
    """Returns what a preset is, which its first line says."""
    return _path(task, name).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def located(task: str, configs: Iterable[Path] | None) -> list[Path]:
    """Returns the files that `--config` means: what is no file and only a word is a preset of the task.

    Raises ConfigError for a task and for a preset that are not known.
    """
    known = names(get_task(task).name)
    return [config if _is_file(config) else _preset(task, config.name, known) for config in configs or ()]


def _is_file(config: Path) -> bool:
    """Whether a file is meant, be it there or not: "my.yaml", "settings/base"."""
    return config.is_file() or bool(config.suffix) or len(config.parts) != 1


def _preset(task: str, name: str, known: list[str]) -> Path:
    if name in known:
        return _path(task, name)
    presets = unknown_name("preset", name, known) if known else f"{task} has no presets"
    raise ConfigError(f"--config {name}: no such file, and {presets}")


def _path(task: str, name: str) -> Path:
    return _folder(task) / f"{name}{_SUFFIX}"


def _folder(task: str) -> Path:
    return Path(str(importlib.resources.files(__name__))) / task
