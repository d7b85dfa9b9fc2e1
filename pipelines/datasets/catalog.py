"""Raw data of the tasks: made from what is installed, or downloaded and checked."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from rich.progress import Progress

from components.config import ConfigError, unknown_name
from components.errors import Failure, UserError
from components.formats.squad import V1, V2
from pipelines import full_disk, program
from pipelines.datasets import glue as text_downloads
from pipelines.datasets import squad as squad_downloads
from pipelines.datasets.downloads import Download, DownloadError, RemoteFile, fetch_files
from pipelines.datasets.made_cola import make_cola
from pipelines.datasets.made_corpus import make_corpus
from pipelines.datasets.made_digits import make_digits
from pipelines.datasets.made_lits import make_lits
from pipelines.datasets.made_pairs import make_mnli, make_mrpc, make_xnli
from pipelines.datasets.made_squad import make_squad, make_squad_v2

_NOT_THE_USERS_FAULT: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class OutputError(UserError, OSError):
    """A directory that cannot be written to."""


# Sizes as at yann.lecun.com/exdb/mnist.
_MNIST = Download(
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz",
            9912422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz",
            28881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz",
            1648877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz",
            4542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
)


# Other data of a task, by its versions: under which name it is below. The first is the task's own.
VERSIONS: Final[Mapping[str, Mapping[str, str]]] = {"squad": {V1: "squad", V2: "squad-v2.0"}}
# By task, or the name of a version; each writes into an existing directory.
MAKERS: Final[Mapping[str, Callable[[Path], None]]] = {
    "cola": make_cola,
    "lits": make_lits,
    "mnist": make_digits,
    "mnli": make_mnli,
    "mrpc": make_mrpc,
    "pretraining": make_corpus,
    "squad": make_squad,
    "squad-v2.0": make_squad_v2,
    "xnli": make_xnli,
}
# Those that write as many cases as wanted, the first of which do not depend on how many there are.
BY_CASES: Final[Mapping[str, Callable[[Path, int], None]]] = {"lits": make_lits}
DOWNLOADS: Final[Mapping[str, Download]] = {
    "mnist": _MNIST,
    "squad": squad_downloads.DOWNLOADS[V1],
    "squad-v2.0": squad_downloads.DOWNLOADS[V2],
    **text_downloads.DOWNLOADS,
}


def of_version(task: str, version: str | None) -> str:
    """Returns the name that a task's data has here; raises ConfigError for a version that it has not."""
    if version is None:
        return task
    versions = VERSIONS.get(task, {})
    if version not in versions:
        raise ConfigError(unknown_name(f"version of {task}", version, versions or ["no other"]))
    return versions[version]


def make(task: str, out_dir: Path, num_cases: int | None = None) -> None:
    """Writes the task's embedded data, or so many cases of it, without a network."""
    if task not in MAKERS:
        raise ConfigError(unknown_name("task with embedded data", task, MAKERS))
    if num_cases is not None and task not in BY_CASES:
        raise ConfigError(f"--cases: {unknown_name('task with cases', task, BY_CASES)}")
    with _writing_to(out_dir):
        if num_cases is None:
            MAKERS[task](out_dir)
        else:
            BY_CASES[task](out_dir, num_cases)


def is_made(task: str, directory: Path) -> bool:
    """Whether a folder holds a file that `make` writes for the task, of any version."""
    names = VERSIONS.get(task, {task: task}).values()
    with tempfile.TemporaryDirectory() as made:
        for name in names:
            # One case is enough.
            make(name, Path(made), 1 if name in BY_CASES else None)
        return bool(filecmp.cmpfiles(directory, made, os.listdir(made), shallow=False)[0])


def fetch(task: str, out_dir: Path, progress: Progress) -> None:
    """Downloads the task's data; files that are already right stay. Raises DownloadError."""
    if task not in DOWNLOADS:
        raise ConfigError(unknown_name("task with a download", task, DOWNLOADS))
    with _writing_to(out_dir):
        try:
            fetch_files(DOWNLOADS[task], out_dir, progress)
        except DownloadError as error:
            # No cause, which would be told in its place.
            raise DownloadError(f"{error}{_without_network(task, out_dir)}") from None
        if task in text_downloads.FINISHERS:
            text_downloads.FINISHERS[task](out_dir)


def _without_network(task: str, out_dir: Path) -> str:
    """Returns what to do where a download failed; "" where nothing can be made."""
    if task not in MAKERS:
        return ""
    versions = (
        (name, number) for name, known in VERSIONS.items() for number in known if known[number] == task
    )
    name, number = next(versions, (task, None))
    words = ["data", "make", name, *(["--version", number] if number else []), "--out", out_dir]
    return f"; `{program.command(*words)}` writes data that needs no network"


@contextlib.contextmanager
def _writing_to(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with full_disk.writing(str(directory)):
            yield
    except OSError as error:
        kind = Failure if error.errno in _NOT_THE_USERS_FAULT else OutputError
        raise kind(f"{directory}: cannot be written to: {error.strerror or error}") from error
