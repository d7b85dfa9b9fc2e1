from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from pipelines.dashboard import curves


def write_events(folder: Path, values: dict[int, dict[str, float]]) -> Path:
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for step, scalars in values.items():
            for name, value in scalars.items():
                tf.summary.scalar(name, value, step=step)
    writer.close()
    return next(folder.glob("events*"))


def test_scalars_are_read_by_what_is_measured_and_where(tmp_path: Path) -> None:
    write_events(tmp_path / "train", {10: {"loss": 0.5, "learning_rate": 0.25}, 20: {"loss": 0.375}})
    write_events(tmp_path / "eval", {20: {"loss": 1.5}})
    assert curves.read(tmp_path) == {
        "loss": [curves.Line("eval", [(20, 1.5)]), curves.Line("train", [(10, 0.5), (20, 0.375)])],
        "learning_rate": [curves.Line("train", [(10, 0.25)])],
    }


@pytest.mark.parametrize("missing", [1, 5, 20])
def test_a_record_that_is_being_written_is_left_for_later(tmp_path: Path, missing: int) -> None:
    file = write_events(tmp_path / "train", {10: {"loss": 0.5}, 20: {"loss": 0.375}})
    file.write_bytes(file.read_bytes()[:-missing])
    assert curves.read(tmp_path) == {"loss": [curves.Line("train", [(10, 0.5)])]}


def test_of_a_training_that_went_on_the_later_value_counts(tmp_path: Path) -> None:
    for number, loss in ((1, 0.5), (2, 0.25)):
        file = write_events(tmp_path / f"{number}", {10: {"loss": loss}})
        (tmp_path / "train").mkdir(exist_ok=True)
        file.rename(tmp_path / "train" / f"events.out.tfevents.{number}")
    assert curves.read(tmp_path)["loss"] == [curves.Line("train", [(10, 0.25)])]


def test_other_summaries_are_passed_over(tmp_path: Path) -> None:
    writer = tf.summary.create_file_writer(str(tmp_path / "train"))
    with writer.as_default():
        tf.summary.text("note", "hello", step=1)
        tf.summary.histogram("weights", [1.0, 2.0], step=1)
    writer.close()
    assert curves.read(tmp_path) == {}
