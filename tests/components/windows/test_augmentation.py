"""What training varies: where voxels go, what happens to intensities, and that a seed says all of it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pydantic
import pytest
from numpy.typing import NDArray

from components.features import IMAGE, LABEL
from components.protocols import Varied
from components.windows.augmentation import Augmentation

OFF = {"flip_probability": 0, "spatial_probability": 0, "intensity_probability": 0}
INTENSITIES = ("noise", "brightness", "contrast", "low_resolution", "gamma")


def only(change: str, **settings: Any) -> Augmentation:
    """Returns what changes the intensities of every patch in one way."""
    others = dict.fromkeys(set(INTENSITIES) - {change}, 0)
    return Augmentation(**{**OFF, **others, "intensity_probability": 1, **settings})


@functools.cache
def compiled(config: Augmentation, patch: tuple[int, ...]) -> Any:
    import tensorflow as tf

    return tf.function(
        lambda image, label, seeds: config.varied({IMAGE: image, LABEL: label}, seeds),
        input_signature=[
            tf.TensorSpec([None, *patch], tf.float32),
            tf.TensorSpec([None, *patch], tf.uint8),
            tf.TensorSpec([None, 2], tf.int64),
        ],
    )


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Lets go of compiled functions before TensorFlow is gone."""
    yield
    compiled.cache_clear()


