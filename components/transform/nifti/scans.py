"""Scans of NIfTI files as raw features, raw features as files, and labels in a file's own axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import tensorflow as tf

from components.transform.nifti.header import DECODED, START_BYTES, Header, read_header, uncompressed
from components.transform.nifti.orientation import orientation_of, to_canonical, to_file_axes
from components.transform.raw_bytes import checked, to_bytes, to_int16

# That are decoded at once, so that what they are on the way does not fill the memory.
_CHUNK: Final = 1 << 20
_RAW: Final = (
    tf.TensorSpec([], tf.string),
    tf.TensorSpec([3], tf.int64),
    tf.TensorSpec([3], tf.float32),
)
_HEADER: Final = Header(
    shape=tf.TensorSpec([3], tf.int64),
    stored_as=tf.TensorSpec([], tf.int32),
    offset=tf.TensorSpec([], tf.int64),
    slope=tf.TensorSpec([], tf.float32),
    intercept=tf.TensorSpec([], tf.float32),
    affine_mm=tf.TensorSpec([3, 3], tf.float64),
)


def read_scans(files: Any) -> tuple[Any, Any, Any]:
    """Returns the raw features of files, string[batch]: image string[batch], shape and spacing_mm [batch, 3].

    An image has the bytes of int16[depth, height, width]: voxels that are rounded, and clipped to what int16
    has. The call is an InvalidArgumentError where a file is cut off, has voxels that are not finite, or
    another header than can be used (`components/transform/nifti/header.py`).
    """

    def raw(file: Any) -> tuple[Any, Any, Any]:
        voxels, spacing_mm = read_scan(file)
        return to_bytes(voxels), tf.shape(voxels, tf.int64), spacing_mm

    # One after another: unpacked files are not to be in memory at once.
    return tf.map_fn(raw, files, fn_output_signature=_RAW, parallel_iterations=1)


def read_scan(file: Any) -> tuple[Any, Any]:
    """Returns voxels int16[depth, height, width] and their spacing_mm float32[3] of a file, string."""
    header = read_header(file)
    orientation = orientation_of(header.affine_mm)
    spacing_mm = tf.gather(tf.norm(header.affine_mm, axis=0), orientation.file_axes)
    # The axis that is the fastest in a file is the last one here.
    in_file = tf.reshape(_voxels(uncompressed(file), header), header.shape[::-1])
    return to_canonical(in_file, orientation), tf.cast(spacing_mm, tf.float32)


def labels_of_files(files: Any, labels: Any) -> Any:
    """Returns labels uint8[batch, depth, height, width] in the axes of their files, string[batch].

    All are padded with 0 to the largest of the batch.
    """
    starts = tf.strings.substr(files, 0, START_BYTES)
    headers = tf.map_fn(read_header, starts, fn_output_signature=_HEADER)
    largest = tf.reduce_max(headers.shape, axis=0)

    def turned(each: tuple[Header, Any]) -> Any:
        header, label = each
        orientation = orientation_of(header.affine_mm)
        depth, height, width = tf.unstack(tf.gather(header.shape, orientation.file_axes))
        return filled(to_file_axes(label[:depth, :height, :width], orientation), largest)

    return tf.map_fn(turned, (headers, labels), fn_output_signature=tf.TensorSpec([None] * 3, tf.uint8))


def filled(voxels: Any, shape: Any) -> Any:
    """Returns a volume with 0 behind it, up to a shape, int64[3]."""
    missing = shape - tf.shape(voxels, tf.int64)
    return tf.pad(voxels, tf.stack([tf.zeros_like(missing), missing], axis=1))


def write_scan(voxels: Any, spacing_mm: Any) -> Any:
    """Returns a NIfTI file, string, of voxels int16[depth, height, width] and their spacing float32[3].

    Its first axis goes to the right, its second to the front, its third to the head.
    """
    sizes = tf.concat([[3], tf.shape(voxels)[::-1], [1, 1, 1, 1]], axis=0)
    spacing = spacing_mm[::-1]
    affine = tf.concat([tf.linalg.diag(spacing), tf.zeros((3, 1))], axis=1)
    return tf.strings.join(
        [
            _between(0, 40),
            to_bytes(tf.cast(sizes, tf.int16)),
            _between(56, 76),
            to_bytes(tf.concat([[1.0], spacing, tf.zeros(4)], axis=0)),
            _between(108, 280),
            to_bytes(affine),
            _between(328, 352),
            to_bytes(voxels),
        ]
    )


def _voxels(content: Any, header: Header) -> Any:
    """Returns the voxels, int16[any number], in the order in which the content of a file has them."""
    item_bytes = tf.gather([dtype.size for dtype, _ in DECODED], header.stored_as)
    item_bytes = tf.cast(item_bytes, tf.int64)
    number = _number(content, header, item_bytes)

    def add(index: Any, chunks: Any) -> tuple[Any, Any]:
        first = index * _CHUNK
        length = tf.minimum(number - first, _CHUNK) * item_bytes
        stored = tf.strings.substr(content, header.offset + first * item_bytes, length)
        decoders = [_decoder(stored, header, *each) for each in DECODED]
        return index + 1, chunks.write(tf.cast(index, tf.int32), tf.switch_case(header.stored_as, decoders))

    num_chunks = -(-number // _CHUNK)
    chunks = tf.TensorArray(tf.int16, tf.cast(num_chunks, tf.int32), element_shape=[None], infer_shape=False)
    _, chunks = tf.while_loop(lambda index, _: index < num_chunks, add, (tf.zeros_like(number), chunks))
    return chunks.concat()


def _number(content: Any, header: Header, item_bytes: Any) -> Any:
    """Returns how many voxels there are; the call is an InvalidArgumentError where bytes are missing."""
    there = tf.strings.length(content)
    # Of floats, since shapes that are no shapes may multiply to more than an integer holds.
    wanted = tf.reduce_prod(tf.cast(header.shape, tf.float64)) * tf.cast(item_bytes, tf.float64)
    wanted += tf.cast(header.offset, tf.float64)
    return checked(
        tf.reduce_prod(header.shape),
        wanted <= tf.cast(there, tf.float64),
        "nifti_bytes: expected ",
        tf.strings.as_string(wanted, precision=0),
        " bytes, got ",
        tf.strings.as_string(there),
        ": a file that is cut off, or of more than 2 GiB, which `segment` takes as voxels",
    )


def _decoder(stored: Any, header: Header, dtype: tf.DType, little_endian: bool) -> Callable[[], Any]:
    """Returns what makes int16 of the bytes of some voxels."""

    def decoded() -> Any:
        # TensorFlow decodes none of these two.
        signed = {tf.uint32: tf.int32, tf.uint64: tf.int64}.get(dtype, dtype)
        values = tf.io.decode_raw(stored, signed, little_endian=little_endian)
        if dtype == tf.int16:
            is_scaled = (header.slope != 1) | (header.intercept != 0)
            return tf.cond(is_scaled, lambda: _scaled(values, header), lambda: values)
        return _scaled(tf.bitcast(values, dtype), header)

    return decoded


def _scaled(values: Any, header: Header) -> Any:
    """Returns int16 of numbers that are stored, times slope plus intercept; float32 where that holds them."""
    work = tf.float64 if values.dtype.size > 2 and values.dtype != tf.float32 else tf.float32
    numbers = tf.cast(values, work) * tf.cast(header.slope, work) + tf.cast(header.intercept, work)
    is_finite = tf.reduce_all(tf.math.is_finite(numbers))
    return to_int16(checked(numbers, is_finite, "nifti_bytes: expected finite voxels"))


def _between(start: int, stop: int) -> bytes:
    return _TEMPLATE[start:stop]


def _template() -> bytes:
    """Returns a header of version 1 for int16 in millimetres with an sform, without its shape and affine."""
    header = bytearray(352)
    for offset, value in ((0, np.int32(348)), (70, np.int16(4)), (72, np.int16(16)), (108, np.float32(352)),
                          (123, np.uint8(2)), (254, np.int16(1))):  # fmt: skip
        content = value.tobytes()
        header[offset : offset + len(content)] = content
    header[344:348] = b"n+1\0"
    return bytes(header)


_TEMPLATE: Final = _template()
