"""Volumes of a few voxels as they come from the transform graph, and a task of patches of them."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.models.segmentation import Segmentation
from components.task import Task
from components.train_config import TrainConfig
from components.trainer.input_pipeline import ExampleFiles
from components.windows.patches import Patches
from pipelines.tasks import TASKS

NUM_FOREGROUND = 8


def spec() -> dict[str, Any]:
    return {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.string),
        "shape": tf.io.FixedLenFeature([3], tf.int64),
        "spacing_mm": tf.io.FixedLenFeature([3], tf.float32),
        "normalization": tf.io.FixedLenFeature([4], tf.float32),
        "foreground": tf.io.FixedLenFeature([NUM_FOREGROUND], tf.int64),
        "foreground_counts": tf.io.FixedLenFeature([], tf.int64),
    }


def write_volumes(path: Path, count: int, seed: int = 0) -> ExampleFiles:
    """Writes noise with a bright box of class 1 in it, and in that a dark one of class 2."""
    random = np.random.default_rng(seed)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        for _ in range(count):
            writer.write(_example(random))
    return ExampleFiles([str(path)], spec(), count)


def _example(random: np.random.Generator) -> bytes:
    label = np.zeros((12, 10, 9), np.uint8)
    label[2:9, 2:8, 1:8] = 1
    label[4:6, 3:5, 3:6] = 2
    image = random.normal(size=label.shape) * 10 + np.array([0, 100, -100])[label]
    foreground = random.choice(np.flatnonzero(label), NUM_FOREGROUND, replace=False)
    values = {
        "image": [image.astype("<i2").tobytes()],
        "label": [label.tobytes()],
        "shape": label.shape,
        "spacing_mm": [1.0, 1.0, 1.0],
        "normalization": [0.0, 50.0, -200.0, 200.0],
        "foreground": foreground,
        "foreground_counts": [NUM_FOREGROUND],
    }
    features = {name: _feature(name, value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _feature(name: str, values: Any) -> Any:
    if name in ("image", "label"):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if name in ("spacing_mm", "normalization"):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def make_task(model: dict[str, Any] | None = None, **train: Any) -> Task:
    settings = {"filters": (4, 8), "normalization": "batch", "num_groups": 2, **(model or {})}
    defaults = {
        "global_batch_size": 2, "num_epochs": 1, "steps_per_loop": 3,     }  # fmt: skip
    patch = settings.setdefault("patch_size", (8, 8, 8))
    patches = Patches(spatial_dims=len(patch), patch_size=patch, patches_per_example=3)
    parts = {"model": Segmentation(**settings), "windowing": patches}
    # Once all is there, so that the partition is checked against these patches.
    return Task(**{**dict(TASKS["lits"]), **parts, "train": TrainConfig(**{**defaults, **train})})
