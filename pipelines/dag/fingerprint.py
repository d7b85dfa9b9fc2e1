"""What an execution depends on beside its inputs, by name: for caching, and to tell what changed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from components.config import Config
from components.example_gen.digests import sha256
from components.task import Task
from pipelines.dag.imports import closure
from pipelines.dag.nodes import EXAMPLE_VALIDATOR, STATISTICS_GEN, TRAINER, TRANSFORM

# The sections of a task that decide what is trained.
TRAINING_SECTIONS: Final = ("source", "preprocessing", "windowing", "model", "train")
# The functions that TFX's own executors call.
PREPROCESSING_FN: Final = "pipelines.dag.entrypoints.preprocessing_fn"
RUN_FN: Final = "pipelines.dag.training.run_fn"

# Of other tasks and families no node runs anything: each starts from the classes of its own task.
_APART: Final = ("pipelines.tasks",)
# Whose versions count, by the name that one imports.
_DISTRIBUTIONS: Final = {
    "apache_beam": "apache-beam",
    "jax": "jax",
    "keras": "keras",
    "numpy": "numpy",
    "tensorflow": "tensorflow",
    "tensorflow_data_validation": "tensorflow-data-validation",
    "tensorflow_model_analysis": "tensorflow-model-analysis",
    "tensorflow_text": "tensorflow-text",
    "tensorflow_transform": "tensorflow-transform",
    "tfx": "tfx",
}
# What TFX's own executors import.
_TFX: Final = {
    STATISTICS_GEN: ("apache_beam", "numpy", "tensorflow", "tensorflow_data_validation"),
    EXAMPLE_VALIDATOR: ("tensorflow_data_validation",),
    TRANSFORM: ("apache_beam", "numpy", "tensorflow", "tensorflow_transform"),
}
_ENTRY_POINTS: Final = {TRANSFORM: PREPROCESSING_FN, TRAINER: RUN_FN}

Ingredients = dict[str, str]


def of_node(node: str, executor: type, sections: Mapping[str, Any], opened: bool = True) -> Ingredients:
    """Returns the source files, versions and files named in settings on which a node's outputs depend.

    {"components/canary/probe.py": "0123456789abcdef", "tensorflow": "2.16.2"}; `executor` is its class, and
    `sections` are the parts of the task, by name, that it uses. Files are left out if they are not `opened`.
    """
    names = [executor.__module__, *(type(section).__module__ for section in sections.values())]
    if node in _ENTRY_POINTS:
        names.append(_ENTRY_POINTS[node].rpartition(".")[0])
    return {**code(names, _TFX.get(node, ())), **(_files(sections) if opened else {})}


def code(modules: Collection[str], packages: Iterable[str] = ()) -> Ingredients:
    """Returns digests of the source files that modules run, and versions of packages that they use."""
    # Of packages that have a version, that says all.
    versioned = {name.partition(".")[0] for name in modules} & _DISTRIBUTIONS.keys()
    found = closure((name for name in modules if name.partition(".")[0] not in versioned), apart=_APART)
    files = {path: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for path, file in found.files.items()}
    used = _DISTRIBUTIONS.keys() & {*versioned, *found.packages, *packages}
    return {**files, **{_DISTRIBUTIONS[name]: _version(_DISTRIBUTIONS[name]) for name in sorted(used)}}


def digest(value: Any) -> str:
    """Returns 16 hexadecimal digits for a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def ingredients(task: Task) -> dict[str, Any]:
    """Returns what a model is made of beside data, as JSON values that hold no path.

    {"settings": {"train": {"num_epochs": 3}}, "files": {"model/vocab.txt": SHA-256}, "code": {source file:
    digest, package: version}}. A setting that names a file keeps its last part: where a file lies does not
    change a model.
    """
    sections = task.parts(TRAINING_SECTIONS)
    settings = {
        name: _without_folders(section.model_dump(mode="json"), section.input_files())
        for name, section in sections.items()
        if isinstance(section, Config)
    }
    names = [type(section).__module__ for section in sections.values()]
    entry_points = [entry.rpartition(".")[0] for entry in _ENTRY_POINTS.values()]
    packages = {package for used in _TFX.values() for package in used}
    return {
        "settings": settings,
        "files": _files(sections),
        "code": code(["components.trainer.component", *names, *entry_points], packages),
    }


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        # Under another name, such as tensorflow-cpu; or not here, where a pipeline is compiled.
        return "unknown"


def _files(sections: Mapping[str, Any]) -> Ingredients:
    """Returns SHA-256 sums of the files that settings name: {"preprocessing/vocab.txt": …}."""
    return {
        f"{name}/{os.path.basename(path)}": sha256(path)
        for name, section in sections.items()
        if isinstance(section, Config)
        for path in section.input_files()
    }


def _without_folders(settings: Mapping[str, Any], files: tuple[str, ...]) -> dict[str, Any]:
    """Returns the settings; of those that are the beginning of a file's path, the last part alone."""

    def shortened(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        path = value.rstrip("/")
        # As a file, as its folder, or as what several files' names begin with.
        named = any(file == path or file.startswith((f"{path}/", f"{path}.")) for file in files)
        return os.path.basename(path) if named else value

    return {key: shortened(value) for key, value in settings.items()}
