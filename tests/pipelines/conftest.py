"""Small real runs, which several files ask for, and one process of pytest makes for all."""

from __future__ import annotations

import csv
import fcntl
import itertools
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

PAIRS: Final = [
    ("A cat sat.", "It sat <b>down</b>."),
    ("Ein großer Hund", "ein Hund"),
    ("我 爱你", "naïve \U0001f600"),
]
_MNLI: Final[dict[str, dict[str, Any]]] = {
    "preprocessing": {"vocabulary_size": 200},
    "model": {
        "encoder": {"vocabulary_size": 200, "hidden_dim": 16, "num_layers": 1, "intermediate_dim": 16},
        "save_as": ["google", "huggingface"],
    },
    "train": {"num_epochs": 1, "global_batch_size": 8, "num_seeds": 2},
    "blessing": {"threshold": 0.0},
}
_SQUAD: Final = {
    "preprocessing": {"vocabulary_size": 400},
    "windowing": {"max_sequence_length": 48, "stride": 16, "max_question_length": 12, "n_best_size": 3},
    "model": {
        "encoder": {
            "vocabulary_size": 400, "hidden_dim": 16, "num_layers": 1, "num_heads": 2,
            "intermediate_dim": 16, "max_positions": 48,
        }
    },
    "train": {"num_steps": 6, "global_batch_size": 8, "steps_per_loop": 3},
    "blessing": {"threshold": 0.0},
}  # fmt: skip
_LITS: Final = {
    "source": {"spacing_mm": [8.0, 8.0, 8.0], "patch_size": [8, 16, 16]},
    "windowing": {"patches_per_example": 2},
    "model": {"filters": [4, 8], "normalization": "batch"},
    "train": {"num_steps": 4, "global_batch_size": 2, "steps_per_loop": 2},
    "blessing": {"threshold": 0.0},
}
LITS_CASES: Final = 5

# (task, what writes its data, overrides) -> the report of a run that published a version. Data are in the
# folder `data`, the pipeline root is `root` beside it, and the models are in `models`.
MakeRun = Callable[[str, Callable[[Path], None], dict[str, dict[str, Any]]], Any]


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def made(task: str, write_data: Callable[[Path], None], overrides: dict[str, dict[str, Any]]) -> Any:
        folder = shared / f"run-of-{task}"
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            kept = folder / "report.pickle"
            if not kept.exists():
                (folder / "data").mkdir()
                write_data(folder / "data")
                kept.write_bytes(pickle.dumps(_run(task, folder, overrides)))
            return pickle.loads(kept.read_bytes())

    return made


def _run(task: str, folder: Path, overrides: dict[str, dict[str, Any]]) -> Any:
    from pipelines.dag.settings import RunConfig
    from pipelines.runs import launch
    from pipelines.tasks import get_task

    data, root, models = (str(folder / name) for name in ("data", "root", "models"))
    config = RunConfig(data_dir=data, pipeline_root=root, models_dir=models)
    return launch.launch(get_task(task), config, overrides)


@pytest.fixture(scope="session")
def mnli_run(made_run: MakeRun) -> Any:
    """Pairs of sentences."""
    return made_run("mnli", _write_mnli, _MNLI)


@pytest.fixture(scope="session")
def squad_run(made_run: MakeRun) -> Any:
    """Questions about made stories."""
    return made_run("squad", _write_squad, _SQUAD)


@pytest.fixture(scope="session")
def lits_run(made_run: MakeRun) -> Any:
    """Scans of made bodies."""
    return made_run("lits", _write_lits, _LITS)


def _write_mnli(folder: Path) -> None:
    from pipelines.tasks import TASKS

    header = [f"column {i}" for i in range(8)] + ["sentence1", "sentence2", "gold_label"]
    labels = TASKS["mnli"].source.labels
    for name, count in (("train", 24), ("dev_matched", 6), ("dev_mismatched", 6)):
        rows = [[str(i)] * 8 + [*PAIRS[i % 3], labels[i % 3]] for i in range(count)]
        with (folder / f"{name}.tsv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None).writerows(
                [header, *rows]
            )


def _write_squad(folder: Path) -> None:
    from components.formats.squad import V2, read_squad, write_squad
    from pipelines.datasets.made_squad import make_squad

    whole = folder.parent / "all"
    whole.mkdir()
    make_squad(whole, version=V2)
    for name, count in (("train-v2.0.json", 60), ("dev-v2.0.json", 24)):
        write_squad(folder / name, itertools.islice(read_squad(whole / name), count), V2)


def _write_lits(folder: Path) -> None:
    from pipelines.datasets.made_lits import make_lits

    make_lits(folder, LITS_CASES)
