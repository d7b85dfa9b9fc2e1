"""What is asked becomes raw features and back; files are answered in their own axes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from components.features import IMAGE, LABEL, NIFTI_BYTES, SHAPE, SPACING_MM, VOLUMES_ML
from components.formats.nifti import Volume
from components.transform.volumes import Volumes

VOXELS = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4) - 5
SPACING = [2.0, 0.75, 0.5]


def raw(*images: np.ndarray) -> dict[str, Any]:
    import tensorflow as tf

    return {
        IMAGE: tf.constant([image.tobytes() for image in images]),
        SHAPE: tf.constant([image.shape for image in images], tf.int64),
        SPACING_MM: tf.constant([SPACING] * len(images), tf.float32),
    }


def lists(tensors: dict[str, Any]) -> dict[str, Any]:
    return {key: value.numpy().tolist() for key, value in tensors.items()}


@pytest.mark.parametrize("name", ["segment", "segment_float", "nifti"])
@pytest.mark.parametrize("images", [(VOXELS,), (VOXELS, VOXELS[::-1])], ids=["one", "two"])
def test_a_request_made_of_raw_features_gives_them_back(name: str, images: tuple[np.ndarray, ...]) -> None:
    import tensorflow as tf

    request = Volumes().requests()[name]
    inputs = request.from_raw(raw(*images))
    signature = tf.function(
        lambda *values: request.to_raw(dict(zip(request.inputs, values, strict=True))),
        input_signature=list(request.inputs.values()),
        autograph=False,
    )
    assert {key: value.dtype for key, value in inputs.items()} == {
        key: spec.dtype for key, spec in request.inputs.items()
    }
    assert lists(signature(*inputs.values())) == lists(raw(*images))


def test_volumes_of_several_shapes_are_asked_about_as_the_largest() -> None:
    inputs = Volumes().requests()["segment"].from_raw(raw(VOXELS, VOXELS[:1, :2]))
    assert inputs[IMAGE].shape == (2, 2, 3, 4)
    assert np.array_equal(inputs[IMAGE][1, :1, :2], VOXELS[:1, :2])
    assert np.count_nonzero(inputs[IMAGE][1]) == np.count_nonzero(VOXELS[:1, :2])


def test_floats_are_rounded_and_clipped() -> None:
    import tensorflow as tf

    image = tf.constant([[[[-1e9, -0.6, 2.5, 40000.0]]]])
    found = Volumes().requests()["segment_float"].to_raw({IMAGE: image, SPACING_MM: tf.constant([SPACING])})
    assert found[IMAGE].numpy() == [np.array([-32768, -1, 2, 32767], "<i2").tobytes()]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({IMAGE: np.full((1, 1, 1, 1), np.nan, np.float32)}, "image: expected finite voxels"),
        ({IMAGE: np.zeros((1, 0, 2, 2), np.float32)}, "image: expected voxels, got none"),
        ({SPACING_MM: np.array([[1, 0, 1]], np.float32)}, "spacing_mm: expected finite numbers above 0"),
        ({SPACING_MM: np.array([[1, np.inf, 1]], np.float32)}, "spacing_mm: expected finite numbers above 0"),
    ],
    ids=["not finite", "empty", "no spacing", "endless spacing"],
)
def test_what_is_no_scan_is_refused(changed: dict[str, np.ndarray], message: str) -> None:
    import tensorflow as tf

    good = {IMAGE: np.ones((1, 2, 2, 2), np.float32), SPACING_MM: np.array([SPACING], np.float32)}
    inputs = {key: tf.constant(value) for key, value in {**good, **changed}.items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        Volumes().requests()["segment_float"].to_raw(inputs)


@pytest.mark.parametrize("shape", [(0, 2, 2, 2), (1, 0, 2, 2), (1, 2, 2, 0)], ids=str)
@pytest.mark.parametrize("name", ["segment", "segment_float"])
def test_no_voxels_are_refused_in_one_line(name: str, shape: tuple[int, ...]) -> None:
    import tensorflow as tf

    request = Volumes().requests()[name]
    inputs = {IMAGE: tf.zeros(shape, request.inputs[IMAGE].dtype), SPACING_MM: tf.ones([shape[0], 3])}
    with pytest.raises(tf.errors.InvalidArgumentError, match="image: expected voxels, got none"):
        tf.function(request.to_raw, input_signature=[dict(request.inputs)], autograph=False)(inputs)


def test_no_files_are_refused_in_one_line() -> None:
    import tensorflow as tf

    request = Volumes().requests()["nifti"]
    signature = tf.function(request.to_raw, input_signature=[dict(request.inputs)], autograph=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="nifti_bytes: expected files, got none"):
        signature({NIFTI_BYTES: tf.constant([], tf.string)})


def test_a_saved_signature_answers_a_file_in_its_own_axes(tmp_path: Path) -> None:
    import tensorflow as tf

    request = Volumes().requests()["nifti"]

    def answer(files: tf.Tensor) -> dict[str, tf.Tensor]:
        found = request.to_raw({NIFTI_BYTES: files})
        voxels = tf.reshape(tf.io.decode_raw(found[IMAGE], tf.int16), tf.concat([[-1], found[SHAPE][0]], 0))
        label = tf.cast(voxels > 10, tf.uint8)
        answers = {LABEL: label, VOLUMES_ML: tf.reduce_sum(tf.cast(label, tf.float32), [1, 2, 3])}
        return request.answered({NIFTI_BYTES: files}, answers)

    module = tf.Module()
    signature = tf.function(answer, list(request.inputs.values()), autograph=False)
    tf.saved_model.save(module, str(tmp_path / "model"), {"nifti": signature})
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["nifti"]

    # The first axis goes to the feet, the second to the right, the third to the back.
    affine = np.array([[0, 0.5, 0, 0], [0, 0, -2.0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(VOXELS, affine), tmp_path / "a.nii.gz")
    content = (tmp_path / "a.nii.gz").read_bytes()
    for files in ([content], [content, gzip.decompress(content)]):
        answers = served(nifti_bytes=tf.constant(files))
        assert np.array_equal(answers[LABEL], [VOXELS > 10] * len(files))
        assert answers[LABEL].dtype == tf.uint8
        assert answers[VOLUMES_ML].numpy().tolist() == [np.count_nonzero(VOXELS > 10)] * len(files)
    assert Volume(tmp_path / "a.nii.gz").shape == (2, 4, 3)
