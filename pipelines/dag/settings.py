"""What a user may set for a run, and how `--set` and `--config` become it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import Field

from components import files
from components.config import Config, ConfigError, unknown_name
from components.patterns import check_literal
from components.task import Task
from pipelines.dag.cluster import ClusterConfig
from pipelines.dag.values import Mistake, parse_document, parse_value


class CanaryConfig(Config):
    """How closely the served model must repeat the trainer's answers."""

    absolute_tolerance: float = Field(1e-4, gt=0, description="How far apart floating-point answers may be.")
    differing_share: float = Field(1e-3, ge=0, lt=1, description="Of the integers of dense answers.")
    timeout_s: float = Field(
        300.0, gt=0, description="How long the server may take to load the model and answer."
    )


class PushConfig(Config):
    """How models are published."""

    keep_versions: int = Field(5, ge=1, description="How many versions are left, the newest.")
    force: bool = Field(False, description="Publish also what a rollback withdrew.")


class RunConfig(Config):
    """Everything about a run that is not about the task."""

    # A directory or URI each.
    data_dir: str
    pipeline_root: str
    models_dir: str
    enable_cache: bool = True
    # Beam pipeline options by name: {"runner": "DirectRunner", "direct_num_workers": "2"}.
    beam: dict[str, str] = Field(default_factory=dict)
    canary: CanaryConfig = CanaryConfig()
    push: PushConfig = PushConfig()
    cluster: ClusterConfig = ClusterConfig()

    def unfinished_dir(self, task: str) -> str:
        """Returns where the checkpoints of a task's models lie that are not published yet."""
        return os.path.join(self.pipeline_root, "unfinished", task)

    @property
    def beam_pipeline_args(self) -> list[str]:
        """Returns the options as Beam takes them: ["--runner=FlinkRunner"]."""
        options = [f"--{name}={value}" for name, value in self.beam.items() if name != "runner"]
        runner = self.beam.get("runner", "DirectRunner")
        in_process = (_WITHOUT_PRISM,) if runner == "DirectRunner" else ()
        packed = runner.rpartition(".")[2] in _RUN_IMAGES or not _PACKAGES.isdisjoint(self.beam)
        return [f"--runner={runner}", *in_process, *(() if packed else (_NO_PACKAGE,)), *options]


# Beam's DirectRunner would first download Prism, a runner of its own in Go, unless a pipeline asks for
# something that Prism lacks. DirectRunner makes no other use of it.
_WITHOUT_PRISM: Final = "--allow_unsafe_triggers"
# TFX builds a package of itself for every node that gets options, unless these say what workers have. A
# package of TFX alone would not do: workers need this one, too. Dataflow alone takes it for an image's name.
_NO_PACKAGE: Final = "--sdk_container_image=none"
_PACKAGES: Final = frozenset(
    {"sdk_container_image", "worker_harness_container_image", "extra_package", "extra_packages",
     "setup_file", "requirements_file", "prebuild_sdk_container_engine"}
)  # fmt: skip
_RUN_IMAGES: Final = ("DataflowRunner", "TestDataflowRunner")


Overrides = dict[str, dict[str, Any]]
# The sections of RunConfig that `--set` and `--config` reach beside the task's own.
RUN_SECTIONS = ("canary", "push", "cluster")


def read_overrides(configs: Iterable[Path] | None, assignments: Iterable[str]) -> Overrides:
    """Returns {"train": {"num_epochs": 1}} from YAML files and `train.num_epochs=1`; the last one wins."""
    overrides: Overrides = {}
    for config in configs or ():
        overrides = _merged(overrides, _read_yaml(config))
    given: list[tuple[str, ...]] = []
    for assignment in assignments:
        path, value = _parse_assignment(assignment)
        if any(path[: len(other)] == other[: len(path)] for other in given):
            raise ConfigError(f"--set {assignment}: {'.'.join(path)} is given twice")
        given.append(path)
        _put(overrides, path, value, assignment)
    return overrides


def _merged(values: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all values, of one that both have the later; mappings key by key."""
    merged = dict(values)
    for key, value in later.items():
        both = isinstance(value, Mapping) and isinstance(values.get(key), Mapping)
        merged[key] = _merged(values[key], value) if both else value
    return merged


def _parse_assignment(assignment: str) -> tuple[tuple[str, ...], Any]:
    """Returns where a value goes, and the value: "train.num_epochs=1" -> ("train", "num_epochs"), 1."""
    key, separator, text = assignment.partition("=")
    path = tuple(key.split("."))
    if not (separator and len(path) > 1 and all(path)):
        raise ConfigError(f"--set {assignment}: expected SECTION.KEY=VALUE")
    try:
        return path, parse_value(text)
    except Mistake as mistake:
        raise ConfigError(f"--set {assignment}: {mistake}") from mistake


def _put(overrides: Overrides, path: tuple[str, ...], value: Any, assignment: str) -> None:
    section, *parents, last = path
    target = overrides.setdefault(section, {})
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise ConfigError(f"--set {assignment}: {parent!r} is a value, not a section")
    target[last] = value


def apply_overrides(
    task: Task, run: RunConfig, overrides: Overrides, opened: bool = True
) -> tuple[Task, RunConfig]:
    """Returns both with the overrides applied; an unknown section or key is a ConfigError.

    No file that a setting names is read unless they are to be `opened`. Raises PatternError for folders
    below which TFX would look for files by patterns.
    """
    for location in (run.pipeline_root, run.models_dir):
        check_literal(location)
    known = [name for name, _ in task.sections()]
    for section in overrides:
        if section not in (*known, *RUN_SECTIONS):
            raise ConfigError(unknown_name("section", section, (*known, *RUN_SECTIONS)))
    for_task = {name: value for name, value in overrides.items() if name not in RUN_SECTIONS}
    for_run = {name: value for name, value in overrides.items() if name in RUN_SECTIONS}
    updates = {name: getattr(run, name).override(value, name) for name, value in for_run.items()}
    return task.override(for_task, opened), run.model_copy(update=updates)


def _read_yaml(path: Path) -> Overrides:
    try:
        content = parse_document(files.read_text(str(path)))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}: line {line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except Mistake as mistake:
        raise ConfigError(f"{path}: line {mistake.line}: {mistake}") from mistake
    except ValueError as error:
        # No UTF-8.
        raise ConfigError(str(error)) from error
    if content is None:
        return {}
    if not isinstance(content, Mapping) or not all(isinstance(v, dict) for v in content.values()):
        raise ConfigError(f"{path}: expected sections with keys, such as 'train: {{num_epochs: 1}}'")
    return dict(content)
