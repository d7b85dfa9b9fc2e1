"""Projects that `millrace init` writes, in an empty folder: run, tested, asked and compiled as by a user."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import foreign_package
import numpy as np
import pytest
import yaml
from PIL import Image

from components.formats.idx import write_idx
from millrace.testing import write_scans
from pipelines.cli import main as cli

pytestmark = pytest.mark.slow

QUICK = "--set train.num_steps=4 --set train.steps_per_loop=2 --set train.global_batch_size=4"
Millrace = Callable[[str], str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, which is the current one; what is imported from below is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").mkdir()
    for _ in foreign_package.on_path(
        tmp_path / "site", "my_reviews", "photos", "organs", "likeness", "shapes"
    ):
        yield tmp_path


@pytest.fixture
def millrace(capfd: pytest.CaptureFixture[str]) -> Millrace:
    """Runs a command line in this process, which loads TFX once, and returns what it prints."""

    def run(command: str) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main(command.split())
        out, err = capfd.readouterr()
        assert end.value.code == 0, f"$ millrace {command}\n{out}\n{err[-3000:]}"
        return out

    return run


def install(project: Path, package: str, site: Path) -> None:
    """Puts into a folder of sys.path what `pip install -e` puts there of a project."""
    text = (project / "pyproject.toml").read_text()
    (point,) = re.findall(r'^\[project\.entry-points\."millrace\.tasks"\]\n(.*)\n\n', text, re.MULTILINE)
    name, value = point.replace('"', "").split(" = ")
    foreign_package.declare(site, {name: value}, package)
    (site / package).symlink_to(project / package)
    # Python remembers what a folder held.
    importlib.invalidate_caches()


def run_test_of(project: Path, folder: Path) -> None:
    """Runs the project's own test in this process."""
    spec = importlib.util.spec_from_file_location(f"test_of_{project.name}", project / "tests/test_task.py")
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.test_a_model_is_trained_published_and_asked(folder)


def tasks_of(compiled: Path) -> set[str]:
    """Returns how the nodes of a compiled pipeline that need their task find it."""
    specification, _ = yaml.safe_load_all(compiled.read_text())
    executors = specification["deploymentSpec"]["executors"].values()
    nodes = [json.loads(each["container"]["args"][-1]) for each in executors if "container" in each]
    configs = [node["exec_properties"].get("custom_config") for node in nodes]
    return {json.loads(config)["task"] for config in configs if config and "task" in json.loads(config)}


def test_texts_of_a_csv_file(here: Path, millrace: Millrace, monkeypatch: pytest.MonkeyPatch) -> None:
    with (here / "reviews.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["review", "liked"])
        for number in range(60):
            liked = number % 2
            rows.writerow([f'They said:\n"{"good" if liked else "bad"}", {number}', "yes" if liked else "no"])
    millrace("init my-reviews --from reviews.csv --text review --label liked")
    project = here / "my-reviews"
    # As it is, installed nowhere, in a process of its own.
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(call, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    install(project, "my_reviews", here / "site")
    monkeypatch.chdir(project)
    assert "my_reviews" in millrace("tasks")
    millrace(f"run my-reviews --data .. --config config.yaml {QUICK} --set blessing.threshold=0")
    assert re.search('Prediction is "(yes|no)"', millrace("predict my-reviews Good"))
    millrace("compile my-reviews --image image --out compiled.yaml")
    assert tasks_of(project / "compiled.yaml") == {"my_reviews"}


def test_coloured_images_in_folders_by_class(
    here: Path, millrace: Millrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        for place, label in enumerate(("blue", "red")):
            pixels = np.zeros((12, 10, 3), np.uint8)
            pixels[..., 2 - 2 * place] = 100 + number
            path = here / "pictures" / label / f"{number}.{'png' if number % 2 else 'jpg'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    millrace("init photos --from pictures")
    project = here / "photos"
    assert "_SHAPE = (12, 10, 3)" in (project / "photos" / "task.py").read_text()
    monkeypatch.chdir(project)
    run_test_of(project, here / "tested")
    images = "../pictures/red/2.jpg ../pictures/blue/3.png"
    said = millrace(f"predict photos.task:TASK {images} --pipeline-root ../tested --json")
    assert {answer["prediction"] for answer in json.loads(said)} <= {"blue", "red"}
    millrace("compile photos.task:TASK --image image --out compiled.yaml")
    assert tasks_of(project / "compiled.yaml") == {"photos.task:TASK"}


def test_idx_files_of_another_size_and_with_names(
    here: Path, millrace: Millrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "drawn").mkdir()
    for part, count in (("train", 40), ("t10k", 20)):
        labels = np.arange(count, dtype=np.uint8) % 2
        pixels = np.zeros((count, 16, 20), np.uint8)
        pixels[labels == 1, 4:12] = 200
        # Equal images would be held out together.
        pixels[:, 0, 0] = np.arange(count)
        write_idx(here / "drawn" / f"{part}-images-idx3-ubyte.gz", pixels)
        write_idx(here / "drawn" / f"{part}-labels-idx1-ubyte.gz", labels)
    (here / "drawn" / "labels.txt").write_text("nothing\nbar\n")
    Image.fromarray(pixels[1]).save(here / "bar.png")
    millrace("init shapes --from drawn")
    project = here / "shapes"
    text = (project / "shapes" / "task.py").read_text()
    assert "_SHAPE = (16, 20)" in text
    assert 'label_names=("nothing", "bar"),' in text
    monkeypatch.chdir(project)
    run_test_of(project, here / "tested")
    said = millrace("predict shapes.task:TASK ../bar.png --pipeline-root ../tested --json")
    assert set(json.loads(said)[0]["probabilities"]) == {"nothing", "bar"}
    millrace("compile shapes.task:TASK --image image --out compiled.yaml")
    assert tasks_of(project / "compiled.yaml") == {"shapes.task:TASK"}


def test_scans_with_masks(here: Path, millrace: Millrace, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scans(here / "scans", (0, 1, 2))
    millrace("init organs --from scans --labels background,liver,spleen")
    project = here / "organs"
    assert "patch_size:" in (project / "config.yaml").read_text()
    monkeypatch.chdir(project)
    run_test_of(project, here / "tested")
    scan = "../scans/volume-0.nii.gz"
    said = millrace(
        f"predict organs.task:TASK {scan} --pipeline-root ../tested/root --out mask.nii.gz --json"
    )
    assert list(json.loads(said)[0]["volumes_ml"]) == ["liver", "spleen"]
    millrace("compile organs.task:TASK --config config.yaml --image image --out compiled.yaml")
    assert tasks_of(project / "compiled.yaml") == {"organs.task:TASK"}


def test_scores_of_pairs(here: Path, millrace: Millrace, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"They sang {n}.\tThey sang {n % 5}.\t{n % 5}.5" for n in range(40)]
    (here / "train.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]) + "\n")
    millrace("init likeness --from train.tsv --text sentence1 --text2 sentence2 --score score")
    project = here / "likeness"
    assert "_RANGE = (0.5, 4.5)" in (project / "likeness" / "task.py").read_text()
    monkeypatch.chdir(project)
    run_test_of(project, here / "tested")
    (project / "ask.tsv").write_text("They sang.\tThey danced.\n")
    said = millrace("predict likeness.task:TASK --pairs ask.tsv --pipeline-root ../tested --json")
    assert 0.5 <= json.loads(said)[0]["score"] <= 4.5
