"""A tiny task and its transformed examples, shared by the trainer's tests."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.features import IMAGE, LABEL
from components.models.mnist_cnn import MnistCnn
from components.sources.idx import IdxSource
from components.task import Task
from components.trainer.input_pipeline import ExampleFiles
from pipelines.tasks import TASKS

SHAPE = (8, 8)


@pytest.fixture(scope="session")
def feature_spec() -> dict[str, Any]:
    import tensorflow as tf

    return {IMAGE: tf.io.FixedLenFeature(SHAPE, tf.float32), LABEL: tf.io.FixedLenFeature([], tf.int64)}


@pytest.fixture(scope="session")
def write_examples(
    tmp_path_factory: pytest.TempPathFactory, feature_spec: dict[str, Any]
) -> Callable[[int, int], ExampleFiles]:
    """Writes examples that can be learned: the label is the brightest quarter of the image."""
    import tensorflow as tf

    def write(count: int, num_files: int = 2, seed: int = 0) -> ExampleFiles:
        folder = tmp_path_factory.mktemp("examples")
        random = np.random.default_rng(seed)
        files = []
        for shard, size in enumerate(np.diff(np.linspace(0, count, num_files + 1).astype(int))):
            files.append(str(folder / f"part-{shard:05d}.gz"))
            with tf.io.TFRecordWriter(files[-1], tf.io.TFRecordOptions("GZIP")) as writer:
                for _ in range(size):
                    writer.write(_example(random).SerializeToString())
        return ExampleFiles(files, feature_spec, count)

    def _example(random: np.random.Generator) -> Any:
        label = int(random.integers(4))
        image = random.random(SHAPE, np.float32) * 0.5
        row, column = divmod(label, 2)
        image[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 0.5
        image_list = tf.train.FloatList(value=image.ravel())
        features = {
            IMAGE: tf.train.Feature(float_list=image_list),
            LABEL: tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        }
        return tf.train.Example(features=tf.train.Features(feature=features))

    return write


@pytest.fixture
def tiny_task() -> Callable[..., Task]:
    """Returns a task with a small model; keywords are training settings."""

    def make(dropout_rate: float = 0.0, **train: Any) -> Task:
        model = MnistCnn(
            image_shape=SHAPE, num_classes=4, filters=(2, 3), hidden_dim=8, dropout_rate=dropout_rate
        )
        defaults = {"global_batch_size": 8, "learning_rate": 0.01, "num_epochs": 1, "steps_per_loop": 3}
        task = TASKS["mnist"].override({"train": {**defaults, **train}})
        source = IdxSource(image_shape=SHAPE, num_classes=4)
        preprocessing = task.preprocessing.model_copy(update={"image_shape": SHAPE})
        return task.model_copy(update={"model": model, "source": source, "preprocessing": preprocessing})

    return make
