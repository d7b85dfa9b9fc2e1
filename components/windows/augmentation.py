"""Patches as other scans of other people would have shown them, so that a model learns from more than it has.

The changes, how often and how far, are nnU-Net's: F. Isensee et al. (arxiv.org/abs/1904.08128), supplement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import pydantic
from pydantic import Field, PositiveFloat
from typing_extensions import Self

from components.config import Config
from components.features import IMAGE, LABEL

Tensors = Mapping[str, Any]
Axis = Literal["depth", "height", "width"]

_AXES: Final[tuple[Axis, ...]] = ("depth", "height", "width")


class _Random(NamedTuple):
    """Numbers that follow from a seed, int64[2]; a name is for numbers of its own."""

    seed: Any

    def of(self, purpose: int) -> _Random:
        import tensorflow as tf

        return _Random(tf.random.experimental.stateless_fold_in(self.seed, purpose))

    def happens(self, probability: float) -> Any:
        import tensorflow as tf

        return tf.random.stateless_uniform([], self.of(0).seed) < probability

    def between(self, low: float, high: float, count: int) -> Any:
        import tensorflow as tf

        return tf.random.stateless_uniform([count], self.of(1).seed, low, high)

    def factor(self, extent: float) -> Any:
        """Returns a factor between 1 - extent and its inverse, as likely above 1 as below."""
        most = -math.log(1 - extent)
        return math.e ** self.between(-most, most, 1)[0]


class Augmentation(Config):
    """Random changes of the patches that a model trains on; 0 switches one off.

    Of `image` float32[windows, *patch] and `label` uint8[windows, *patch], of two or three axes. Both are
    flipped, turned and scaled together, images linearly, labels as their nearest voxels; beyond the patch its
    outermost voxels go on. All else changes images alone.
    """

    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(
        None, description="Between voxels along depth, height and width; None: the same along all."
    )
    flip_probability: float = Field(
        0.5, ge=0, le=1, description="Of mirroring a patch along each of flip_axes."
    )
    flip_axes: tuple[Axis, ...] = Field(_AXES, description="The axes that patches are mirrored along.")
    rotation_degrees: float = Field(
        30.0, ge=0, le=180, description="At most, either way, about each of rotation_axes."
    )
    rotation_axes: tuple[Axis, ...] = Field(
        ("depth",), description="What patches are turned about; a slice turns about the axis of depth."
    )
    scaling: float = Field(
        0.3, ge=0, lt=1, description="Sizes become 1 - scaling to 1 / (1 - scaling) times as large."
    )
    spatial_probability: float = Field(0.2, ge=0, le=1, description="Of turning a patch, and of scaling it.")
    brightness: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="Intensities become 1 - brightness to 1 / (1 - brightness) times as large.",
    )
    contrast: float = Field(0.25, ge=0, lt=1, description="The same for their distances from the mean.")
    gamma: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="The same for exponents, which leave the mean and the deviation as they are.",
    )
    noise: float = Field(0.1, ge=0, description="Its deviation at most, of intensities as a model sees them.")
    low_resolution: float = Field(
        0.5, ge=0, lt=1, description="The share of voxels that an axis loses at most."
    )
    intensity_probability: float = Field(0.15, ge=0, le=1, description="Of each change of intensities.")

    @pydantic.model_validator(mode="after")
    def _turns_in_space(self) -> Self:
        if self.rotation_degrees and self.spacing_mm is None and set(self.rotation_axes) - {"depth"}:
            got = ", ".join(self.rotation_axes)
            raise ValueError(f"rotation_axes: expected depth alone where spacing_mm is none, got {got}")
        return self

    def varied(self, taken: Tensors, seeds: Any) -> dict[str, Any]:
        """Returns the windows changed at random, each as its seed says, int64[windows, 2]."""
        import tensorflow as tf

        image, label = tf.map_fn(
            lambda window: self._varied(*window),
            (taken[IMAGE], taken[LABEL], seeds),
            fn_output_signature=(tf.float32, tf.uint8),
        )
        return {
            **taken,
            IMAGE: tf.ensure_shape(image, taken[IMAGE].shape),
            LABEL: tf.ensure_shape(label, taken[LABEL].shape),
        }

    def _varied(self, image: Any, label: Any, seed: Any) -> tuple[Any, Any]:
        random = _Random(seed)
        image, label = self._flipped(image, label, random.of(0))
        image, label = self._moved(image, label, random.of(1))
        for number, (extent, change) in enumerate(self._changes(), start=2):
            if extent and self.intensity_probability:
                image = self._perhaps(change, image, random.of(number), extent)
        return image, label

    def _changes(self) -> tuple[tuple[float, Callable[[Any, _Random, float], Any]], ...]:
        """Returns how far which changes of intensities go, in the order in which they happen."""
        return (
            (self.noise, _noisy),
            (self.brightness, _brighter),
            (self.contrast, _contrasted),
            (self.low_resolution, self._of_low_resolution),
            (self.gamma, _of_gamma),
        )

    def _perhaps(
        self, change: Callable[[Any, _Random, float], Any], image: Any, random: _Random, extent: float
    ) -> Any:
        import tensorflow as tf

        return tf.cond(
            random.happens(self.intensity_probability), lambda: change(image, random, extent), lambda: image
        )

    def _flipped(self, image: Any, label: Any, random: _Random) -> tuple[Any, Any]:
        import tensorflow as tf

        axes = _AXES[-len(image.shape) :]
        flips = random.between(0, 1, len(axes)) < self.flip_probability
        flips &= [axis in self.flip_axes for axis in axes]
        return tf.raw_ops.Reverse(tensor=image, dims=flips), tf.raw_ops.Reverse(tensor=label, dims=flips)

    def _moved(self, image: Any, label: Any, random: _Random) -> tuple[Any, Any]:
        """Returns image and label turned and scaled about the middle."""
        import tensorflow as tf

        if not self.spatial_probability:
            return image, label
        turns, scales = (random.of(number).happens(self.spatial_probability) for number in (0, 1))
        turns, scales = turns & bool(self.rotation_degrees), scales & bool(self.scaling)

        def moved() -> tuple[Any, Any]:
            size = tf.where(scales, random.of(2).factor(self.scaling), 1.0)
            degrees = random.of(3).between(-self.rotation_degrees, self.rotation_degrees, len(_AXES))
            matrix = self._rotation(tf.where(turns, degrees, 0.0) * (math.pi / 180)) / size
            return _transformed(image, label, matrix[-len(image.shape) :, -len(image.shape) :])

        return tf.cond(turns | scales, moved, lambda: (image, label))

    def _rotation(self, angles: Any) -> Any:
        """Returns float32[3, 3]: from distances in voxels to those in the patch as it was."""
        import tensorflow as tf

        spacing = tf.constant(self._spacing)
        matrix = tf.eye(len(_AXES))
        for axis in self.rotation_axes:
            matrix @= _turn(_AXES.index(axis), angles[_AXES.index(axis)])
        return matrix * spacing / spacing[:, None]

    @property
    def _spacing(self) -> tuple[float, float, float]:
        return self.spacing_mm or (1.0, 1.0, 1.0)

    def _of_low_resolution(self, image: Any, random: _Random, extent: float) -> Any:
        """Returns an image as from voxels at least so far apart: nearest voxels, and lines between them."""
        share = random.between(1 - extent, 1, 1)[0]
        spacing = self._spacing[-len(image.shape) :]
        for axis, each in enumerate(spacing):
            image = _coarser(image, axis, share * (each / min(spacing)))
        return image


def _turn(axis: int, angle: Any) -> Any:
    """Returns the rotation about an axis: float32[3, 3]."""
    import tensorflow as tf

    one, other = (each for each in range(len(_AXES)) if each != axis)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    where = [[axis, axis], [one, one], [one, other], [other, one], [other, other]]
    return tf.scatter_nd(where, tf.stack([1.0, cosine, -sine, sine, cosine]), [len(_AXES)] * 2)


def _transformed(image: Any, label: Any, matrix: Any) -> tuple[Any, Any]:
    """Returns what is at `matrix` times the distances from the middle, in voxels: float32[rank, rank]."""
    import tensorflow as tf

    sizes = image.shape
    positions = []
    for axis in range(len(sizes)):
        middle = (sizes[axis] - 1) / 2
        terms = [
            _along(
                matrix[axis, other] * (tf.range(size, dtype=tf.float32) - (size - 1) / 2), other, len(sizes)
            )
            for other, size in enumerate(sizes)
        ]
        positions.append(tf.clip_by_value(sum(terms) + middle, 0.0, sizes[axis] - 1.0))
    nearest = [tf.cast(each + 0.5, tf.int32) for each in positions]
    return _linear(image, positions), tf.gather(tf.reshape(label, [-1]), _flat(nearest, sizes))


def _along(values: Any, axis: int, rank: int) -> Any:
    import tensorflow as tf

    return tf.reshape(values, [-1 if each == axis else 1 for each in range(rank)])


def _flat(indices: Sequence[Any], sizes: Sequence[int]) -> Any:
    flat = indices[0]
    for index, size in zip(indices[1:], sizes[1:], strict=True):
        flat = flat * size + index
    return flat


def _linear(image: Any, positions: Sequence[Any]) -> Any:
    """Returns values between the voxels around each position, by axis after axis."""
    import tensorflow as tf

    sizes = image.shape
    lows = [tf.cast(each, tf.int32) for each in positions]
    flat, voxels = _flat(lows, sizes), tf.reshape(image, [-1])

    def value(axis: int, start: Any) -> Any:
        if axis == len(sizes):
            return tf.gather(voxels, start)
        step = math.prod(sizes[axis + 1 :])
        low = lows[axis]
        here = value(axis + 1, start)
        there = value(axis + 1, start + tf.where(low < sizes[axis] - 1, step, 0))
        return here + (there - here) * (positions[axis] - tf.cast(low, tf.float32))

    return value(0, flat)


def _coarser(image: Any, axis: int, share: Any) -> Any:
    """Returns an image as if it had had a share of its voxels along an axis."""
    import tensorflow as tf

    size = image.shape[axis]
    count = tf.clip_by_value(tf.round(share * size), 1.0, float(size))
    position = (tf.range(size, dtype=tf.float32) + 0.5) * (count / size) - 0.5
    position = tf.clip_by_value(position, 0.0, count - 1)
    low = tf.floor(position)
    here, there = (
        tf.gather(image, tf.cast((each + 0.5) * (size / count), tf.int32), axis=axis)
        for each in (low, tf.minimum(low + 1, count - 1))
    )
    return here + (there - here) * _along(position - low, axis, len(image.shape))


def _noisy(image: Any, random: _Random, extent: float) -> Any:
    import tensorflow as tf

    deviation = random.between(0, extent, 1)[0]
    return image + tf.random.stateless_normal(image.shape, random.of(2).seed, stddev=deviation)


def _brighter(image: Any, random: _Random, extent: float) -> Any:
    return image * random.factor(extent)


def _contrasted(image: Any, random: _Random, extent: float) -> Any:
    """Returns the distances from the mean times a factor, as far as the range of the image goes."""
    import tensorflow as tf

    mean = tf.reduce_mean(image)
    changed = mean + (image - mean) * random.factor(extent)
    return tf.clip_by_value(changed, tf.reduce_min(image), tf.reduce_max(image))


def _of_gamma(image: Any, random: _Random, extent: float) -> Any:
    """Returns powers of the distances from the darkest or the brightest voxel, with the same statistics."""
    import tensorflow as tf

    sign = tf.where(random.of(2).happens(0.5), 1.0, -1.0)
    given = image * sign
    darkest = tf.reduce_min(given)
    shares = tf.math.divide_no_nan(given - darkest, tf.reduce_max(given) - darkest)
    changed = shares ** random.factor(extent)
    gain = tf.math.divide_no_nan(tf.math.reduce_std(given), tf.math.reduce_std(changed))
    return sign * ((changed - tf.reduce_mean(changed)) * gain + tf.reduce_mean(given))
