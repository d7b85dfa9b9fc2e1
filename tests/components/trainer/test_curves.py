"""What was measured while a model trained is there for all of it, also where it was interrupted."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.task import Task
from components.trainer.curves import Curves
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.train import train


def test_points_are_kept_by_split_name_and_step(tmp_path: Path) -> None:
    curves = Curves(str(tmp_path / "work"))
    curves.add("train", 3, {"loss": 2.0, "learning_rate": 0.1})
    curves.add("train", 6, {"loss": math.nan, "learning_rate": 0.2})
    curves.add("eval", 6, {"accuracy": 0.5})
    curves.add("eval", 6, {"accuracy": 0.6})
    assert curves.points() == {
        "train": {"loss": [(3, 2.0)], "learning_rate": [(3, 0.1), (6, 0.2)]},
        "eval": {"accuracy": [(6, 0.6)]},
    }


def test_what_is_newer_than_the_checkpoint_is_dropped(tmp_path: Path) -> None:
    curves = Curves(str(tmp_path / "work"))
    for step in (3, 6, 9):
        curves.add("train", step, {"loss": 1 / step})
    curves.save()
    resumed = Curves(str(tmp_path / "work"))
    resumed.restore(6)
    resumed.add("train", 9, {"loss": 7.0})
    assert resumed.points() == {"train": {"loss": [(3, 1 / 3), (6, 1 / 6), (9, 7.0)]}}
    new = Curves(str(tmp_path / "elsewhere"))
    new.restore(6)
    assert new.points() == {}


def test_long_curves_are_thinned_out_to_their_last_point() -> None:
    curves = Curves("nowhere")
    for step in range(1, 2501):
        curves.add("train", step, {"loss": float(step)})
    (points,) = curves.points()["train"].values()
    assert len(points) == 834
    assert points[-3:] == [(2494, 2494.0), (2497, 2497.0), (2500, 2500.0)]
    assert points[0] == (1, 1.0)


class Interrupted(BaseException):
    """Stands for a process that ends between two operations."""


@pytest.mark.parametrize("calls", [1, 3])
def test_an_interrupted_training_has_the_curves_of_one_that_was_not(
    tiny_task: Callable[..., Task], write_examples: Callable[..., ExampleFiles], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, calls: int,
) -> None:  # fmt: skip
    splits = write_examples(60), write_examples(21, seed=1)

    def run(name: str) -> Any:
        return train(tiny_task(num_epochs=2), *splits, str(tmp_path / name), str(tmp_path / name / "logs"))

    whole = run("whole")
    # Loops end after 3, 6 and 7 steps.
    assert [step for step, _ in whole.curves["train"]["loss"]] == [3, 6, 7, 10, 13, 14]
    assert [step for step, _ in whole.curves["eval"]["accuracy"]] == [7, 14]
    original, count = Curves.save, 0

    def save(self: Curves) -> None:
        nonlocal count
        count += 1
        original(self)
        if count > calls:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(Curves, "save", save)
        with pytest.raises(Interrupted):
            run("interrupted")
    assert run("interrupted").curves == whole.curves
