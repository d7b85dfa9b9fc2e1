"""TensorProto ↔ NumPy arrays, by bulk copies wherever the wire format allows them.

Both forms of a TensorProto are read: `tensor_content`, and the typed fields (`float_val` …), whose last value
fills up the shape (tensorflow/core/framework/tensor.proto). Strings are object arrays of bytes.
"""

from __future__ import annotations

import functools
import math
import sys
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.framework.tensor_shape_pb2 import TensorShapeProto

# Beyond this, one small message could take any amount of memory by a shape that it does not fill.
MAX_FILLED_BYTES: Final = 256 << 20
# Up to here Python is faster than a call of TensorFlow's reader in C++.
_MAX_FEW: Final = 1000

# By dtype, the field of its values, and whether its packed form on the wire is the array's own memory.
_FIELDS: Final = {
    np.dtype(dtype.as_numpy_dtype): (dtype.as_datatype_enum, field, is_fixed_width)
    for dtypes, field, is_fixed_width in (
        ((tf.float32,), "float_val", True),
        ((tf.float64,), "double_val", True),
        ((tf.complex64,), "scomplex_val", True),
        ((tf.complex128,), "dcomplex_val", True),
        ((tf.bool,), "bool_val", True),
        ((tf.int8, tf.int16, tf.int32, tf.uint8, tf.uint16), "int_val", False),
        ((tf.int64,), "int64_val", False),
        ((tf.uint32,), "uint32_val", False),
        ((tf.uint64,), "uint64_val", False),
        ((tf.float16, tf.bfloat16), "half_val", False),  # their bits
        ((tf.string,), "string_val", False),
    )
    for dtype in dtypes
}
_NO_FIELD: Final = (0, "", False)
_IN_PARTS: Final = ("", "half_val", "scomplex_val", "dcomplex_val")
_FIRST_REFERENCE: Final = 100  # tensorflow/core/framework/types.proto
_MAX_RANK: Final = 32  # NumPy's
_LENGTH_DELIMITED: Final = 2  # protobuf.dev/programming-guides/encoding


class TensorError(ValueError):
    """A TensorProto does not describe a tensor."""


def read_tensor(proto: TensorProto) -> NDArray[Any]:
    """Returns the array that a TensorProto describes, read-only where it is no copy; raises TensorError."""
    dtype, shape = _numpy_dtype(proto.dtype), _shape(proto.tensor_shape)
    # NumPy counts no dimension of 0 in this.
    if math.prod(filter(None, shape)) * dtype.itemsize > sys.maxsize:
        raise TensorError(f"the shape {shape} is too large")
    content = proto.tensor_content
    if not dtype.hasobject and (content or 0 in shape):
        return _from_content(content, dtype, shape)
    return _from_fields(proto, dtype, shape)


def write_tensor(proto: TensorProto, array: NDArray[Any], *, as_content: bool) -> None:
    """Fills an empty TensorProto; `as_content`: numbers as `tensor_content`, not in typed fields."""
    enum, field, is_fixed_width = _FIELDS.get(array.dtype, _NO_FIELD)
    proto.dtype = enum or tf.as_dtype(array.dtype).as_datatype_enum
    add_dim = proto.tensor_shape.dim.add
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        add_dim(size=size)
    if field != "string_val" and (as_content or not field):
        proto.tensor_content = array.tobytes()
    elif is_fixed_width:
        content = array.tobytes()
        proto.MergeFromString(_tag(field) + _varint(len(content)) + content)
    else:
        bits = array.view(np.uint16) if field == "half_val" else array
        getattr(proto, field).extend(bits.ravel().tolist())


def _from_content(content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise TensorError(f"{len(content)} bytes of content do not fill {dtype}{list(shape)}")
    return np.frombuffer(content, dtype).reshape(shape)


def _from_fields(proto: TensorProto, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    num_bytes = proto.ByteSize()
    if math.prod(shape) * dtype.itemsize > max(MAX_FILLED_BYTES, 16 * num_bytes):
        raise TensorError(f"{num_bytes} bytes cannot fill the shape {shape}")
    few = _from_few_values(proto, dtype, shape)
    if few is not None:
        return few
    try:
        parsed = tf.io.parse_tensor(proto.SerializeToString(), tf.as_dtype(proto.dtype)).numpy()
    except tf.errors.OpError as error:
        raise TensorError(error.message) from error
    # A scalar is no array here, and a string's is bytes; quantized numbers are plain ones to NumPy.
    return np.asarray(parsed, object) if dtype.hasobject else np.asarray(parsed).view(dtype)


def _from_few_values(proto: TensorProto, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Returns the array if its values are few, all there, and each one a number or string of the field."""
    _, field, _ = _FIELDS.get(dtype, _NO_FIELD)
    if field in _IN_PARTS:
        return None
    values = getattr(proto, field)
    if len(values) > _MAX_FEW or len(values) != math.prod(shape):
        return None
    # An int_val that the dtype cannot hold wraps around, as in C++.
    array = np.array(values[:], np.int64 if field == "int_val" else dtype)
    return array.astype(dtype, copy=False).reshape(shape)


@functools.lru_cache
def _numpy_dtype(enum: int) -> np.dtype[Any]:
    try:
        dtype = tf.as_dtype(enum)
    except TypeError as error:
        raise TensorError(f"no such dtype: {enum}") from error
    if dtype in (tf.resource, tf.variant) or enum > _FIRST_REFERENCE:
        raise TensorError(f"{dtype.name} cannot be sent")
    return np.dtype(dtype.as_numpy_dtype)


def _shape(proto: TensorShapeProto) -> tuple[int, ...]:
    shape = tuple([dim.size for dim in proto.dim])
    if proto.unknown_rank or (shape and min(shape) < 0):
        raise TensorError("the shape is not fully defined")
    if len(shape) > _MAX_RANK:
        raise TensorError(f"expected a rank of {_MAX_RANK} at most, got {len(shape)}")
    return shape


@functools.lru_cache
def _tag(field: str) -> bytes:
    return bytes([TensorProto.DESCRIPTOR.fields_by_name[field].number << 3 | _LENGTH_DELIMITED])


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
