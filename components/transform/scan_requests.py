"""What a server is asked about scans: voxels with their spacing, or NIFTI files as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from components.features import IMAGE, LABEL, NIFTI_BYTES, SHAPE, SPACING_MM
from components.protocols import Request
from components.transform.nifti.scans import filled, labels_of_files, read_scans, write_scan
from components.transform.raw_bytes import checked, rows_to_bytes, to_int16

Tensors = Mapping[str, Any]


def requests() -> dict[str, Request]:
    """Returns the signatures by name: a volume of whole numbers, one of floats, and a file.

    A file is answered in its own axes: label uint8[batch, …], padded with 0 to the largest file.
    """
    spacing_mm = tf.TensorSpec((None, 3), tf.float32, name=SPACING_MM)
    images = {dtype: tf.TensorSpec((None,) * 4, dtype, name=IMAGE) for dtype in (tf.int16, tf.float32)}
    files = tf.TensorSpec((None,), tf.string, name=NIFTI_BYTES)
    return {
        "segment": Request({IMAGE: images[tf.int16], SPACING_MM: spacing_mm}, _to_raw, _from_raw),
        "segment_float": Request(
            {IMAGE: images[tf.float32], SPACING_MM: spacing_mm}, _floats_to_raw, _floats_from_raw
        ),
        "nifti": Request({NIFTI_BYTES: files}, _files_to_raw, _files_from_raw, answers=_in_axes_of_files),
    }


def _to_raw(inputs: Tensors) -> dict[str, Any]:
    image, spacing_mm = _not_empty(inputs, IMAGE, "voxels"), inputs[SPACING_MM]
    is_spacing = tf.reduce_all(tf.math.is_finite(spacing_mm) & (spacing_mm > 0))
    shape = tf.shape(image, tf.int64)
    return {
        IMAGE: rows_to_bytes(image),
        SHAPE: tf.tile(shape[tf.newaxis, 1:], tf.stack([shape[0], 1])),
        SPACING_MM: checked(spacing_mm, is_spacing, f"{SPACING_MM}: expected finite numbers above 0"),
    }


def _not_empty(inputs: Tensors, name: str, what: str) -> Any:
    # Before anything is made of it, which would be refused in TensorFlow's words.
    return checked(inputs[name], tf.size(inputs[name]) > 0, f"{name}: expected {what}, got none")


def _from_raw(raw: Tensors) -> dict[str, Any]:
    """Returns volumes of one shape, those that are smaller with 0 behind them."""
    largest = tf.reduce_max(raw[SHAPE], axis=0)
    images = tf.map_fn(
        lambda each: filled(_voxels(*each), largest),
        (raw[IMAGE], raw[SHAPE]),
        fn_output_signature=tf.TensorSpec([None] * 3, tf.int16),
    )
    return {IMAGE: images, SPACING_MM: raw[SPACING_MM]}


def _voxels(image: Any, shape: Any) -> Any:
    return tf.reshape(tf.io.decode_raw(image, tf.int16), shape)


def _floats_to_raw(inputs: Tensors) -> dict[str, Any]:
    is_finite = tf.reduce_all(tf.math.is_finite(inputs[IMAGE]))
    numbers = checked(inputs[IMAGE], is_finite, f"{IMAGE}: expected finite voxels")
    return _to_raw({**inputs, IMAGE: to_int16(numbers)})


def _floats_from_raw(raw: Tensors) -> dict[str, Any]:
    inputs = _from_raw(raw)
    return {**inputs, IMAGE: tf.cast(inputs[IMAGE], tf.float32)}


def _files_to_raw(inputs: Tensors) -> dict[str, Any]:
    files = _not_empty(inputs, NIFTI_BYTES, "files")
    return dict(zip((IMAGE, SHAPE, SPACING_MM), read_scans(files), strict=True))


def _files_from_raw(raw: Tensors) -> dict[str, Any]:
    files = tf.map_fn(
        lambda each: write_scan(_voxels(each[0], each[1]), each[2]),
        (raw[IMAGE], raw[SHAPE], raw[SPACING_MM]),
        fn_output_signature=tf.string,
    )
    return {NIFTI_BYTES: files}


def _in_axes_of_files(inputs: Tensors, answers: Tensors) -> dict[str, Any]:
    return {**answers, LABEL: labels_of_files(inputs[NIFTI_BYTES], answers[LABEL])}
