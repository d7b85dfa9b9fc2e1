"""The network and its training on real digits."""

from pathlib import Path
from typing import Any

import pytest

from components.features import IMAGE, LABEL
from components.formats.idx import read_idx
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.train import train
from pipelines.tasks import TASKS

pytestmark = pytest.mark.slow


def write_features(data: Path, prefix: str, file: Path) -> ExampleFiles:
    """Writes what Transform makes of one split."""
    import tensorflow as tf

    images = read_idx(data / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(data / f"{prefix}-labels-idx1-ubyte.gz")
    features = TASKS["mnist"].preprocessing.preprocessing_fn({IMAGE: [image.tobytes() for image in images]})
    with tf.io.TFRecordWriter(str(file), tf.io.TFRecordOptions("GZIP", compression_level=1)) as writer:
        for pixels, label in zip(features[IMAGE].numpy(), labels, strict=True):
            writer.write(example_of(pixels, int(label)))
    spec = {IMAGE: tf.io.FixedLenFeature([28, 28], tf.float32), LABEL: tf.io.FixedLenFeature([], tf.int64)}
    return ExampleFiles([str(file)], spec, len(labels))


def example_of(pixels: Any, label: int) -> bytes:
    import tensorflow as tf

    feature = {
        IMAGE: tf.train.Feature(float_list=tf.train.FloatList(value=pixels.ravel())),
        LABEL: tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def test_98_percent_of_the_real_test_images_are_read_within_ten_epochs(
    real_data: Path, tmp_path: Path
) -> None:
    splits = [
        write_features(real_data / "mnist", prefix, tmp_path / f"{prefix}.gz") for prefix in ("train", "t10k")
    ]
    settings = {"num_epochs": 10, "learning_rate": 1e-3, "stop_threshold": 0.98, "strategy": "one_device"}
    task = TASKS["mnist"].override({"train": settings})
    result = train(task, *splits, str(tmp_path / "work"), str(tmp_path / "logs"))
    assert result.metrics["accuracy"] >= 0.98
