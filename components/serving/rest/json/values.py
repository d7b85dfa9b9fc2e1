"""Parsed JSON values → arrays, whole lists at once."""

from __future__ import annotations

import itertools
import struct
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework.types_pb2 import DataType

from components.serving.errors import ServingError
from components.serving.rest.json.document import format_error
from components.serving.rest.json.strings import base64_bytes, is_base64, string_bytes

MAX_RANK: Final = 32  # NumPy's
_FLOATS: Final = (tf.float32, tf.float64, tf.float16, tf.bfloat16)
_INT32: Final = (-(2**31), 2**31 - 1)
# Narrow integers are checked as int32 and wrap around, as in TensorFlow Serving.
_RANGES: Final = {
    **dict.fromkeys((tf.int8, tf.uint8, tf.int16, tf.int32), _INT32),
    tf.uint16: (0, 2**16 - 1),
    tf.uint32: (0, 2**32 - 1),
    tf.int64: (-(2**63), 2**63 - 1),
    tf.uint64: (0, 2**64 - 1),
}
# float16, bfloat16 and uint16 are more than TensorFlow Serving reads.
_READABLE: Final = {dtype.as_datatype_enum: dtype for dtype in (*_FLOATS, *_RANGES, tf.bool, tf.string)}


class Nested(NamedTuple):
    """Lists of equal lengths, unpacked; a value that is no list has the shape ()."""

    shape: tuple[int, ...]
    leaves: list[Any]


def is_readable(dtype: int) -> bool:
    """Whether JSON values can become a tensor of this dtype, by types.proto's number."""
    return dtype in _READABLE


def dtype_name(dtype: int) -> str:
    """Returns TensorFlow's name: DT_FLOAT -> "float"."""
    return DataType.Name(dtype).removeprefix("DT_").lower()


def array_of(value: Any, dtype: int) -> NDArray[Any] | None:
    """Returns the tensor that a value stands for, strings as object; None if it stands for none."""
    nested = _unpacked(value)
    leaves = None if nested is None else converted(nested.leaves, dtype)
    return None if nested is None or leaves is None else leaves.reshape(nested.shape)


def converted(leaves: list[Any], dtype: int) -> NDArray[Any] | None:
    """Returns values, none of them a list, as one array; None if any does not fit the dtype."""
    types = set(map(type, leaves))
    kind = _READABLE.get(dtype)
    if kind in _FLOATS and types <= {int, float}:
        # A third of the time of np.array.
        return cast(np.frombuffer(struct.pack(f"{len(leaves)}d", *leaves)), dtype)
    if kind in _RANGES and types <= {int}:
        return _integers(leaves, dtype)
    if kind == tf.bool and types <= {bool}:
        return np.array(leaves, np.bool_)
    if kind == tf.string and types <= {str, dict}:
        return _strings(leaves)
    return None


def cast(numbers: NDArray[Any], dtype: int) -> NDArray[Any] | None:
    """Returns numbers as this dtype; None if any does not fit it, as no float does an integer's."""
    kind = _READABLE.get(dtype)
    if kind in _FLOATS:
        with np.errstate(over="ignore"):  # beyond float32 lies infinity
            return numbers.astype(np.float64, copy=False).astype(kind.as_numpy_dtype)
    if kind is None or kind not in _RANGES or numbers.dtype.kind == "f":
        return None
    low, high = _RANGES[kind]
    if numbers.size and not (low <= int(numbers.min()) and int(numbers.max()) <= high):
        return None
    return numbers.astype(kind.as_numpy_dtype)


def decoded(value: Any) -> bytes:
    """Returns the bytes of {"b64": …}; raises ServingError for any other object."""
    if not is_base64(value):
        raise format_error(value, "not formatted correctly for base64 data")
    return base64_bytes(value)


def _unpacked(value: Any) -> Nested | None:
    shape: tuple[int, ...] = ()
    leaves = [value]
    while leaves and isinstance(leaves[0], list):
        sizes = set(map(len, leaves)) if set(map(type, leaves)) == {list} else set()
        if len(sizes) != 1 or len(shape) == MAX_RANK:
            return None
        shape += (sizes.pop(),)
        leaves = list(itertools.chain.from_iterable(leaves))
    return Nested(shape, leaves)


def _integers(leaves: list[int], dtype: int) -> NDArray[Any] | None:
    is_large = dtype == tf.uint64.as_datatype_enum and min(leaves, default=0) >= 0
    try:
        return cast(np.array(leaves, np.uint64 if is_large else np.int64), dtype)
    except OverflowError:
        return None


def _strings(leaves: list[Any]) -> NDArray[np.object_] | None:
    array = np.empty(len(leaves), object)
    try:
        array[:] = [string_bytes(leaf) if isinstance(leaf, str) else decoded(leaf) for leaf in leaves]
    except ServingError:
        return None
    return array
