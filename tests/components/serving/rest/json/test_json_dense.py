"""Tensors of numbers, read at once: the same as by way of lists, or not at all."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from components.serving.errors import ServingError
from components.serving.rest.json.dense import fill_dense, parse_dense
from components.serving.rest.json.document import MAX_VALUES, parse_object
from components.serving.rest.json.tensors import fill_inputs, signature_name

DTYPES = ["float32", "float64", "bfloat16", "uint8", "int32", "int64", "uint64", "bool", "string"]
# Beside the plain ones: none of JSON, beyond int64, beyond 64 bits, beyond float64, rounded twice by float32.
NUMBERS = ["0", "1", "-1", "2.5", "-0", "-0.0", "1e2", "1E-3", "01", "1.", "+1", "9223372036854775807",
           "9223372036854775808", "18446744073709551616", "1e400", "1e39", "9007199791611905"]  # fmt: skip


def by_lists(body: bytes, dtype: str) -> PredictRequest | None:
    request = PredictRequest()
    try:
        document = parse_object(body)
        request.model_spec.signature_name = signature_name(document)
        fill_inputs(request, document, inputs(dtype))
    except ServingError:
        return None
    return request


def at_once(body: bytes, dtype: str) -> PredictRequest | None:
    dense, request = parse_dense(body), PredictRequest()
    if dense is None or not fill_dense(request, dense.numbers, inputs(dtype)):
        return None
    request.model_spec.signature_name = dense.signature_name
    return request


def inputs(dtype: str) -> dict[str, TensorInfo]:
    return {"x": TensorInfo(dtype=tf.as_dtype(dtype).as_datatype_enum)}


def written(value: Any) -> str:
    return f"[{','.join(map(written, value))}]" if isinstance(value, list) else value


@given(
    st.recursive(st.sampled_from(NUMBERS), lambda inner: st.lists(inner, max_size=3), max_leaves=12),
    st.sampled_from(DTYPES),
)
def test_what_is_read_at_once_is_what_lists_give(value: Any, dtype: str) -> None:
    body = f'{{"instances": {written(value)}}}'.encode()
    found = at_once(body, dtype)
    assert found is None or found == by_lists(body, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("shape", [(1,), (3, 1), (2, 3, 4), (1,) * 32])
def test_rectangles_of_numbers_are_read_at_once(shape: tuple[int, ...], dtype: str) -> None:
    value = np.random.default_rng(0).normal(scale=1e3, size=shape).astype(dtype).tolist()
    for document in (
        {"instances": value},
        {"inputs": value, "signature_name": "f"},
        {"signature_name": "f", "instances": value},
    ):
        for indent in (None, 1):
            body = json.dumps(document, indent=indent).encode()
            found = at_once(body, dtype)
            assert found is not None
            assert found == by_lists(body, dtype)


def test_rows_are_told_from_columns() -> None:
    rows, columns = parse_dense(b'{"instances": [1]}'), parse_dense(b'{"inputs": [1]}')
    assert rows is not None
    assert columns is not None
    assert (rows.in_rows, columns.in_rows) == (True, False)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[1]",
        '{"inputs": 1}',
        '{"instances": []}',
        '{"instances": [[], []]}',
        '{"instances": [[1], 2]}',
        '{"instances": [1, [2]]}',
        '{"instances": [[1], [2, 3]]}',
        '{"instances": [[1, 2], [3]]}',
        '{"instances": [1, true]}',
        '{"instances": [1, null]}',
        '{"instances": [1, "2"]}',
        '{"instances": [1, {}]}',
        '{"instances": [1, NaN]}',
        '{"instances": [1,]}',
        '{"instances": [1}',
        '{"instances": [1]',
        '{"instances": [1]} [2]',
        '{"instances": [1 2]}',
        '{"instances": [1 , 2 3]}',
        '{"instances": [1], "instances": [2]}',
        '{"instances": [1], "inputs": [2]}',
        '{"instances": [1], "inputs": 2}',
        '{"instances": 1, "other": [2]}',
        '{"instances": [1], "output_filter": ["y"]}',
        '{"instances": [1], "signature_name": 2}',
        '{"instances": {"x": [1]}}',
        '{"other": {"instances": [1]}, "instances": 2}',
        '{"instances": [1], "signature_name": "]"}',
        '{"instances": ' + "[" * 33 + "1" + "]" * 33 + "}",
        '{"instances": ' + "[" * 3000 + "1" + "]" * 3000 + "}",
    ],
)
def test_all_else_is_left_to_lists(body: str) -> None:
    assert parse_dense(body.encode()) is None


def test_lists_that_do_not_keep_what_the_first_one_promises_take_no_memory() -> None:
    # As a rectangle these would be 10^11 numbers.
    first = "[" + "0," * 99_999 + "0]"
    assert parse_dense(f'{{"instances": [[{first}], {",".join(["0"] * 1_000_000)}]}}'.encode()) is None


def test_too_many_values_are_left_to_the_error() -> None:
    assert parse_dense(b'{"instances": [0' + b",0" * (MAX_VALUES + 1) + b"]}") is None


def test_a_model_of_many_inputs_is_left_to_the_error() -> None:
    two = {**inputs("float32"), "y": TensorInfo(dtype=tf.float32.as_datatype_enum)}
    assert not fill_dense(PredictRequest(), np.float64([1]), two)
