"""Volumes to patches of a model's size, and the scores of overlapping patches to labels of whole volumes.

The model works on a grid of one spacing, or on each example's own; volumes are moved there, and scores back
(resampling.py). As in nnU-Net, a patch counts more where it is far from its border, logits are averaged, and
some of the patches that a model trains on have a voxel of another class than 0 in their centre.
F. Isensee et al. (arxiv.org/abs/1904.08128).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pydantic
from pydantic import Field
from typing_extensions import Self

from components.features import (
    CLASS_NAMES,
    FOREGROUND,
    FOREGROUND_COUNTS,
    GRID,
    IMAGE,
    LABEL,
    LOGITS,
    NORMALIZATION,
    SHAPE,
    SPACING_MM,
    STARTS,
    VOLUMES_ML,
)
from components.patch_shape import PatchShape
from components.protocols import Preprocessing
from components.windows.augmentation import Augmentation

Tensors = Mapping[str, Any]

_NUM_AXES: Final = 3
# nnU-Net's importance of a patch's voxels: its deviation in patches.
_SIGMA: Final = 1 / 8


class Patches(Augmentation, PatchShape):
    """Patches of volumes, on a regular grid where a model serves, drawn at random where it trains.

    The working grid has voxels of `spacing_mm`, or is each example's own. A model trains on varied patches.
    A place is int64[5]: the row of the example, the depth, height and width of the patch's first voxel on the
    working grid, and which axes are mirrored: width 1, height 2, depth 4, and their sums. The first voxel is
    negative where the volume is smaller than the patch, which then has it in the middle.
    """

    num_classes: int = Field(3, ge=2, le=256, description="Classes, the background among them.")
    label_names: tuple[str, ...] = Field(
        (), description="Of all classes, for what a model answers. Default: it tells none."
    )
    overlap: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="The least share of a patch that the next one has, too, where a model serves.",
    )
    gaussian: bool = Field(True, description="A patch counts more where it is far from its border.")
    mirror: bool = Field(
        False, description="A model also answers for each patch mirrored along each axis; the mean counts."
    )
    foreground_share: float = Field(
        1 / 3,
        ge=0,
        le=1,
        description="Of drawn patches, those around a voxel of another class than 0, in [0, 1].",
    )
    patches_per_example: int = Field(4, ge=1, description="How many patches of an example an epoch draws.")
    per_call: int = Field(1, ge=1, description="Patches that a model sees at once when it serves.")
    examples_per_call: int = Field(1, ge=1, description="Examples that it answers at once.")
    max_windows: int = Field(
        1 << 16,
        ge=1,
        description="Patches of one example at most where a model serves: more would take hours.",
    )

    @pydantic.model_validator(mode="after")
    def _named(self) -> Self:
        if self.label_names and len(self.label_names) != self.num_classes:
            got = ", ".join(self.label_names)
            raise ValueError(f"label_names: expected {self.num_classes}, one a class, got {got}")
        return self

    @property
    def drawn_per_example(self) -> int:
        return self.patches_per_example

    def fitted_to(self, preprocessing: Preprocessing) -> Patches:
        return self

    def prepared(self, features: Tensors) -> dict[str, Any]:
        """Returns the features with decoded volumes on the working grid, one after another in flat tensors.

        `image` int16[voxels], and where they are, `label` uint8[voxels] and `foreground` as indices there;
        with `grid` int64[n, 3], the voxels along each axis, and `starts` int64[n]. Where all shapes are the
        grid's, nothing is resampled. InvalidArgumentError for bytes that are not as many as the voxels, and
        for a grid of more than MAX_VOXELS.
        """
        import tensorflow as tf

        from components.windows import resampling

        shapes, grids = features[SHAPE], self._grids(features)
        image = resampling.resampled_images(_decoded(features, IMAGE, tf.int16), shapes, grids)
        ready = {**features, GRID: grids, STARTS: resampling.starts(grids), IMAGE: image}
        if LABEL in features:
            ready[LABEL] = resampling.resampled_labels(_decoded(features, LABEL, tf.uint8), shapes, grids)
        if FOREGROUND in features:
            ready[FOREGROUND] = resampling.moved_voxels(features[FOREGROUND], shapes, grids)
        return ready

    def places(self, features: Tensors) -> Any:
        """Returns int64[windows, 5]: as few as overlap enough, evenly apart, from border to border.

        InvalidArgumentError where one example has more than max_windows.
        """
        import tensorflow as tf

        from components.windows.resampling import unraveled

        counts, codes = self._counts(features[GRID]), self._num_mirrored
        numbers = tf.ragged.range(self._bounded(tf.reduce_prod(counts, axis=1) * codes))
        rows = numbers.value_rowids()
        windows = unraveled(numbers.values // codes, tf.gather(counts, rows))
        first = self._first(windows, tf.gather(features[GRID], rows))
        return tf.concat([rows[:, None], first, numbers.values[:, None] % codes], axis=1)

    def drawn(self, features: Tensors, seed: Any) -> Any:
        """Returns int64[n * patches_per_example, 5], example by example, none of them mirrored.

        The first ones of an example are those with foreground: as many as the share says, one more or less at
        random where that is no whole number. All lie inside a volume that is large enough.
        """
        import tensorflow as tf

        room = features[GRID][:, None] - self.patch
        # For each place: three for where it is, one for its voxel of the foreground, one that few need.
        shape = tf.stack([tf.shape(room)[0], self.patches_per_example, _NUM_AXES + 2])
        random = tf.random.stateless_uniform(shape, seed, dtype=tf.float64)
        first = _whole(random[..., :_NUM_AXES], tf.maximum(room, 0) + 1)
        if FOREGROUND in features:
            around = self._around_foreground(features, random[..., _NUM_AXES])
            first = tf.where(self._has_foreground(features, random[:, :1, -1])[..., None], around, first)
        first = tf.where(room < 0, room // 2, tf.clip_by_value(first, 0, tf.maximum(room, 0)))
        rows = tf.repeat(tf.range(tf.shape(room, tf.int64)[0]), self.patches_per_example)[:, None]
        return tf.concat([rows, tf.reshape(first, [-1, _NUM_AXES]), tf.zeros_like(rows)], axis=1)

    def take(self, features: Tensors, places: Any) -> dict[str, Any]:
        """Returns `image` float32[windows, *patch_size], normalized, and `label` uint8 where there is one.

        Beyond the volume lie the least intensity, and class 0.
        """
        import tensorflow as tf

        from components.windows.patch_voxels import voxels

        grid, start, normalization = (
            tf.gather(features[name], places[:, 0]) for name in (GRID, STARTS, NORMALIZATION)
        )
        at = voxels(places, self.patch)
        inside, index = at.inside(grid).joined(tf.logical_and), at.flat(grid, start)
        mean, deviation, low, high = tf.unstack(normalization[..., None, None, None], axis=1)
        image = tf.where(inside, tf.cast(tf.gather(features[IMAGE], index), tf.float32), low)
        image = (tf.clip_by_value(image, low, high) - mean) / deviation
        taken = {IMAGE: tf.reshape(image, [-1, *self.patch_size])}
        if LABEL in features:
            label = tf.where(inside, tf.gather(features[LABEL], index), tf.zeros([], tf.uint8))
            taken[LABEL] = tf.reshape(label, [-1, *self.patch_size])
        return taken

    def served(self, taken: Tensors) -> dict[str, Any]:
        return {IMAGE: taken[IMAGE]}

    def start(self, features: Tensors) -> dict[str, Any]:
        """Returns no scores yet; see slabs.py. InvalidArgumentError for answers of more than MAX_VOXELS."""
        from components.windows import slabs

        return slabs.start(features, self.patch[0], self.num_classes)

    def add(self, state: Tensors, places: Any, outputs: Any) -> dict[str, Any]:
        """Returns the state with logits float32[windows, *patch_size, num_classes], or a dict with `logits`.

        Windows come in the order of `places`.
        """
        import tensorflow as tf

        from components.windows import slabs
        from components.windows.patch_voxels import Axes, voxels

        logits = outputs[LOGITS] if isinstance(outputs, Mapping) else outputs
        logits = tf.reshape(tf.cast(logits, tf.float32), [-1, *self.patch, self.num_classes])
        grids, at = tf.gather(state[GRID], places[:, 0]), voxels(places, self.patch)
        weights = [self._weights(axis, places, grids, each) for axis, each in enumerate(at)]
        weight = Axes(*weights).joined(tf.multiply)[..., None] / self._num_mirrored
        # Not what the network says beyond the volume, were it no number.
        scores = tf.math.multiply_no_nan(logits, weight)
        return slabs.added(state, places, at.clipped(grids), scores)

    def answers(self, state: Tensors, features: Tensors) -> dict[str, Any]:
        """Returns `label` uint8[n, depth, height, width] on the examples' own grids, filled up with 0.

        And `volumes_ml` float32[n, num_classes - 1], of all classes but 0; NaN where a score is no number;
        `class_names` string[n, num_classes - 1], where they have names.
        """
        import tensorflow as tf

        from components.windows import slabs

        finished = slabs.finished(state)
        voxel_ml = tf.reduce_prod(tf.cast(features[SPACING_MM], tf.float64), axis=1, keepdims=True) / 1000
        volumes = tf.cast(finished[slabs.VOXELS][:, 1:] * voxel_ml, tf.float32)
        answers = {LABEL: finished[LABEL], VOLUMES_ML: volumes}
        if self.label_names:
            answers[CLASS_NAMES] = tf.tile([self.label_names[1:]], [tf.shape(volumes)[0], 1])
        return answers

    @property
    def _num_mirrored(self) -> int:
        return 2**self.spatial_dims if self.mirror else 1

    def _grids(self, features: Tensors) -> Any:
        """Returns the voxels of the working grids along each axis: int64[n, 3]."""
        from components.windows import resampling

        if self.spacing_mm is None:
            return features[SHAPE]
        return resampling.new_shape(features[SHAPE], features[SPACING_MM], self.spacing_mm)

    def _counts(self, grids: Any) -> Any:
        """Returns how many windows there are along each axis: int64[…, 3]."""
        import tensorflow as tf

        steps = [max(1, int(size * (1 - self.overlap))) for size in self.patch]
        return 1 + -(-tf.maximum(grids - self.patch, 0) // steps)

    def _bounded(self, numbers: Any) -> Any:
        """Returns how many windows examples have, int64[n]; InvalidArgumentError for too many."""
        import tensorflow as tf

        most = tf.reduce_max(numbers)
        expected = f"at most {self.max_windows:,} windows of {list(self.patch)} voxels"
        message = tf.strings.join([f"{SHAPE}: expected {expected}, got ", tf.strings.as_string(most)])
        with tf.control_dependencies([tf.debugging.Assert(most <= self.max_windows, [message])]):
            return tf.identity(numbers)

    def _first(self, windows: Any, grids: Any) -> Any:
        """Returns the first voxels of windows, by their numbers along each axis: int64[…, 3]."""
        import tensorflow as tf

        room = grids - self.patch
        evenly = windows * room // tf.maximum(self._counts(grids) - 1, 1)
        return tf.where(room < 0, room // 2, evenly)

    def _weights(self, axis: int, places: Any, grids: Any, voxels: Any) -> Any:
        """Returns what voxels of windows count along an axis: float32[windows, size], 0 beyond the volume.

        At each voxel they are 1 in all, so that what is added up is a mean. That holds for all three axes
        together, since windows lie on a grid, and importance is a product of one for each axis.
        """
        import tensorflow as tf

        counts, first = self._counts(grids)[:, None, axis], places[:, axis + 1, None]
        numbers = tf.range(tf.reduce_max(counts))[:, None]
        # [windows, number]
        firsts = self._first(numbers, grids[:, None])[..., axis]
        others = self._importance(axis, voxels[:, :, None] - firsts[:, None])
        total = tf.reduce_sum(tf.where(numbers[:, 0] < counts, 1.0, 0.0)[:, None] * others, axis=2)
        is_inside = (voxels >= 0) & (voxels < grids[:, axis, None])
        return tf.where(is_inside, self._importance(axis, voxels - first) / total, 0.0)

    def _importance(self, axis: int, offsets: Any) -> Any:
        """Returns float32: what voxels of a window count by their place along an axis; 0 out of it."""
        import tensorflow as tf

        size = self.patch[axis]
        within = (offsets >= 0) & (offsets < size)
        deviations = (tf.cast(offsets, tf.float32) - (size - 1) / 2) / (size * _SIGMA)
        bell = tf.exp(-(deviations**2) / 2) if self.gaussian else tf.ones_like(deviations)
        return tf.where(within, bell, 0.0)

    def _around_foreground(self, features: Tensors, random: Any) -> Any:
        """Returns the first voxels of patches around random foreground: int64[n, patches, 3]."""
        import tensorflow as tf

        from components.windows.resampling import unraveled

        chosen = _whole(random, tf.maximum(features[FOREGROUND_COUNTS], 1)[:, None])
        voxels = tf.gather(features[FOREGROUND], chosen, batch_dims=1)
        return unraveled(voxels, features[GRID][:, None]) - [size // 2 for size in self.patch]

    def _has_foreground(self, features: Tensors, random: Any) -> Any:
        """Returns bool[n, patches]: which of the drawn patches are around foreground."""
        import tensorflow as tf

        wanted = tf.floor(self.foreground_share * self.patches_per_example + random)
        numbers = tf.range(self.patches_per_example, dtype=tf.float64)
        return (numbers < wanted) & (features[FOREGROUND_COUNTS] > 0)[:, None]


def _decoded(features: Tensors, name: str, dtype: Any) -> Any:
    """Returns the voxels of all examples, flat."""
    import tensorflow as tf

    expected = tf.reduce_prod(features[SHAPE], axis=1) * dtype.size
    got = tf.strings.length(features[name])
    message = f"{name}: expected {dtype.size} bytes for each voxel of {SHAPE}"
    with tf.control_dependencies([tf.debugging.assert_equal(tf.cast(got, tf.int64), expected, message)]):
        return tf.io.decode_raw(tf.strings.reduce_join(features[name]), dtype)


def _whole(random: Any, count: Any) -> Any:
    """Returns int64 in [0, count) of random numbers in [0, 1)."""
    import tensorflow as tf

    found = tf.cast(random * tf.cast(count, tf.float64), tf.int64)
    return tf.minimum(found, count - 1)
