"""TensorProto ↔ arrays, against TensorFlow's own reader and writer."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework.tensor_pb2 import TensorProto

from components.serving.models.tensors import TensorError, read_tensor, write_tensor

NUMBERS = [
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


def written(array: np.ndarray, *, as_content: bool) -> TensorProto:
    proto = TensorProto()
    write_tensor(proto, array, as_content=as_content)
    return TensorProto.FromString(proto.SerializeToString())


def assert_same(got: np.ndarray, expected: np.ndarray) -> None:
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    assert got.tobytes() == expected.tobytes() if expected.dtype != object else (got == expected).all()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(NUMBERS).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)),
    st.booleans(),
)
def test_numbers_survive_bit_for_bit_and_tensorflow_reads_them(array: np.ndarray, as_content: bool) -> None:
    proto = written(array, as_content=as_content)
    assert_same(read_tensor(proto), array)
    assert_same(tf.io.parse_tensor(proto.SerializeToString(), array.dtype).numpy(), array)


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(object, SHAPES, elements=st.binary(max_size=8)), st.booleans())
def test_strings_survive(array: np.ndarray, as_content: bool) -> None:
    assert_same(read_tensor(written(array, as_content=as_content)), array)


def test_bfloat16_travels_as_its_bits() -> None:
    array = np.array([1.5, -2.0, np.inf], ml_dtypes.bfloat16)
    proto = written(array, as_content=False)
    assert list(proto.half_val) == [0x3FC0, 0xC000, 0x7F80]
    assert_same(read_tensor(proto), array)


@pytest.mark.parametrize("num_values", [0, 1, 3, 3000, 6000, 7000])
def test_typed_fields_mean_what_they_mean_to_tensorflow(num_values: int) -> None:
    proto = TensorProto(dtype=tf.float32.as_datatype_enum, float_val=range(num_values))
    proto.tensor_shape.CopyFrom(tf.TensorShape([2, 3000]).as_proto())
    assert_same(read_tensor(proto), tf.io.parse_tensor(proto.SerializeToString(), tf.float32).numpy())


@pytest.mark.parametrize("shape", [[], [1], [2]])
@pytest.mark.parametrize(
    "fields",
    [{}, {"string_val": [b"a"]}, {"string_val": [b"a", b"b"]}, {"tensor_content": b"\x01a"}],
    ids=["nothing", "one value", "two values", "content"],
)
def test_strings_in_their_long_form_mean_what_they_mean_to_tensorflow(fields: dict, shape: list[int]) -> None:
    proto = TensorProto(dtype=tf.string.as_datatype_enum, **fields)
    proto.tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    if "tensor_content" in fields and shape == [2]:
        proto.tensor_content = b"\x01\x02abb"  # the lengths come first
    expected = tf.io.parse_tensor(proto.SerializeToString(), tf.string).numpy()
    assert_same(read_tensor(proto), np.asarray(expected, object))


BAD = {
    "no dtype": {"dtype": 0},
    "unknown dtype": {"dtype": 1000},
    "resource": {"dtype": tf.resource.as_datatype_enum},
    "reference": {"dtype": 101},
    "unknown rank": {"tensor_shape": tf.TensorShape(None).as_proto()},
    "unknown size": {"tensor_shape": tf.TensorShape([None]).as_proto()},
    "rank": {"tensor_shape": tf.TensorShape([1] * 200).as_proto()},
    "short content": {"tensor_content": b"123"},
    "string content": {"dtype": tf.string.as_datatype_enum, "tensor_content": b"\x09x"},
    "bomb": {"tensor_shape": tf.TensorShape([2**40]).as_proto()},
    "overflow of nothing": {"tensor_shape": tf.TensorShape([0, 2**62, 2**62]).as_proto()},
    "overflow": {"tensor_shape": tf.TensorShape([2**62, 2**62]).as_proto()},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD)
def test_what_is_no_tensor_is_refused(changes: dict) -> None:
    fields = {"dtype": 1, "float_val": [1.0], "tensor_shape": tf.TensorShape([1]).as_proto(), **changes}
    with pytest.raises(TensorError):
        read_tensor(TensorProto(**fields))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_tensor_or_a_tensor_error(serialized: bytes) -> None:
    proto = TensorProto()
    try:
        proto.MergeFromString(serialized)
        read_tensor(proto)
    except (TensorError, DecodeError):
        pass
