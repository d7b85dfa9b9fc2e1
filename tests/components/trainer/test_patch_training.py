"""Training on patches of volumes: the same numbers on replicas, after an interruption, and in few bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.features import (
    FOREGROUND,
    FOREGROUND_COUNTS,
    IMAGE,
    LABEL,
    NORMALIZATION,
    SHAPE,
    SPACING_MM,
)
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.train import TrainResult, train
from pipelines.tasks import TASKS

pytestmark = pytest.mark.slow

# Of which a patch has fewer along each axis.
VOLUME = (9, 10, 12)
MOST_FOREGROUND = 8
PATCHES_A_VOLUME = 4


def write_volumes(path: Path, count: int, seed: int) -> ExampleFiles:
    """Writes noise with a bright box of class 1 in it, and in it a dark one of class 2."""
    import tensorflow as tf

    random = np.random.default_rng(seed)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        for _ in range(count):
            label = np.zeros(VOLUME, np.uint8)
            z, y, x = random.integers(0, 4, 3)
            label[z : z + 5, y : y + 6, x : x + 7] = 1
            label[z + 2 : z + 4, y + 2 : y + 5, x + 2 : x + 5] = 2
            image = np.array([0, 100, -100])[label] + random.normal(0, 10, VOLUME)
            features = {
                IMAGE: image.astype("<i2").tobytes(),
                LABEL: label.tobytes(),
                FOREGROUND: random.choice(np.flatnonzero(label), MOST_FOREGROUND),
            }
            writer.write(example(features))
    spec = {
        IMAGE: tf.io.FixedLenFeature([], tf.string),
        LABEL: tf.io.FixedLenFeature([], tf.string),
        FOREGROUND: tf.io.FixedLenFeature([MOST_FOREGROUND], tf.int64),
    }
    return ExampleFiles([str(path)], spec, count, preprocess=with_what_is_the_same_for_all)


def example(features: dict[str, Any]) -> bytes:
    import tensorflow as tf

    lists = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, bytes)
        else tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        for name, value in features.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString()


def with_what_is_the_same_for_all(features: dict[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    count = tf.shape(features[IMAGE])[:1]
    same = {
        SHAPE: tf.constant(VOLUME, tf.int64),
        SPACING_MM: tf.ones([3]),
        NORMALIZATION: tf.constant([0.0, 50.0, -150.0, 150.0]),
    }
    return {
        **features,
        **{name: tf.tile(value[None], [count[0], 1]) for name, value in same.items()},
        FOREGROUND_COUNTS: tf.fill(count, tf.constant(MOST_FOREGROUND, tf.int64)),
    }


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> list[ExampleFiles]:
    folder = tmp_path_factory.mktemp("volumes")
    return [write_volumes(folder / f"{seed}.gz", count, seed) for seed, count in enumerate((6, 2))]


@pytest.fixture(scope="module")
def run(splits: list[ExampleFiles], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainResult]:
    def run_task(dims: int, working_dir: Path | None = None, **settings: Any) -> TrainResult:
        where = str(working_dir or tmp_path_factory.mktemp("run"))
        defaults = {
            "global_batch_size": 4, "num_epochs": 1, "steps_per_loop": 2, "strategy": "one_device",
            "learning_rate": 0.01,
        }  # fmt: skip
        changes = {
            "model": {"spatial_dims": dims, "patch_size": [8] * dims, "filters": [2, 4], "convolutions": 1},
            "windowing": {"patches_per_example": PATCHES_A_VOLUME, "spacing_mm": None},
            "train": {**defaults, **settings},
        }
        task = TASKS["lits"].override(changes)
        return train(task, *splits, where, where)

    return run_task


@pytest.fixture(scope="module")
def whole(run: Any) -> dict[int, TrainResult]:
    return {dims: run(dims) for dims in (2, 3)}


def test_two_replicas_give_the_numbers_of_one_device(run: Any, whole: Any) -> None:
    two = run(3, strategy="mirrored")
    assert two.num_steps == whole[3].num_steps == 6
    for one, other in zip(whole[3].weights, two.weights, strict=True):
        # Adam divides by the size of gradients that are nearly 0: what rounds differently moves by more.
        np.testing.assert_allclose(one, other, atol=5e-4)


class Interrupted(BaseException):
    """Stands for a process that ends between two operations."""


def test_an_interrupted_run_ends_with_the_weights_of_one_that_was_not(
    run: Any, whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.trainer.loop import CompiledLoop

    original, loops = CompiledLoop.run, []

    def stop_at_the_third(self: Any, *arguments: Any) -> Any:
        loops.append(arguments)
        if len(loops) == 3:
            raise Interrupted
        return original(self, *arguments)

    monkeypatch.setattr(CompiledLoop, "run", stop_at_the_third)
    with pytest.raises(Interrupted):
        run(2, tmp_path)
    resumed = run(2, tmp_path)
    assert resumed.num_steps == whole[2].num_steps
    for one, other in zip(whole[2].weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("dims", "dtype", "jit_compile", "near"),
    [
        (3, "float32", True, 1e-3),
        (2, "mixed_bfloat16", True, 0.1),
        # With XLA, since TensorFlow 2.16's own convolutions of volumes may give NaN (docs/limits.md).
        (3, "mixed_bfloat16", True, 0.1),
        # Not 3D: TensorFlow's kernels for CPUs have no pooling of volumes in float16.
        (2, "mixed_float16", False, 0.02),
    ],
)
def test_few_bits_and_xla_learn_what_float32_learns(
    run: Any, whole: Any, dims: int, dtype: str, jit_compile: bool, near: float
) -> None:
    result = run(dims, dtype=dtype, jit_compile=jit_compile)
    assert {weight.dtype for weight in result.weights} == {np.dtype("float32")}
    assert all(np.isfinite(weight).all() for weight in result.weights)
    assert result.metrics["loss"] == pytest.approx(whole[dims].metrics["loss"], rel=near)
