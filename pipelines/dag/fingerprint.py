"""What an execution depends on beside its inputs, as digests: for caching, and to tell what changed since."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components.config import Config
from components.example_gen.digests import sha256
from components.task import Task

# The source files whose change means that an execution has to be done again.
EXAMPLE_GEN_CODE: Final = ("components/example_gen", "components/formats", "components/sources")
TRANSFORM_CODE: Final = ("components/transform", "components/formats")
TRAINER_CODE: Final = (
    "components/trainer",
    "components/export",
    "components/metrics",
    "components/models",
    "components/transform",
    "components/windows",
)
# The sections of a task that decide what is trained.
TRAINING_SECTIONS: Final = ("source", "preprocessing", "windowing", "model", "train")

_ROOT: Final = Path(__file__).resolve().parents[2]


def fingerprint(sections: Mapping[str, Config], *code: str) -> str:
    """Returns a digest of settings, the files that they name, and packages such as "components/models"."""
    settings = {name: section.model_dump(mode="json") for name, section in sections.items()}
    files = [sha256(path) for section in sections.values() for path in section.input_files()]
    identity = [settings, files, [code_digest(package) for package in code]]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def code_digest(package: str) -> str:
    """Returns a digest of a package's source files, by name and content."""
    digest = hashlib.sha256()
    for file in sorted((_ROOT / package).rglob("*.py")):
        digest.update(str(file.relative_to(_ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def ingredients(task: Task) -> dict[str, Any]:
    """Returns what a model is made of beside data, as JSON values that hold no path.

    {"settings": {"train": {"num_epochs": 3}}, "files": {"model/vocab.txt": SHA-256}, "code": {package:
    digest}}. A setting that names a file keeps its last part: where a file lies does not change a model.
    """
    sections = {name: section for name, section in task.sections() if name in TRAINING_SECTIONS}
    files = {
        f"{name}/{os.path.basename(path)}": sha256(path)
        for name, section in sections.items()
        for path in section.input_files()
    }
    settings = {
        name: _without_folders(section.model_dump(mode="json"), section.input_files())
        for name, section in sections.items()
    }
    packages = sorted({*EXAMPLE_GEN_CODE, *TRAINER_CODE})
    return {"settings": settings, "files": files, "code": {name: code_digest(name) for name in packages}}


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
