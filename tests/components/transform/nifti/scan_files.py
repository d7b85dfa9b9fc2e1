"""NIfTI files in memory, in any orientation, and the graph's answer to them."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from components.formats.nifti import Volume

SHAPE = (3, 4, 5)
SPACING = (0.5, 2.0, 3.0)
STRAIGHT = np.diag([*SPACING, 1.0])
ORIENTATIONS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def affine_of(order: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    """Returns an affine whose file axis i goes along world axis order[i], in direction signs[i]."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, axis] = sign * SPACING[axis]
    affine[:3, 3] = (-11.5, 7.25, 100)
    return affine


def content_of(
    voxels: np.ndarray,
    affine: np.ndarray = STRAIGHT,
    kind: type = nib.Nifti1Image,
    endianness: str = "<",
    **fields: Any,
) -> bytes:
    header = kind.header_class(endianness=endianness)
    header.set_data_dtype(voxels.dtype.newbyteorder(endianness))
    image = kind(voxels, affine, header)
    for key, value in fields.items():
        image.header[key] = value
    return image.to_bytes()


def ramp(shape: tuple[int, ...] = SHAPE, dtype: str = "int16") -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def volume_of(content: bytes, folder: Path) -> Volume:
    """Returns what nibabel makes of a file."""
    path = folder / "a.nii"
    path.write_bytes(content)
    return Volume(path)


@functools.cache
def traced(function: Any, *signature: Any) -> Any:
    """Returns a function as a server has it: traced once, for files of any kind."""
    import tensorflow as tf

    return tf.function(function, input_signature=signature, autograph=False)
