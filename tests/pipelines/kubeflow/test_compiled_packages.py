"""A task of another package in what is compiled for a cluster: pods find it, and its code counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import foreign_package
import pytest
import yaml

from pipelines.dag import entrypoints
from pipelines.dag.settings import RunConfig
from pipelines.kubeflow.compiled import compile_task
from pipelines.tasks import get_task

CONFIG = RunConfig(data_dir="/data", pipeline_root="/root", models_dir="/models")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder of sys.path with a package of a task."""
    foreign_package.write(tmp_path, {"letters": "letters.task:LETTERS"})
    yield from foreign_package.on_path(tmp_path, "letters")


def properties(task: str, node: str) -> dict[str, Any]:
    """What a node of a compiled task is told."""
    specification, _ = yaml.safe_load_all(compile_task(get_task(task), CONFIG, {}, "image").yaml)
    container = specification["deploymentSpec"]["executors"][f"exec-{node}"]["container"]
    told: dict[str, Any] = json.loads(container["args"][-1])["exec_properties"]
    return told


@pytest.mark.parametrize("task", ["letters", "letters.task:LETTERS"])
def test_pods_are_told_what_finds_the_task(site: Path, task: str) -> None:
    config = json.loads(properties(task, "transform")["custom_config"])
    assert config["task"] == task
    assert json.loads(properties(task, "trainer")["custom_config"])["task"] == task
    features = entrypoints.preprocessing_fn({"image": [b"\0" * 784]}, config)
    assert features["image"].shape == (1, 28, 28)


def test_the_code_of_the_package_counts(site: Path) -> None:
    before = json.loads(properties("letters", "transform")["fingerprint"])
    own = {"letters/__init__.py", "letters/parts/__init__.py", "letters/parts/scaling.py"}
    assert own | {"letters/parts/numbers.py"} <= before.keys()
    (site / "letters" / "parts" / "numbers.py").write_text("ONE = 1\n")
    after = json.loads(properties("letters", "transform")["fingerprint"])
    assert {name for name in after if after[name] != before.get(name)} == {"letters/parts/numbers.py"}
