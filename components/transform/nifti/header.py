"""What stands before the voxels of a NIfTI file, of version 1 or 2, checked: shape, type, scale and place.

Format: nifti.nimh.nih.gov/nifti-1 (nifti1.h) and nifti-2 (nifti2.h).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import tensorflow as tf

from components.formats.nifti import OTHERS
from components.transform.nifti.places import affine_mm
from components.transform.raw_bytes import checked, times

# By the code of a file.
TYPES: Final[Mapping[int, tf.DType]] = {
    2: tf.uint8,
    4: tf.int16,
    8: tf.int32,
    16: tf.float32,
    64: tf.float64,
    256: tf.int8,
    512: tf.uint16,
    768: tf.uint32,
    1024: tf.int64,
    1280: tf.uint64,
}
_COLOURS: Final = (128, 2304)
_COMPLEX: Final = (32, 1792, 2048)
_NUM_AXES: Final = 3
_GZIP_MAGIC: Final = b"\x1f\x8b"
# That a header is found in. Gzipped, too, even where the header of gzip is long itself.
START_BYTES: Final = 1 << 17


class _Field(NamedTuple):
    """Numbers of a header: where they begin, how they are stored, and how many there are."""

    offset: int
    dtype: tf.DType
    number: int = 1


class _Version(NamedTuple):
    header_bytes: int
    # The first place that voxels may be at.
    least_offset: int
    # Where it is, and what it is where the voxels are in the same file.
    magic: tuple[int, bytes]
    # What 1 - |q|² may miss 0 by, of quaternions of this precision.
    rounding: float
    fields: Mapping[str, _Field]


_VERSIONS: Final = (
    _Version(
        348,
        352,
        (344, b"n+1\0"),
        3 * 2.0**-23,
        {
            "dim": _Field(40, tf.int16, 8),
            "datatype": _Field(70, tf.int16),
            "pixdim": _Field(76, tf.float32, 8),
            "vox_offset": _Field(108, tf.float32),
            "scaling": _Field(112, tf.float32, 2),
            "xyzt_units": _Field(123, tf.uint8),
            "codes": _Field(252, tf.int16, 2),
            "quaternion": _Field(256, tf.float32, 3),
            "srows": _Field(280, tf.float32, 12),
        },
    ),
    _Version(
        540,
        544,
        (4, b"n+2\0"),
        3 * 2.0**-52,
        {
            "dim": _Field(16, tf.int64, 8),
            "datatype": _Field(12, tf.int16),
            "pixdim": _Field(104, tf.float64, 8),
            "vox_offset": _Field(168, tf.int64),
            "scaling": _Field(176, tf.float64, 2),
            "xyzt_units": _Field(500, tf.int32),
            "codes": _Field(344, tf.int32, 2),
            "quaternion": _Field(352, tf.float64, 3),
            "srows": _Field(400, tf.float64, 12),
        },
    ),
)
_HEADER_BYTES: Final = max(version.header_bytes for version in _VERSIONS)


class Header(NamedTuple):
    """What a header says, as tensors."""

    # int64[3]: voxels along the file's axes, the fastest first.
    shape: Any
    # int32: which of `DECODED`.
    stored_as: Any
    # int64: where the voxels begin.
    offset: Any
    # float32: a voxel is what is stored, times the slope, plus the intercept.
    slope: Any
    intercept: Any
    # float64[3, 3]: columns are the steps to the right, front and head along the file's axes.
    affine_mm: Any


# Types and whether they are little-endian, as `Header.stored_as` counts them.
DECODED: Final = tuple((dtype, little_endian) for dtype in TYPES.values() for little_endian in (True, False))


def uncompressed(file: Any) -> Any:
    """Returns the content of a file, string, that is gzipped or not."""
    return tf.cond(
        tf.equal(tf.strings.substr(file, 0, len(_GZIP_MAGIC)), _GZIP_MAGIC),
        lambda: tf.io.decode_compressed(file, "GZIP"),
        lambda: file,
    )


def read_header(file: Any) -> Header:
    """Returns the header of a file, string, gzipped or not; its first `START_BYTES` are enough.

    The call is an InvalidArgumentError where it is no NIfTI file, one of a pair, has colours, complex
    numbers, other than three axes (further ones of length 1 are dropped), no orientation, or no spacing.
    """
    start = uncompressed(tf.strings.substr(file, 0, START_BYTES))
    start = tf.strings.substr(tf.strings.join([start, bytes(_HEADER_BYTES)]), 0, _HEADER_BYTES)
    kind = _kind(start)
    readers = [
        lambda version=version, little_endian=little_endian: _fields(start, version, little_endian)
        for version in _VERSIONS
        for little_endian in (True, False)
    ]
    fields = tf.switch_case(kind, readers)
    slope, intercept = _scaling(fields["scaling"])
    return Header(
        shape=_shape(fields["dim"]),
        stored_as=2 * _type(fields["datatype"]) + kind % 2,
        offset=_offset(fields["vox_offset"], fields["least_offset"]),
        slope=slope,
        intercept=intercept,
        affine_mm=affine_mm(fields),
    )


def _kind(start: Any) -> Any:
    """Returns version and byte order as one int32: 0 and 1 for version 1, little- and big-endian."""
    kinds = [_is_kind(start, version, order) for version in _VERSIONS for order in ("little", "big")]
    return checked(
        tf.argmax(kinds, output_type=tf.int32),
        tf.reduce_any(kinds),
        "nifti_bytes: expected a NIfTI file with its voxels, plain or gzipped, got ",
        _what_else(start),
    )


def _is_kind(start: Any, version: _Version, byte_order: Any) -> Any:
    begins = _has(start, 0, version.header_bytes.to_bytes(4, byte_order))
    return begins & _has(start, *version.magic)


def _has(start: Any, place: int, content: bytes) -> Any:
    return tf.equal(tf.strings.substr(start, place, len(content)), content)


def _what_else(start: Any) -> Any:
    found = tf.constant("another file")
    for place, magic, name in (
        *OTHERS,
        (344, b"ni1\0", "the header of a pair"),
        (4, b"ni2\0", "the header of a pair"),
    ):
        found = tf.where(_has(start, place, magic), name, found)
    return found


def _fields(start: Any, version: _Version, little_endian: bool) -> dict[str, Any]:
    """Returns the fields of a header, int64[number] or float64[number], and what goes with its version."""
    fields = {name: _field(start, field, little_endian) for name, field in version.fields.items()}
    return {
        **fields,
        "vox_offset": tf.cast(fields["vox_offset"], tf.int64),
        "least_offset": tf.constant(version.least_offset, tf.int64),
        "rounding": tf.constant(version.rounding, tf.float64),
    }


def _field(start: Any, field: _Field, little_endian: bool) -> Any:
    content = tf.strings.substr(start, field.offset, field.number * field.dtype.size)
    values = tf.io.decode_raw(content, field.dtype, little_endian=little_endian)
    values = tf.ensure_shape(values, [field.number])
    return tf.cast(values, tf.float64 if field.dtype.is_floating else tf.int64)


def _shape(dim: Any) -> Any:
    """Returns the lengths of three axes, int64[3], of how many there are and the length of each, int64[8]."""
    number = tf.clip_by_value(dim[0], 0, 7)
    sizes = dim[1 : number + 1]
    message = ("nifti_bytes: expected three axes of voxels, got ", times(sizes))
    sizes = checked(sizes, (number >= _NUM_AXES) & tf.reduce_all(sizes[_NUM_AXES:] == 1), *message)
    return checked(sizes[:_NUM_AXES], tf.reduce_all(sizes > 0), *message)


def _type(datatype: Any) -> Any:
    """Returns which of `TYPES` a code means, int32."""
    name = tf.strings.join(["type ", tf.strings.as_string(datatype[0])])
    for codes, words in ((_COLOURS, "colours"), (_COMPLEX, "complex numbers")):
        name = tf.where(tf.reduce_any(datatype == codes), words, name)
    is_type = datatype == list(TYPES)
    index = tf.argmax(is_type, output_type=tf.int32)
    return checked(index, tf.reduce_any(is_type), "nifti_bytes: expected a number for each voxel, got ", name)


def _offset(vox_offset: Any, least: Any) -> Any:
    return checked(
        vox_offset[0],
        vox_offset[0] >= least,
        "nifti_bytes: expected voxels after the header, got them at byte ",
        tf.strings.as_string(vox_offset[0]),
    )


def _scaling(scaling: Any) -> tuple[Any, Any]:
    """Returns slope and intercept, float32; 1 and 0 where a header has a slope of 0 or none."""
    is_scaled = tf.math.is_finite(scaling[0]) & (scaling[0] != 0)
    scaling = tf.cast(tf.where(is_scaled, scaling, [1.0, 0.0]), tf.float32)
    scaling = checked(
        scaling,
        tf.reduce_all(tf.math.is_finite(scaling)),
        "nifti_bytes: expected a finite slope and intercept",
    )
    return scaling[0], scaling[1]
