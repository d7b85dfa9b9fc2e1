import functools
import itertools
import math
from typing import Any

import numpy as np
import pydantic
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.formats import resampling as in_numpy
from components.protocols import Prepared, Varied, Windowing
from components.windows import resampling
from components.windows.fold import fold
from components.windows.patches import Patches

SMALL = Patches(patch_size=(4, 6, 8), num_classes=3)
SPECS = {
    "image": tf.TensorSpec([None], tf.string),
    "shape": tf.TensorSpec([None, 3], tf.int64),
    "spacing_mm": tf.TensorSpec([None, 3], tf.float32),
    "normalization": tf.TensorSpec([None, 4], tf.float32),
}
# Mean, deviation, and bounds.
NORMALIZATION = (20.0, 50.0, -90.0, 110.0)


def scan(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(-120, 140, shape).astype(np.int16)


def batch(*scans: Any, spacing_mm: Any = (1, 1, 1), normalization: Any = NORMALIZATION) -> dict[str, Any]:
    """Features as the preprocessing returns them; spacings of each, or one of all."""
    count = len(scans)
    return {
        "image": tf.constant([each.astype("<i2").tobytes() for each in scans]),
        "shape": tf.constant([each.shape for each in scans], tf.int64),
        "spacing_mm": tf.constant(np.broadcast_to(spacing_mm, (count, 3)), tf.float32),
        "normalization": tf.constant([normalization] * count, tf.float32),
    }


def trained_on(*examples: tuple[Any, Any], spacing_mm: Any = (1, 1, 1), most: int = 50) -> dict[str, Any]:
    """Features with labels, and up to `most` voxels of foreground each."""
    features = batch(*(image for image, _ in examples), spacing_mm=spacing_mm)
    found = [np.flatnonzero(label)[:most] for _, label in examples]
    padded = [np.pad(each, (0, most - len(each))) for each in found]
    return {
        **features,
        "label": tf.constant([label.astype(np.uint8).tobytes() for _, label in examples]),
        "foreground": tf.constant(padded, tf.int64),
        "foreground_counts": tf.constant([len(each) for each in found], tf.int64),
    }


def network(inputs):
    """Logits that depend on the voxel, on where in the window it is, and on all of the window."""
    image = inputs["image"]
    axes = list(range(1, len(image.shape)))
    position = tf.zeros_like(image[:1])
    for number, size in enumerate(image.shape[1:]):
        weights = tf.reshape(
            tf.sin(tf.range(size, dtype=tf.float32) * (number + 1.7)), [-1] + [1] * (axes[-1] - number - 1)
        )
        position += weights
    mean = tf.reduce_mean(image, axis=axes, keepdims=True)
    return tf.stack(
        [image * 0.8 + position, 0.3 - image * mean, position * mean + tf.cos(3 * image)], axis=-1
    )


@functools.cache
def folding(patches: Patches, network=network):
    return tf.function(
        lambda features: fold(patches, features, network), input_signature=[SPECS], autograph=False
    )


# Plain NumPy, window by window, on whole volumes.


def first_voxels(patches: Patches, size: int, patch: int) -> list[int]:
    step = max(1, int(patch * (1 - patches.overlap)))
    if size <= patch:
        return [-math.ceil((patch - size) / 2)]
    count = 1 + math.ceil((size - patch) / step)
    return [number * (size - patch) // (count - 1) for number in range(count)]


def bell(patches: Patches, size: int) -> Any:
    at = np.arange(size) - (size - 1) / 2
    return np.exp(-0.5 * (at / (size / 8)) ** 2) if patches.gaussian else np.ones(size)


def mean_logits(patches: Patches, volume: Any) -> Any:
    """float64 [depth, height, width, classes] of a volume int16 on the working grid."""
    mean, deviation, low, high = NORMALIZATION
    depth, height, width = patches.patch
    importance = np.einsum("i,j,k->ijk", *(bell(patches, size) for size in patches.patch))
    margin = [(size, size) for size in patches.patch]
    padded = (np.pad(np.clip(volume, low, high), margin, constant_values=low) - mean) / deviation
    sums, weights = np.zeros((*padded.shape, patches.num_classes)), np.zeros(padded.shape)
    codes = range(2**patches.spatial_dims) if patches.mirror else [0]
    axes = [first_voxels(patches, *sizes) for sizes in zip(volume.shape, patches.patch, strict=True)]
    for z, y, x in itertools.product(*axes):
        where = np.s_[z + depth : z + 2 * depth, y + height : y + 2 * height, x + width : x + 2 * width]
        for code in codes:
            mirrored = tuple(axis for axis in range(3) if code >> axis & 1)
            if patches.spatial_dims == 2:
                mirrored = tuple(axis + 1 for axis in mirrored)
            window = np.flip(padded[where], mirrored).reshape(1, *patches.patch_size)
            logits = network({"image": tf.constant(window, tf.float32)}).numpy().reshape(*patches.patch, -1)
            sums[where] += np.flip(logits, mirrored) * importance[..., None]
            weights[where] += importance
    inside = tuple(slice(size, size + n) for size, n in zip(patches.patch, volume.shape, strict=True))
    return sums[inside] / weights[inside][..., None]


def at_shape(scores: Any, shape: tuple[int, ...]) -> Any:
    """Scores on another grid, from the neighbours along each axis."""
    for axis, n_out in enumerate(shape):
        n_in = scores.shape[axis]
        at = np.clip((np.arange(n_out) + 0.5) * n_in / n_out - 0.5, 0, n_in - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape([-1 if each == axis else 1 for each in range(4)])
        high = np.minimum(low + 1, n_in - 1)
        scores = scores.take(low, axis) * (1 - share) + scores.take(high, axis) * share
    return scores


def answered_in_numpy(patches: Patches, volume: Any, spacing_mm: Any) -> tuple[Any, Any]:
    """The label, and where it is clear: the second best class is far enough from it for float32."""
    working = volume
    if patches.spacing_mm is not None:
        working = in_numpy.linear(volume, in_numpy.new_shape(volume.shape, spacing_mm, patches.spacing_mm))
    scores = at_shape(mean_logits(patches, working), volume.shape)
    best = np.sort(scores, axis=-1)
    return scores.argmax(axis=-1), best[..., -1] - best[..., -2] > 1e-4


IN_2D = Patches(spatial_dims=2, patch_size=(6, 8), num_classes=3)
SETTINGS = {
    "3d": SMALL,
    "mirrored": SMALL.model_copy(update={"mirror": True, "per_call": 3}),
    "flat": SMALL.model_copy(update={"gaussian": False, "overlap": 0.0, "per_call": 4}),
    "much overlap": SMALL.model_copy(update={"overlap": 0.8, "per_call": 7}),
    "odd patch": SMALL.model_copy(update={"patch_size": (5, 3, 7)}),
    "finer": SMALL.model_copy(update={"spacing_mm": (0.7, 0.9, 0.8), "per_call": 3}),
    "coarser": SMALL.model_copy(update={"spacing_mm": (1.6, 2.3, 1.9), "mirror": True}),
    "few planes": SMALL.model_copy(update={"spacing_mm": (9.0, 1.0, 1.0)}),
    "2d": IN_2D,
    "2d mirrored": IN_2D.model_copy(update={"mirror": True, "per_call": 3}),
    "2d resampled": IN_2D.model_copy(update={"spacing_mm": (0.6, 1.4, 0.8), "per_call": 5}),
}


@pytest.mark.parametrize("patches", SETTINGS.values(), ids=SETTINGS)
def test_answers_are_those_of_whole_volumes_in_numpy(patches):
    scans = [scan(13, 11, 17), scan(3, 14, 9, seed=1), scan(9, 5, 21, seed=2)]
    spacings = [(1.0, 1.0, 1.0), (2.5, 0.7, 0.9), (0.8, 1.5, 1.1)]
    answers = folding(patches)(batch(*scans, spacing_mm=spacings))
    assert (answers["label"].dtype, answers["label"].shape) == (tf.uint8, (3, 13, 14, 21))
    for row, (image, spacing) in enumerate(zip(scans, spacings, strict=True)):
        padded = answers["label"][row].numpy()
        found = padded[tuple(map(slice, image.shape))]
        expected, is_clear = answered_in_numpy(patches, image, spacing)
        assert len(np.unique(expected)) == 3
        assert is_clear.mean() > 0.99
        np.testing.assert_array_equal(found[is_clear], expected[is_clear])
        assert padded.sum() == found.sum()
        voxels = np.bincount(found.ravel(), minlength=3)[1:]
        np.testing.assert_allclose(answers["volumes_ml"][row], voxels * np.prod(spacing) / 1000, rtol=1e-6)


def by_intensity(inputs):
    """Class 0 below 0, class 1 up to 100, class 2 beyond."""
    image = inputs["image"]
    is_high = tf.cast(image > 100, tf.float32)
    is_middle = tf.cast(image > 0, tf.float32) - is_high
    return tf.stack([0.5 + tf.zeros_like(image), is_middle, is_high], axis=-1)


@pytest.mark.parametrize("per_call", [1, 3])
@pytest.mark.parametrize("dims", [2, 3])
def test_known_classes_come_back_voxel_for_voxel(dims, per_call):
    patches = Patches(spatial_dims=dims, patch_size=(4, 6, 8)[-dims:], per_call=per_call)
    image = scan(14, 15, 19)
    # Neither clipped nor scaled.
    features = batch(image, spacing_mm=(2.0, 0.5, 3.0), normalization=(0, 1, -5000, 5000))
    answers = folding(patches, by_intensity)(features)
    expected = (image > 0) * 1 + (image > 100)
    np.testing.assert_array_equal(answers["label"][0], expected)
    # A voxel is 2 × 0.5 × 3 = 3 µl.
    volumes = [(expected == each).sum() * 0.003 for each in (1, 2)]
    np.testing.assert_allclose(answers["volumes_ml"], [volumes], rtol=1e-6)


def test_answers_have_the_names_of_classes_where_there_are_some():
    features = batch(scan(4, 6, 8), scan(3, 6, 8))
    named = Patches(patch_size=(4, 6, 8), label_names=("background", "kidney", "cyst"))
    names = folding(named, by_intensity)(features)["class_names"].numpy()
    assert names.tolist() == [[b"kidney", b"cyst"]] * 2
    assert "class_names" not in folding(Patches(patch_size=(4, 6, 8)), by_intensity)(features)
    with pytest.raises(ValueError, match="label_names: expected 3, one a class, got background, kidney"):
        Patches(label_names=("background", "kidney"))


def test_one_window_answers_as_the_whole_volume():
    image = scan(4, 6, 8)
    answers = folding(SMALL)(batch(image))
    taken = (np.clip(image, -90, 110) - 20) / 50
    logits = network({"image": tf.constant(taken[None], tf.float32)})
    np.testing.assert_array_equal(answers["label"], np.argmax(logits, axis=-1))


def test_one_voxel_is_answered():
    assert folding(SMALL)(batch(scan(1, 1, 1)))["label"].shape == (1, 1, 1, 1)


def test_labels_come_back_to_the_grid_of_the_scan():
    # Halves along depth: the border stays where it is whatever the spacing between is.
    image = np.full((20, 12, 12), -50, np.int16)
    image[7:] = 50
    for spacing in ((0.5, 1, 2), (0.25, 0.5, 0.5)):
        patches = SMALL.model_copy(update={"spacing_mm": spacing, "per_call": 8})
        features = batch(image, normalization=(0, 1, -5000, 5000))
        label = folding(patches, by_intensity)(features)["label"][0]
        np.testing.assert_array_equal(label, image > 0)


def test_a_network_with_several_outputs_answers_with_the_finest():
    def supervised(inputs):
        return {"logits": network(inputs), "logits_1": tf.zeros([1, 2, 3, 4, 3])}

    features = batch(scan(5, 7, 9))
    np.testing.assert_array_equal(
        folding(SMALL, supervised)(features)["label"], folding(SMALL)(features)["label"]
    )


def test_volumes_are_no_number_where_a_score_is_none():
    def broken(inputs):
        logits = network(inputs)
        return tf.where(tf.reduce_max(inputs["image"]) > 1e6, math.nan, logits)

    quiet, loud = np.zeros((5, 7, 9), np.int16), np.zeros((5, 7, 9), np.int16)
    loud[4, 6, 8] = 5000
    features = batch(quiet, loud, quiet, normalization=(0, 1e-3, -5000, 5000))
    volumes = folding(SMALL, broken)(features)["volumes_ml"].numpy()
    assert np.isnan(volumes).tolist() == [[False, False], [True, True], [False, False]]


def test_what_the_network_says_beyond_the_volume_does_not_count():
    def broken_outside(inputs):
        image = inputs["image"]
        return tf.where(image[..., None] < -5, math.nan, network(inputs))

    # Beyond lies -10.
    features = batch(np.full((3, 7, 5), 20, np.int16), normalization=(0, 1, -10, 5000))
    assert np.isfinite(folding(SMALL, broken_outside)(features)["volumes_ml"]).all()


def test_scores_of_a_slab_alone_are_held():
    for depth in (40, 80):
        state = SMALL.start(SMALL.prepared(batch(np.zeros((depth, 10, 12), np.int16))))
        # Four planes of a patch, and one before them.
        assert state["scores"].shape == (5 * 10 * 12, 3)


def test_it_works_in_a_saved_model_for_any_shapes(tmp_path):
    module = tf.Module()
    module.answer = folding(SETTINGS["finer"])
    tf.saved_model.save(module, str(tmp_path))
    answer = tf.saved_model.load(str(tmp_path)).answer
    for features in (batch(scan(9, 8, 7)), batch(scan(2, 13, 12), scan(11, 3, 4))):
        expected = folding(SETTINGS["finer"])(features)
        np.testing.assert_array_equal(answer(features)["label"], expected["label"])


def test_answers_are_the_same_without_a_graph():
    patches, features = SETTINGS["coarser"], batch(scan(9, 8, 7), scan(3, 13, 12))
    eager = fold(patches, features, network)
    np.testing.assert_array_equal(eager["label"], folding(patches)(features)["label"])


# The grid.


def test_windows_lie_evenly_from_border_to_border():
    patches = Patches(patch_size=(4, 4, 4), overlap=0.5)
    features = patches.prepared(batch(scan(9, 4, 3), scan(1, 5, 4)))
    # 9: three more steps of 2 or less; 3: one more voxel than there is, before it; 5: two windows.
    assert patches.places(features).numpy().tolist() == [
        [0, 0, 0, -1, 0],
        [0, 1, 0, -1, 0],
        [0, 3, 0, -1, 0],
        [0, 5, 0, -1, 0],
        [1, -2, 0, 0, 0],
        [1, -2, 1, 0, 0],
    ]


def test_a_mirrored_window_comes_once_for_each_set_of_axes():
    patches = IN_2D.model_copy(update={"mirror": True})
    places = patches.places(patches.prepared(batch(scan(2, 6, 8))))
    assert places.numpy().tolist() == [[0, z, 0, 0, code] for z in range(2) for code in range(4)]


shapes = st.tuples(*[st.integers(1, 30)] * 3)


@settings(max_examples=50, deadline=None)
@given(st.lists(shapes, min_size=1, max_size=3), st.sampled_from([0.0, 0.3, 0.5, 0.75]))
def test_windows_cover_all_voxels_in_order(some, overlap):
    patches = SMALL.model_copy(update={"overlap": overlap})
    places = patches.places({"grid": tf.constant(some, tf.int64)}).numpy().tolist()
    assert places == sorted(places)
    assert len({tuple(place) for place in places}) == len(places)
    for row, shape in enumerate(some):
        for axis, size in enumerate(shape):
            firsts = {place[axis + 1] for place in places if place[0] == row}
            patch = patches.patch[axis]
            covered = {voxel for first in firsts for voxel in range(first, first + patch)}
            assert covered.issuperset(range(size))
            if size >= patch:
                assert covered == set(range(size))


# What is taken.


def test_a_patch_beyond_the_border_is_filled_up():
    patches = Patches(patch_size=(1, 2, 4))
    image = np.array([[[10, 20, 400]]], np.int16)
    features = trained_on((image, np.array([[[1, 2, 1]]])))
    taken = patches.take(patches.prepared(features), tf.constant([[0, 0, -1, -1, 0]], tf.int64))
    # (−90 − 20) / 50 beyond and, since 400 is clipped, (110 − 20) / 50 at last.
    np.testing.assert_allclose(taken["image"], [[[[-2.2] * 4, [-2.2, -0.2, 0, 1.8]]]], atol=1e-6)
    assert (taken["label"].dtype, taken["label"].numpy().tolist()) == (tf.uint8, [[[[0] * 4, [0, 1, 2, 1]]]])


def test_a_mirrored_patch_is_the_patch_turned_about():
    image = scan(5, 7, 9)
    features = SMALL.prepared(trained_on((image, image > 0)))
    for code, axes in ((0, ()), (1, (2,)), (2, (1,)), (5, (0, 2)), (7, (0, 1, 2))):
        taken = SMALL.take(features, tf.constant([[0, 1, 1, 1, code]], tf.int64))
        expected = image[1:5, 1:7, 1:9]
        np.testing.assert_array_equal(taken["label"][0], np.flip(expected > 0, axes))


def test_each_window_is_taken_of_its_example():
    scans = [scan(5, 7, 9), scan(6, 6, 8, seed=1)]
    taken = SMALL.take(
        SMALL.prepared(batch(*scans)), tf.constant([[1, 2, 0, 0, 0], [0, 1, 1, 1, 0]], tf.int64)
    )
    cut = [scans[1][2:], scans[0][1:, 1:, 1:]]
    np.testing.assert_allclose(taken["image"], (np.clip(cut, -90, 110) - 20) / 50, atol=1e-6)
    assert set(taken) == {"image"}


def test_a_slice_has_two_axes():
    features = IN_2D.prepared(trained_on((scan(3, 6, 8), scan(3, 6, 8) > 0)))
    taken = IN_2D.take(features, IN_2D.places(features))
    assert {name: value.shape for name, value in taken.items()} == {"image": (3, 6, 8), "label": (3, 6, 8)}


def test_the_network_sees_images_alone():
    assert set(SMALL.served({"image": 1, "label": 2})) == {"image"}


# What is drawn.


def draw(patches: Patches, features: Any, *seed: int) -> Any:
    return patches.drawn(patches.prepared(features), tf.constant(seed, tf.int64)).numpy()


def test_drawing_depends_on_the_seed_alone():
    features = trained_on((scan(20, 30, 40), scan(20, 30, 40) > 100))
    assert (draw(SMALL, features, 1, 2) == draw(SMALL, features, 1, 2)).all()
    assert (draw(SMALL, features, 1, 2) != draw(SMALL, features, 1, 3)).any()


@settings(max_examples=60, deadline=None)
@given(st.lists(shapes, min_size=1, max_size=3), st.integers(0, 2**62), st.sampled_from([2, 3]))
def test_drawn_patches_lie_inside(some, seed, dims):
    patches = Patches(spatial_dims=dims, patch_size=(4, 6, 8)[-dims:], patches_per_example=7)
    examples = [(scan(*shape), scan(*shape, seed=1) > 0) for shape in some]
    places = draw(patches, trained_on(*examples), seed, 5)
    assert places[:, 0].tolist() == [row for row in range(len(some)) for _ in range(7)]
    assert not places[:, 4].any()
    for row, *first, _ in places.tolist():
        for start, size, patch in zip(first, some[row], patches.patch, strict=True):
            if size >= patch:
                assert 0 <= start <= size - patch
            else:
                assert start == (size - patch) // 2


def test_all_places_are_drawn_equally_often():
    patches = Patches(patch_size=(2, 4, 4), patches_per_example=6000)
    places = draw(patches, batch(scan(4, 4, 5)), 3, 4)
    counts = np.unique(places, axis=0, return_counts=True)[1]
    # 3 × 1 × 2 places: 1000 each, give or take 5 deviations of 29.
    assert len(counts) == 6
    assert abs(counts - 1000).max() < 145


def test_a_share_of_the_patches_has_foreground_in_its_centre():
    label = np.zeros((40, 40, 40))
    label[20, 21, 22] = 2
    features = trained_on(*[(scan(40, 40, 40), label)] * 100, most=1)
    for share, per_example in ((0.0, {0}), (1 / 3, {1, 2}), (0.5, {2}), (1.0, {4})):
        patches = SMALL.model_copy(update={"foreground_share": share})
        places = draw(patches, features, 0, 1)[:, 1:4].reshape(100, 4, 3)
        found = (places == [18, 18, 18]).all(axis=2).sum(axis=1)
        assert set(found) == per_example
        # Of 4/3 an example, give or take 4 deviations of 0.047.
        assert abs(np.mean(found) - share * 4) < 0.19


def test_all_voxels_of_the_foreground_are_centres():
    label = np.zeros((20, 20, 20))
    label[10, 10, [8, 12, 15]] = 1
    patches = Patches(patch_size=(4, 4, 4), foreground_share=1.0, patches_per_example=900)
    columns, counts = np.unique(
        draw(patches, trained_on((scan(20, 20, 20), label)), 1, 1)[:, 3], return_counts=True
    )
    assert columns.tolist() == [6, 10, 13]
    # 300 each, give or take 5 deviations of 14.
    assert abs(counts - 300).max() < 70


def test_without_foreground_all_patches_are_anywhere():
    patches = Patches(patch_size=(2, 4, 4), foreground_share=1.0, patches_per_example=50)
    nothing = np.zeros((30, 4, 4))
    places = draw(patches, trained_on((scan(30, 4, 4), nothing)), 1, 1)
    assert len(np.unique(places[:, 1])) > 15


def test_a_slice_with_foreground_is_drawn():
    label = np.zeros((30, 6, 8))
    label[17, 3, 4] = 1
    patches = IN_2D.model_copy(update={"foreground_share": 1.0})
    places = draw(patches, trained_on((scan(30, 6, 8), label)), 1, 1)
    assert places.tolist() == [[0, 17, 0, 0, 0]] * 4


def test_foreground_moves_with_the_volume():
    label = np.zeros((10, 12, 14))
    label[7, 5, 9] = 1
    patches = Patches(patch_size=(1, 1, 1), spacing_mm=(2.0, 0.5, 1.0), foreground_share=1.0)
    features = patches.prepared(trained_on((scan(10, 12, 14), label)))
    # 5 × 24 × 14: the voxel has its centre at 3.75, 11.0 and 9.5 of them.
    assert features["grid"].numpy().tolist() == [[5, 24, 14]]
    places = patches.drawn(features, tf.constant([1, 2], tf.int64))
    assert places.numpy().tolist() == [[0, 3, 11, 9, 0]] * 4
    assert patches.take(features, places)["label"].numpy().ravel().tolist() == [1] * 4


def test_windows_are_varied_while_a_model_trains():
    features = SMALL.prepared(trained_on((scan(9, 8, 12), scan(9, 8, 12) > 0)))
    taken = SMALL.take(features, SMALL.drawn(features, tf.constant([1, 2], tf.int64)))
    seeds = tf.constant([[0, each] for each in range(4)], tf.int64)
    varied = SMALL.varied(taken, seeds)
    assert {name: value.shape for name, value in varied.items()} == dict.fromkeys(taken, (4, 4, 6, 8))
    assert (varied["image"].numpy() != taken["image"].numpy()).any()


def test_patches_come_out_of_a_dataset():
    examples = [trained_on((scan(*shape), scan(*shape) > 0)) for shape in ((9, 8, 7), (5, 12, 10))]

    def cut(features):
        ready = SMALL.prepared(features)
        return SMALL.take(ready, SMALL.drawn(ready, tf.constant([1, 2], tf.int64)))

    joined = {name: tf.concat([each[name] for each in examples], 0) for name in examples[0]}
    dataset = tf.data.Dataset.from_tensor_slices(joined).batch(1).map(cut)
    assert [element["image"].shape for element in dataset] == [(4, 4, 6, 8)] * 2
    assert dataset.element_spec["image"].shape.as_list() == [None, 4, 6, 8]


# Other grids.


SHAPES = tf.TensorSpec([None, 3], tf.int64)
resample_images = tf.function(
    resampling.resampled_images,
    input_signature=[tf.TensorSpec([None], tf.int16), SHAPES, SHAPES],
    autograph=False,
)
resample_labels = tf.function(
    resampling.resampled_labels,
    input_signature=[tf.TensorSpec([None], tf.uint8), SHAPES, SHAPES],
    autograph=False,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(shapes, shapes), min_size=1, max_size=3), st.integers(0, 9))
def test_volumes_are_resampled_as_in_numpy(pairs, seed):
    scans = [scan(*shape, seed=seed) for shape, _ in pairs]
    labels = [(each % 3).astype(np.uint8) for each in scans]
    sizes, targets = (tf.constant(each, tf.int64) for each in zip(*pairs, strict=True))
    images = resample_images(np.concatenate([each.ravel() for each in scans]), sizes, targets).numpy()
    exact = [at_shape(each[..., None], target) for each, (_, target) in zip(scans, pairs, strict=True)]
    # Rounded, and what float32 leaves open; of the same numbers NumPy takes the axes in another order.
    assert np.abs(images - np.concatenate([each.ravel() for each in exact])).max() <= 0.5 + 1e-3
    expected = [in_numpy.linear(each, target).ravel() for each, (_, target) in zip(scans, pairs, strict=True)]
    is_clear = [abs(each.ravel() % 1 - 0.5) > 1e-3 for each in exact]
    differ = images != np.concatenate(expected)
    assert not (differ & np.concatenate(is_clear)).any()
    classes = resample_labels(np.concatenate([each.ravel() for each in labels]), sizes, targets)
    nearest = [
        in_numpy.nearest(each, target).ravel() for each, (_, target) in zip(labels, pairs, strict=True)
    ]
    np.testing.assert_array_equal(classes, np.concatenate(nearest))


# At most eight voxels for each one along an axis: a thousand in all are the bound.
@given(shapes, st.tuples(*[st.floats(0.5, 4)] * 3), st.tuples(*[st.floats(0.5, 4)] * 3))
@settings(deadline=None)
def test_a_grid_has_as_many_voxels_as_in_numpy(shape, spacing, target):
    found = resampling.new_shape(tf.constant([shape], tf.int64), tf.constant([spacing], tf.float64), target)
    assert tuple(found[0].numpy()) == in_numpy.new_shape(shape, spacing, target)


# Settings and errors.


def test_it_is_a_windowing():
    assert all(isinstance(SMALL, each) for each in (Windowing, Prepared, Varied))
    assert SMALL.drawn_per_example == 4


@pytest.mark.parametrize("name", ["image", "label"])
def test_bytes_that_are_not_the_shapes_are_refused(name):
    features = trained_on((scan(4, 4, 4), scan(4, 4, 4) > 0))
    cut = {**features, name: tf.strings.substr(features[name], 0, 60)}
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=f"{name}: expected . bytes for each voxel of shape"
    ):
        tf.function(SMALL.prepared)(cut)


def test_a_spacing_that_makes_too_many_voxels_is_refused():
    # Millimetres that are said to be metres: a voxel of 3 m is 1,000 of 3 mm along each axis.
    patches = Patches(patch_size=(4, 6, 8), spacing_mm=(3, 3, 3))
    features = batch(scan(2, 2, 2), scan(3, 2, 1), spacing_mm=[(3, 3, 3), (3000, 3000, 3000)])
    message = r"expected at most 2,147,483,648 voxels of 3×3×3 mm, got.*3000×2000×1000"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.function(patches.prepared)(features)


def test_a_spacing_that_makes_millions_of_voxels_of_a_few_is_refused():
    # 10 times as many along each axis are as many as may be; 11 times along one of them are too many.
    patches = Patches(patch_size=(4, 6, 8), spacing_mm=(3, 3, 3))
    grids = patches.prepared(batch(scan(2, 2, 2), spacing_mm=(30, 30, 30)))["grid"]
    assert grids.numpy().tolist() == [[20, 20, 20]]
    features = batch(scan(2, 2, 2), scan(2, 2, 2), spacing_mm=[(3, 3, 3), (33, 30, 30)])
    message = r"expected at most 1,000 voxels of 3×3×3 mm for each one, got.*22×20×20"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.function(patches.prepared)(features)


def test_more_windows_than_are_wanted_are_refused():
    # Of 8³ voxels with steps of 1: 5 × 3 × 1 windows of 4×6×8.
    patches = Patches(patch_size=(4, 6, 8), overlap=0.9, max_windows=15)
    features = patches.prepared(batch(scan(8, 8, 8)))
    assert len(patches.places(features)) == 15
    fewer = patches.model_copy(update={"max_windows": 14})
    message = r"shape: expected at most 14 windows of \[4, 6, 8\] voxels, got 15"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.function(fewer.places)(features)


@pytest.mark.parametrize("spacing", [math.inf, math.nan, 3e38])
def test_a_spacing_that_is_none_is_refused(spacing):
    patches = Patches(patch_size=(4, 6, 8), spacing_mm=(3, 3, 3))
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected at most 2,147,483,648 voxels"):
        tf.function(patches.prepared)(batch(scan(2, 2, 2), spacing_mm=(spacing, 3, 3)))


def test_volumes_that_are_too_many_voxels_once_filled_up_are_refused():
    # Of 900 bytes in all, 3 × 300 × 300 × 8,000 are wanted for labels.
    features = batch(scan(8000, 1, 1), scan(1, 300, 1), scan(1, 1, 300))
    message = r"expected at most 2,147,483,648 voxels in a batch.*24000×300×300"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.function(lambda features: SMALL.start(SMALL.prepared(features)))(features)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": (32, 32)}, "patch_size: expected 3 numbers, got [32, 32]"),
        ({"spatial_dims": 2, "patch_size": (32,)}, "patch_size: expected 2 numbers"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "greater than 0"),
        ({"overlap": 1.0}, "less than 1"),
        ({"num_classes": 257}, "less than or equal to 256"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, message):
    with pytest.raises(pydantic.ValidationError) as caught:
        Patches(**change)
    assert message in str(caught.value)
