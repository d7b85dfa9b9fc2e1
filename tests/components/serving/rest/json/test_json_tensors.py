"""JSON → tensors: every dtype and form, and the words for what does not fit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from components.serving.errors import ServingError
from components.serving.models.tensors import read_tensor
from components.serving.rest.json.document import parse_object
from components.serving.rest.json.tensors import fill_inputs, output_filter, signature_name

NUMBERS = ["float32", "float64", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"]


def read(body: str | dict[str, Any], **dtypes: str) -> dict[str, np.ndarray]:
    document = parse_object((body if isinstance(body, str) else json.dumps(body)).encode())
    request = PredictRequest()
    inputs = {
        name: TensorInfo(dtype=tf.as_dtype(dtype).as_datatype_enum)
        for name, dtype in (dtypes or {"x": "float32"}).items()
    }
    fill_inputs(request, document, inputs)
    return {name: read_tensor(tensor) for name, tensor in request.inputs.items()}


def message(body: str | dict[str, Any], **dtypes: str) -> str:
    with pytest.raises(ServingError) as caught:
        read(body, **dtypes)
    assert caught.value.code.name in ("INVALID_ARGUMENT", "UNIMPLEMENTED")
    return caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        '{"instances": [[1, 2], [3, 4], [5, 6]]}',
        '{"instances": [{"x": [1, 2]}, {"x": [3, 4]}, {"x": [5, 6]}]}',
        '{"inputs": [[1, 2], [3, 4], [5, 6]]}',
        '{"inputs": {"x": [[1, 2], [3, 4], [5, 6]], "ignored": "y"}, "also ignored": 1}',
    ],
)
@pytest.mark.parametrize("dtype", [*NUMBERS, "uint16", "float16", "bfloat16"])
def test_every_form_and_number_makes_the_same_tensor(body: str, dtype: str) -> None:
    tensor = read(body, x=dtype)["x"]
    assert tensor.dtype == tf.as_dtype(dtype).as_numpy_dtype
    assert tensor.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_scalars_and_base64_come_in_columns_without_lists() -> None:
    assert read('{"inputs": 2.5}')["x"] == 2.5
    assert read('{"inputs": {"b64": "aGVsbG8="}}', x="string")["x"].item() == b"hello"
    assert (
        read('{"inputs": {"x": {"b64": "aGVsbG8="}, "y": "é"}}', x="string", y="string")["y"].item()
        == "é".encode()
    )


def test_strings_and_base64_may_be_mixed() -> None:
    body = '{"instances": [["a", {"b64": "/w"}], [{"b64": " aGk = "}, ""]]}'
    assert read(body, x="string")["x"].tolist() == [[b"a", b"\xff"], [b"hi", b""]]


def test_rows_of_several_inputs_become_columns() -> None:
    rows = [
        {"i": [[1, 2]], "s": ["a"], "f": float("nan"), "b": True},
        {"i": [[3, 4]], "s": ["b"], "f": 2, "b": False},
    ]
    tensors = read({"instances": rows}, i="int32", s="string", f="float64", b="bool")
    assert tensors["i"].tolist() == [[[1, 2]], [[3, 4]]]
    assert tensors["s"].tolist() == [[b"a"], [b"b"]]
    assert np.array_equal(tensors["f"], [np.nan, 2], equal_nan=True)
    assert tensors["b"].tolist() == [True, False]


def test_empty_lists_are_empty_tensors() -> None:
    assert read('{"instances": [[], []]}')["x"].shape == (2, 0)
    assert read('{"inputs": []}', x="int64")["x"].shape == (0,)
    assert read('{"inputs": [[[], []]]}', x="string")["x"].shape == (1, 2, 0)


def test_what_is_beyond_float32_is_infinite() -> None:
    assert read('{"inputs": [1e300, -1e39, 16777217]}')["x"].tolist() == [np.inf, -np.inf, 16777216]


def test_integers_are_exact_to_their_last_bit() -> None:
    assert read({"inputs": [2**63 - 1, -(2**63)]}, x="int64")["x"].tolist() == [2**63 - 1, -(2**63)]
    assert read({"inputs": [2**64 - 1, 0]}, x="uint64")["x"].tolist() == [2**64 - 1, 0]
    assert read({"inputs": [2**53 + 1]}, x="float64")["x"].tolist() == [2.0**53]


def test_narrow_integers_wrap_around_as_in_tensorflow_serving() -> None:
    assert read('{"inputs": [300, -1]}', x="uint8")["x"].tolist() == [44, 255]


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ('"a"', "float32", '"a" Type: String is not of expected type: float'),
        ("true", "float32", "true Type: True is not of expected type: float"),
        ("null", "float64", "null Type: Null is not of expected type: double"),
        ("1.0", "int32", "1.0 Type: Number is not of expected type: int32"),
        ("false", "int64", "false Type: False is not of expected type: int64"),
        ("2147483648", "int32", "2147483648 Type: Number is not of expected type: int32"),
        ("9223372036854775808", "int64", "9223372036854775808 Type: Number is not of expected type: int64"),
        ("-1", "uint32", "-1 Type: Number is not of expected type: uint32"),
        ("-1", "uint64", "-1 Type: Number is not of expected type: uint64"),
        ("1", "bool", "1 Type: Number is not of expected type: bool"),
        ("1", "string", "1 Type: Number is not of expected type: string"),
        ('{"b64": "AA=="}', "int32", '{\n    "b64": "AA=="\n} Type: Object is not of expected type: int32'),
    ],
)
def test_values_of_another_type_are_named(value: str, dtype: str, expected: str) -> None:
    found = message(f'{{"inputs": {{"x": [{value}]}}}}', x=dtype)
    assert found == f"JSON Value: {expected}"


def test_a_bool_among_numbers_is_found() -> None:
    body = {"instances": [[1.0] * 500, [1.0] * 499 + [True]]}
    assert message(body) == (
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON Value: true Type: True is not of expected type: float"
    )


def test_dtypes_that_json_has_no_values_for_are_unimplemented() -> None:
    assert message('{"inputs": [1]}', x="complex64") == "Conversion of JSON Value: 1 to type: complex64"
    assert message('{"instances": [1]}', x="complex64") == (
        "Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: "
        "Conversion of JSON Value: 1 to type: complex64"
    )


ROW = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: {}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"instances": [[1, 2], [3]]}', ROW.format(1, "Expecting tensor size: 2 but got: 1")),
        ('{"instances": [[1, 2], [[3, 4]]]}', ROW.format(1, "Expecting shape [2] but got: [1,2]")),
        ('{"instances": [1, [1]]}', ROW.format(1, "Expecting shape [] but got: [1]")),
        (
            '{"instances": [[[1], [2, 3]]]}',
            ROW.format(0, "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        ),
        ('{"instances": [[1, [2]]]}', ROW.format(0, "Encountered list at unexpected level: 1 expected < 1")),
        (
            '{"instances": [[[1], 2]]}',
            ROW.format(0, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ),
        ('{"instances": [{"y": 1}]}', ROW.format("0 key: y", "JSON object: does not have named input: y")),
        ('{"instances": [1, {"x": 1}]}', "Expecting value/list but got object at item 1 of input list"),
        ('{"instances": [{"x": 1}, 1]}', "Expecting object but got list at item 1 of input list"),
        (
            '{"instances": 1}',
            "JSON Value: {\n    \"instances\": 1\n} Excepting 'instances' to be an list/array",
        ),
        ('{"instances": []}', "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        ('{"inputs": {}}', "Missing named input: x in 'inputs' object."),
        ("{}", "Missing 'inputs' or 'instances' key"),
        (
            '{"instances": [1], "inputs": 1}',
            'JSON Value: {\n    "instances": [\n        1\n    ],\n    "inputs": 1\n} Not formatted '
            "correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
    ],
)
def test_what_does_not_fit_is_said_as_tensorflow_serving_says_it(body: str, expected: str) -> None:
    assert message(body) == expected


def test_several_inputs_must_be_named() -> None:
    many = "as multiple input tensors required as per tensorinfo_map"
    dtypes = {"a": "int32", "b": "int32"}
    assert message('{"instances": [1]}', **dtypes) == (
        f"instances is a plain list, but expecting list of objects {many}"
    )
    assert (
        message('{"inputs": 1}', **dtypes) == f"inputs is a plain value/list, but expecting an object {many}"
    )
    assert message('{"instances": [{"a": 1}]}', **dtypes) == (
        "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"a\": 1\n} "
        "keys must be equal to: a,b"
    )


def test_bad_base64_is_refused() -> None:
    assert message('{"inputs": {"b64": "a"}}', x="string") == "Unable to base64 decode"
    assert message('{"inputs": [{"b64": "AA="}]}', x="string") == "Unable to base64 decode"
    assert message('{"inputs": [{"b64": 1}]}', x="string") == (
        'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data'
    )


def test_a_signature_without_inputs_is_refused() -> None:
    with pytest.raises(ServingError, match=r"^Failed to get input map for signature: DEFAULT$"):
        fill_inputs(PredictRequest(), {"inputs": 1}, {})


def test_nesting_deeper_than_tensors_can_be_is_refused() -> None:
    for depth in (33, 400, 900):
        assert "nested lists, expected 32 at most" in message(
            '{"inputs": ' + "[" * depth + "1" + "]" * depth + "}"
        )


def test_names_of_signatures_and_outputs_must_be_strings() -> None:
    assert signature_name({}) == ""
    assert signature_name({"signature_name": "s"}) == "s"
    with pytest.raises(
        ServingError, match=r"not formatted correctly. 'signature_name' key must be a string value.$"
    ):
        signature_name({"signature_name": 5})
    assert output_filter({"output_filter": ["a", "b"]}) == ["a", "b"]
    with pytest.raises(ServingError, match="'output_filter' must be a list of strings"):
        output_filter({"output_filter": "a"})


def arrays(dtype: str) -> Any:
    # JSON has one NaN.
    elements = {"allow_nan": False} if dtype.startswith("float") else None
    return hnp.arrays(
        dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4), elements=elements
    )


@given(st.sampled_from([*NUMBERS, "bool"]).flatmap(arrays))
def test_arrays_written_as_json_come_back(array: np.ndarray) -> None:
    # A list says nothing of the dimensions after one of size 0.
    shape = array.shape[: array.shape.index(0) + 1] if 0 in array.shape else array.shape
    expected = array.reshape(shape)
    assert np.array_equal(read({"inputs": array.tolist()}, x=array.dtype.name)["x"], expected)
    if len(array):
        assert np.array_equal(read({"instances": array.tolist()}, x=array.dtype.name)["x"], expected)


VALUES = st.recursive(
    st.sampled_from([0, 1, -1, 1.5, True, None, "a", {"b64": "AA=="}, {"b64": 1}, {"x": 1}, 2**64, 1e300]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(VALUES, min_size=1, max_size=4), st.sampled_from([*NUMBERS, "bool", "string"]))
def test_any_rows_are_a_tensor_or_a_bad_request_that_names_the_fault(rows: list[Any], dtype: str) -> None:
    fault = ""
    try:
        tensor = read({"instances": rows}, x=dtype)["x"]
        assert len(tensor) == len(rows)
    except ServingError as error:
        fault = error.message
    assert "do not fit" not in fault


def test_tensors_travel_as_content() -> None:
    request = PredictRequest()
    fill_inputs(request, {"inputs": [1.0, 2.0]}, {"x": TensorInfo(dtype=tf.float32.as_datatype_enum)})
    expected = TensorProto(dtype=1, tensor_content=np.float32([1, 2]).tobytes())
    expected.tensor_shape.dim.add().size = 2
    assert request.inputs["x"] == expected