def varied(
    config: Augmentation, image: Any, label: Any = None, first_seed: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    image = np.asarray(image, np.float32)
    label = np.zeros(image.shape, np.uint8) if label is None else label
    seeds = np.array([[7, first_seed + number] for number in range(len(image))], np.int64).reshape(-1, 2)
    taken = compiled(config, image.shape[1:])(image, label, seeds)
    assert (taken[IMAGE].dtype, taken[LABEL].dtype) == ("float32", "uint8")
    assert taken[IMAGE].shape == taken[LABEL].shape == image.shape
    return taken[IMAGE].numpy(), taken[LABEL].numpy()


def noise(*shape: int) -> NDArray[Any]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def blobs(count: int, *patch: int) -> NDArray[Any]:
    """Returns labels 0 and 1 with few, wavy borders, which no symmetry maps to themselves."""
    axes = np.meshgrid(*(np.linspace(0, 5, size) for size in patch), indexing="ij")
    waves = sum(np.sin(axis + place) * (place + 1) for place, axis in enumerate(axes))
    return np.repeat((waves > 0.5)[None], count, axis=0).astype(np.uint8)


def test_windows_are_varied_while_a_model_trains() -> None:
    assert isinstance(Augmentation(), Varied)


def test_what_is_switched_off_leaves_patches_as_they_are() -> None:
    zero = {"rotation_degrees": 0, "scaling": 0, **dict.fromkeys(INTENSITIES, 0)}
    always = {"spatial_probability": 1, "intensity_probability": 1}
    for settings in (OFF, {**zero, **always, "flip_probability": 0}):
        image, label = varied(Augmentation(**settings), noise(3, 4, 4, 4), blobs(3, 4, 4, 4))
        np.testing.assert_array_equal(image, noise(3, 4, 4, 4))
        np.testing.assert_array_equal(label, blobs(3, 4, 4, 4))


@pytest.mark.parametrize("patch", [(6, 8, 10), (8, 10)], ids=["3d", "2d"])
def test_a_patch_changes_by_its_own_seed_whatever_is_beside_it(patch: tuple[int, ...]) -> None:
    config = Augmentation(spatial_probability=0.5, intensity_probability=0.5)
    images, labels = noise(12, *patch), blobs(12, *patch)
    together = varied(config, images, labels)
    for number in range(12):
        one = slice(number, number + 1)
        image, label = varied(config, images[one], labels[one], number)
        np.testing.assert_array_equal(image, together[0][one])
        np.testing.assert_array_equal(label, together[1][one])
    other, _ = varied(config, images, labels, first_seed=100)
    assert len({image.tobytes() for image in (*together[0], *other)}) == 24


def test_no_windows_are_none() -> None:
    image, label = varied(Augmentation(), noise(0, 4, 4, 4))
    assert image.shape == label.shape == (0, 4, 4, 4)


@pytest.mark.parametrize("patch", [(16, 32, 32), (32, 48)], ids=["3d", "2d"])
def test_labels_go_where_the_image_goes(patch: tuple[int, ...]) -> None:
    labels = blobs(20, *patch)
    config = Augmentation(**{**OFF, "flip_probability": 0.5, "spatial_probability": 0.7})
    image, label = varied(config, labels, labels)
    assert not np.array_equal(image, labels)
    # Between two voxels of one class there is no other class.
    inside = (image == 0) | (image == 1)
    assert inside.mean() > 0.8
    np.testing.assert_array_equal(image[inside], label[inside])
    # Elsewhere the nearest of four or eight voxels is nearly always what most of them are.
    assert (np.round(image) == label).mean() > 0.99


def test_a_flip_mirrors_whole_axes_and_half_of_the_patches() -> None:
    config = Augmentation(**{**OFF, "flip_probability": 0.5, "flip_axes": ("depth", "width")})
    given = noise(1, 3, 4, 5)
    image, _ = varied(config, np.repeat(given, 400, axis=0))
    mirrored = {(d, w): given[0, :: d or 1, :, :: w or 1].tobytes() for d in (0, -1) for w in (0, -1)}
    counts = {flips: sum(each.tobytes() == found for each in image) for flips, found in mirrored.items()}
    assert sum(counts.values()) == 400
    # 100 each, and four deviations of √(400 · ¼ · ¾).
    assert all(abs(count - 100) < 35 for count in counts.values())


def movements(config: Augmentation, count: int, patch: tuple[int, ...]) -> list[NDArray[Any]]:
    """Returns by patch the matrix that distances from the middle were multiplied with, in voxels."""
    axes = np.meshgrid(*(np.arange(size) - (size - 1) / 2 for size in patch), indexing="ij")
    # Each patch three times, with its voxels' distances from the middle along one axis.
    moved = [varied(config, np.repeat(axis[None], count, axis=0))[0] for axis in axes]
    matrices = []
    for number in range(count):
        found = np.stack([each[number] for each in moved], axis=-1)
        # Where nothing beyond the border was asked for.
        inside = np.all(np.abs(found) < (np.array(patch) - 1) / 2 - 1e-3, axis=-1)
        distances = np.stack(axes, axis=-1)[inside]
        solution, *_ = np.linalg.lstsq(distances, found[inside], rcond=None)
        np.testing.assert_allclose(distances @ solution, found[inside], atol=1e-3)
        matrices.append(solution.T)
    return matrices


def test_a_rotation_turns_about_the_axis_of_depth_by_the_degrees_at_most() -> None:
    config = Augmentation(**{**OFF, "spatial_probability": 1, "scaling": 0, "rotation_degrees": 40})
    angles = []
    for matrix in movements(config, 12, (4, 16, 16)):
        np.testing.assert_allclose(matrix[0], [1, 0, 0], atol=1e-4)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-4)
        angles.append(np.rad2deg(np.arctan2(matrix[2, 1], matrix[1, 1])))
    assert max(np.abs(angles)) <= 40
    assert min(angles) < -10
    assert max(angles) > 10


def test_thick_slices_are_turned_in_millimetres() -> None:
    spacing = np.array([4.0, 1.0, 2.0])
    config = Augmentation(
        **OFF | {"spatial_probability": 1}, scaling=0, rotation_degrees=20,
        rotation_axes=("depth", "height", "width"), spacing_mm=tuple(spacing),
    )  # fmt: skip
    for matrix in movements(config, 6, (8, 24, 16)):
        millimetres = spacing[:, None] * matrix / spacing
        np.testing.assert_allclose(millimetres @ millimetres.T, np.eye(3), atol=1e-3)
        assert np.linalg.det(millimetres) == pytest.approx(1, abs=1e-3)
        assert not np.allclose(matrix[0], [1, 0, 0], atol=1e-3)


@pytest.mark.parametrize("patch", [(8, 16, 16), (16, 20)], ids=["3d", "2d"])
def test_sizes_change_alike_along_all_axes(patch: tuple[int, ...]) -> None:
    config = Augmentation(**{**OFF, "spatial_probability": 1, "rotation_degrees": 0, "scaling": 0.5})
    factors = []
    for matrix in movements(config, 12, patch):
        np.testing.assert_allclose(matrix, matrix[0, 0] * np.eye(len(patch)), atol=1e-4)
        factors.append(matrix[0, 0])
    assert 0.5 <= min(factors) < 0.9
    assert 1.1 < max(factors) <= 2


