"""A step on four virtual devices is that on one, in a part of the memory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_updates import OPTIMIZERS, updated

from components.train_config import TrainConfig
from components.trainer.partition.process import environment

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def steps() -> Any:
    script = Path(__file__).with_name("partition_steps.py")
    finished = subprocess.run(
        [sys.executable, script],
        env={**os.environ, **environment(TrainConfig(partition=(1, 4, 1, 1, 1)))},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout)


@pytest.mark.parametrize("model", ["batch", "instance", "group", "anisotropic", "2d"])
def test_loss_and_gradients_are_those_of_one_device(steps: Any, model: str) -> None:
    whole, *others = steps["models"][model].values()
    assert others
    for parts in others:
        assert parts["terms"] == pytest.approx(whole["terms"], rel=1e-5)
        assert parts["norm"] == pytest.approx(whole["norm"], rel=1e-4)
        assert max(parts["gradients"]) < 1e-4


def test_batch_normalization_has_the_statistics_of_whole_volumes(steps: Any) -> None:
    averages = steps["models"]["batch"]["[1, 4, 1, 1, 1]"]["averages"]
    # Mean and variance of each of three normalizations.
    assert len(averages) == 6
    assert max(averages) < 1e-5


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_are_those_of_tensorflow(steps: Any, optimizer: str) -> None:
    for one, other in zip(steps["optimizers"][optimizer], updated(OPTIMIZERS[optimizer]), strict=True):
        assert one == pytest.approx(other, rel=2e-5)


@pytest.mark.parametrize("model", ["batch", "instance", "group"])
def test_four_devices_take_less_than_two_fifths_of_the_memory_each(steps: Any, model: str) -> None:
    whole, parts = steps["models"][model].values()
    assert whole["bytes"] > 2.5 * parts["bytes"]
