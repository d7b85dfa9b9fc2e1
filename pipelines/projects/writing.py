"""The folder of a project, from templates; it appears whole or not at all."""

from __future__ import annotations

import contextlib
import importlib.resources
import importlib.util
import json
import keyword
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Final, NamedTuple

from components.errors import UserError
from pipelines.tasks import task_names

_SUFFIX: Final = ".template"
_COMMON: Final = "common"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


class ProjectError(UserError):
    """A project that cannot be written, or data that it cannot be about."""


class Project(NamedTuple):
    """What is to be written."""

    # Which templates: "texts".
    kind: str
    # What stands in them for ${name}.
    values: Mapping[str, str]
    # Further files by path, such as a sample of the data.
    files: Mapping[str, bytes]
    # What to know of the data, a line each.
    notes: tuple[str, ...] = ()


def package_of(name: str) -> str:
    """Returns the Python package of a project: "my-reviews" -> "my_reviews".

    Raises ProjectError for a name that is none, or that something else has.
    """
    package = name.replace("-", "_")
    if not _NAME.fullmatch(name) or keyword.iskeyword(package):
        expected = "small letters, digits and dashes, with a letter first"
        raise ProjectError(f"NAME: expected {expected}, got {name!r}")
    if package in task_names():
        raise ProjectError(f"NAME: expected a name that no task has, got {name!r}")
    if importlib.util.find_spec(package) is not None:
        raise ProjectError(f"NAME: expected a name that no Python package has, got {name!r}")
    return package


def check_free(folder: Path) -> None:
    """Raises ProjectError where there is something already."""
    if folder.exists() or folder.is_symlink():
        raise ProjectError(f"{folder}: expected nothing of this name, got {_kind(folder)}")


def write(folder: Path, project: Project) -> None:
    """Writes a project into a new folder; raises ProjectError where there is something already."""
    check_free(folder)
    templates = {**_templates(_COMMON), **_templates(project.kind)}
    with _whole(folder) as aside:
        for path, text in templates.items():
            content = Template(text).substitute(project.values).encode()
            _put(aside / Template(path).substitute(project.values), content)
        for path, data in project.files.items():
            _put(aside / path, data)


def quoted(text: str) -> str:
    """Returns a text as both Python and TOML write it."""
    return json.dumps(text, ensure_ascii=False)


def _templates(kind: str) -> dict[str, str]:
    """Returns the templates of a folder, by the path of what each becomes."""
    root = Path(str(importlib.resources.files(__name__.rpartition(".")[0]))) / "templates" / kind
    paths = sorted(root.rglob(f"*{_SUFFIX}"))
    return {
        str(path.relative_to(root)).removesuffix(_SUFFIX): path.read_text(encoding="utf-8") for path in paths
    }


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Enters with a folder beside, which is renamed at the end, and removed after an error."""
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        aside.chmod(0o755)
        yield aside
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _kind(path: Path) -> str:
    return "a folder" if path.is_dir() else "a file"
