"""Volumes as the trainer gets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.config import ConfigError
from components.features import FOREGROUND, IMAGE, LABEL, SHAPE, SPACING_MM
from components.transform.volumes import Volumes

RNG = np.random.default_rng(5)
# One whose foreground is a box, one without any, and one with more of it than is looked at.
SHAPES = [(4, 5, 6), (3, 5, 4), (20, 60, 30)]
IMAGES = [RNG.normal(60, 200, shape).astype("<i2") for shape in SHAPES]
LABELS = [np.zeros(shape, np.uint8) for shape in SHAPES]
LABELS[0][1:3, 1:4, 2:5] = 1
LABELS[0][2, 2, 2] = 2
LABELS[2][:] = 1


def rows(labels: list[np.ndarray] = LABELS) -> list[dict[str, Any]]:
    return [
        {
            IMAGE: image.tobytes(),
            SHAPE: list(image.shape),
            SPACING_MM: [2.0, 0.75, 0.5],
            LABEL: label.tobytes(),
            FOREGROUND: np.flatnonzero(label)[:3].tolist(),
        }
        for image, label in zip(IMAGES, labels, strict=True)
    ]


def analyzed(volumes: Volumes, examples: list[dict[str, Any]], folder: Path) -> Any:
    """Returns the layer of the graph that tf.Transform wrote of these examples."""
    import tensorflow as tf
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam

    spec = {
        **{key: tf.io.FixedLenFeature([], tf.string) for key in (IMAGE, LABEL)},
        SHAPE: tf.io.FixedLenFeature([3], tf.int64),
        SPACING_MM: tf.io.FixedLenFeature([3], tf.float32),
        FOREGROUND: tf.io.VarLenFeature(tf.int64),
    }
    metadata = tft.DatasetMetadata.from_feature_spec(spec)
    with tft_beam.Context(temp_dir=str(folder / "temporary"), desired_batch_size=2):
        transform_fn = (examples, metadata) | tft_beam.AnalyzeDataset(volumes.preprocessing_fn)
        _ = transform_fn | tft_beam.WriteTransformFn(str(folder / "graph"))
    return tft.TFTransformOutput(str(folder / "graph")).transform_features_layer()


def batch(*keys: str) -> dict[str, Any]:
    import tensorflow as tf

    raw = rows()[:2]
    tensors = {key: tf.constant([row[key] for row in raw]) for key in (IMAGE, SHAPE, SPACING_MM, LABEL)}
    tensors[SHAPE] = tf.cast(tensors[SHAPE], tf.int64)
    foreground = tf.ragged.constant([row[FOREGROUND] for row in raw], tf.int64)
    tensors[FOREGROUND] = foreground.to_sparse()
    return {key: tensors[key] for key in keys or tensors}


def expected(voxels: np.ndarray, percentiles: tuple[float, float] = (0.5, 99.5)) -> list[float]:
    bounds = np.percentile(voxels, percentiles, method="inverted_cdf")
    return [voxels.astype(float).mean(), voxels.astype(float).std(), *bounds]


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return analyzed(Volumes(), rows(), tmp_path_factory.mktemp("graph"))


def test_intensities_are_those_of_the_foreground_of_the_split(layer: Any) -> None:
    found = layer(batch())["normalization"].numpy()
    # Of 36,000 voxels 10,007 count, one in 3.6.
    spread = IMAGES[2].ravel()[np.arange(10_007) * 36_000 // 10_007]
    voxels = np.concatenate([IMAGES[0][LABELS[0] > 0], spread])
    assert found.shape == (2, 4)
    assert np.allclose(found, expected(voxels), rtol=1e-6)


def test_all_voxels_count_where_there_is_no_foreground_at_all(tmp_path: Path) -> None:
    nothing = [np.zeros(shape, np.uint8) for shape in SHAPES]
    found = analyzed(Volumes(percentiles=(10, 50)), rows(nothing), tmp_path)(batch())["normalization"]
    spread = IMAGES[2].ravel()[np.arange(10_007) * 36_000 // 10_007]
    voxels = np.concatenate([IMAGES[0].ravel(), IMAGES[1].ravel(), spread])
    assert np.allclose(found[0], expected(voxels, (10, 50)), rtol=1e-6)


def test_the_rest_is_left_as_it_is(layer: Any) -> None:
    given = batch()
    found = layer(given)
    for key in (IMAGE, LABEL, SHAPE, SPACING_MM):
        assert found[key].dtype == given[key].dtype
        assert found[key].numpy().tolist() == given[key].numpy().tolist()
    # The first voxels of the box: plane 1, row 1, columns 2, 3 and 4.
    assert found[FOREGROUND].values.numpy().tolist() == [38, 39, 40]
    assert found["foreground_counts"].numpy().tolist() == [3, 0]


def test_a_request_has_no_label(layer: Any) -> None:
    found = layer(batch(IMAGE, SHAPE, SPACING_MM))
    assert sorted(found) == [IMAGE, "normalization", SHAPE, SPACING_MM]
    assert found["normalization"].numpy().tolist() == layer(batch())["normalization"].numpy().tolist()


def test_a_window_is_taken_in_place_of_what_the_split_has() -> None:
    volumes = Volumes(window_hu=(-200, 300))
    # (-200 - 50) / 250 is -1, (300 - 50) / 250 is 1.
    found = volumes.preprocessing_fn(batch())["normalization"].numpy()
    assert found.tolist() == [[50, 250, -200, 300]] * 2


@pytest.mark.parametrize("key", ["percentiles", "window_hu"])
def test_bounds_in_the_wrong_order_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: expected the lower one first"):
        Volumes().override({key: [90, 10]}, "preprocessing")


def test_examples_are_transformed_as_they_are_read() -> None:
    assert Volumes().materialized is False
