"""Where the voxels of a NIfTI file are in the body: the sform, or else the qform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import tensorflow as tf

from components.transform.raw_bytes import checked

# Millimetres by the code of a unit: none, which is taken for millimetres, metre, millimetre, micrometre.
_UNITS_MM: Final = (1.0, 1000.0, 1.0, 0.001)
# A code says what an affine leads to, 0 that there is none. Higher ones mean nothing, as if there were none.
_HIGHEST_CODE: Final = 5
# As volumes in mm³; what is less is flat.
_LEAST_VOLUME: Final = 1e-12


def affine_mm(fields: Mapping[str, Any]) -> Any:
    """Returns the steps in millimetres, float64[3, 3], of the fields of a header, int64 or float64.

    A column is a step along one of the file's axes: to the right, to the front, to the head. The call is an
    InvalidArgumentError where there is no orientation, or no spacing.
    """
    has_qform, has_sform = tf.unstack((fields["codes"] > 0) & (fields["codes"] <= _HIGHEST_CODE))
    message = "nifti_bytes: expected an orientation, got sform and qform with code 0"
    has_sform = checked(has_sform, has_qform | has_sform, message)
    affine = tf.cond(
        has_sform,
        lambda: tf.reshape(fields["srows"], (3, 4))[:, :3],
        lambda: _qform(fields["quaternion"], fields["pixdim"], fields["rounding"]),
    )
    lengths = tf.norm(affine, axis=0)
    is_place = tf.reduce_all(tf.math.is_finite(affine)) & tf.reduce_all(lengths > 0)
    affine = checked(affine, is_place, "nifti_bytes: expected finite steps longer than 0 from voxel to voxel")
    message = "nifti_bytes: expected axes in three directions"
    affine = checked(affine, tf.abs(tf.linalg.det(affine)) >= _LEAST_VOLUME, message)
    return affine * _unit_mm(fields["xyzt_units"][0])


def _qform(vector: Any, pixdim: Any, rounding: Any) -> Any:
    """Returns the affine float64[3, 3] of a rotation and spacings; the file's third axis may go backwards."""
    spacing = checked(
        pixdim[1:4],
        tf.reduce_all(pixdim[1:4] > 0),
        "nifti_bytes: expected a pixdim above 0",
    )
    last = tf.where(pixdim[0] == -1, pixdim[0], 1)
    return _rotation(vector, rounding) * spacing * tf.stack([1, 1, last])


def _rotation(vector: Any, rounding: Any) -> Any:
    """Returns a rotation, float64[3, 3], of the last three of the four numbers of a unit quaternion."""
    rest = 1 - tf.reduce_sum(vector**2)
    rest = checked(rest, rest > -rounding, "nifti_bytes: expected a quaternion of length 1, got a longer one")
    # By half a turn: the first number is 0, but for what is rounded.
    rest = tf.where(rest < rounding, tf.zeros_like(rest), rest)
    x, y, z = tf.unstack(vector)
    none = tf.zeros_like(x)
    cross = tf.stack([[none, -z, y], [z, none, -x], [-y, x, none]])
    outer = vector[:, tf.newaxis] * vector
    length = tf.reduce_sum(vector**2)
    diagonal = (rest - length) * tf.eye(3, dtype=tf.float64)
    return (diagonal + 2 * (outer + tf.sqrt(rest) * cross)) / (rest + length)


def _unit_mm(units: Any) -> Any:
    """Returns the millimetres, float64, of a code whose lowest three bits count."""
    code = units % 8
    code = checked(
        code,
        code < len(_UNITS_MM),
        "nifti_bytes: expected metres, millimetres or micrometres, got unit ",
        tf.strings.as_string(code),
    )
    return tf.gather(tf.constant(_UNITS_MM, tf.float64), code)