def test_beyond_the_border_the_outermost_voxels_go_on() -> None:
    config = Augmentation(**{**OFF, "spatial_probability": 1, "scaling": 0.7, "rotation_degrees": 180})
    full = np.full((6, 4, 8, 8), 2, np.uint8)
    image, label = varied(config, full - 5.0, full)
    assert (image == -3).all()
    assert (label == 2).all()


def test_noise_has_a_deviation_of_its_own_in_each_patch() -> None:
    image, label = varied(only("noise", noise=0.5), np.zeros((20, 8, 8, 8)))
    deviations = image.std(axis=(1, 2, 3))
    assert deviations.min() < 0.15
    assert 0.35 < deviations.max() < 0.55
    assert np.abs(image.mean(axis=(1, 2, 3))).max() < 0.1
    assert not label.any()


def test_brightness_is_a_factor() -> None:
    given = noise(20, 4, 4, 4)
    image, _ = varied(only("brightness", brightness=0.5), given)
    factors = (image / given).reshape(20, -1)
    np.testing.assert_allclose(factors, factors[:, :1].repeat(64, axis=1), rtol=1e-4)
    assert 0.5 <= factors.min() < 0.8
    assert 1.25 < factors.max() <= 2


def test_contrast_keeps_the_mean_and_the_range() -> None:
    given = noise(20, 4, 4, 4)
    image, _ = varied(only("contrast"), given)
    factors = []
    for old, new in zip(given, image, strict=True):
        assert old.min() <= new.min()
        assert new.max() <= old.max()
        between = (new > old.min()) & (new < old.max())
        ratio = ((new - old.mean()) / (old - old.mean()))[between]
        assert ratio.std() < 1e-3
        factors.append(ratio.mean())
    assert 0.75 <= min(factors) < 0.9
    assert 1.1 < max(factors) <= 4 / 3 + 1e-4


def test_gamma_keeps_order_mean_and_deviation() -> None:
    given = noise(20, 4, 4, 4)
    image, _ = varied(only("gamma", gamma=0.6), given)
    assert np.abs(image - given).max() > 0.2
    for old, new in zip(given, image, strict=True):
        np.testing.assert_array_equal(np.argsort(old, axis=None), np.argsort(new, axis=None))
        assert (new.mean(), new.std()) == pytest.approx((old.mean(), old.std()), abs=1e-5)


def test_a_patch_of_one_intensity_stays_one() -> None:
    for change in INTENSITIES[1:]:
        image, _ = varied(only(change), np.full((4, 4, 4, 4), -2.0))
        assert np.isfinite(image).all()
        assert np.ptp(image, axis=(1, 2, 3)).max() == 0


def test_low_resolution_blurs_where_voxels_are_near() -> None:
    stripes = np.tile([0.0, 1.0], 8)
    near, _ = varied(only("low_resolution"), np.broadcast_to(stripes, (8, 4, 4, 16)))
    assert np.abs(np.diff(near)).mean() < 0.8
    # Slices of 5 mm beside pixels of 1 mm stay as they are, whatever becomes of the pixels.
    thick = np.broadcast_to(stripes[:, None, None], (8, 16, 4, 4))
    image, _ = varied(only("low_resolution", spacing_mm=(5, 1, 1)), thick)
    np.testing.assert_array_equal(image, thick)


def test_half_of_the_voxels_are_the_nearest_and_lines_between_them() -> None:
    # Any share from ½ to ½ + ε of 8 voxels is 4: the voxels 1, 3, 5, 7, at ½, 2½, 4½, 6½.
    given = np.array([0, 10, 0, 20, 0, 30, 0, 40.0])
    config = only("low_resolution", low_resolution=0.5)
    images, _ = varied(config, np.broadcast_to(given, (64, 1, 8)))
    expected = [10, 12.5, 17.5, 22.5, 27.5, 32.5, 37.5, 40]
    assert any(np.allclose(image[0], expected) for image in images)


def test_turning_out_of_the_plane_takes_the_spacing() -> None:
    with pytest.raises(
        pydantic.ValidationError,
        match="rotation_axes: expected depth alone where spacing_mm is none, got depth, width",
    ):
        Augmentation(rotation_axes=("depth", "width"))
