"""Responses → JSON, byte for byte in the layout of RapidJSON's PrettyWriter."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from hypothesis import given
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis.classification_pb2 import ClassificationResult
from tensorflow_serving.apis.regression_pb2 import RegressionResult

from components.serving.errors import ServingError
from components.serving.rest.json import answers as json_answers


def tensors(**values: Any) -> dict[str, TensorProto]:
    return {name: tf.make_tensor_proto(value) for name, value in values.items()}


def rows(**values: Any) -> str:
    return json_answers.predictions_json(tensors(**values)).decode()


def columns(**values: Any) -> str:
    return json_answers.outputs_json(tensors(**values)).decode()


def test_rows_of_one_output_lose_its_name() -> None:
    assert rows(y=np.float32([[1, 2.5], [3, 4]])) == '{\n    "predictions": [[1.0, 2.5], [3.0, 4.0]\n    ]\n}'
    assert rows(y=np.int64([2**63 - 1, -1])) == '{\n    "predictions": [9223372036854775807, -1\n    ]\n}'


def test_rows_of_several_outputs_are_objects() -> None:
    expected = """{
    "predictions": [
        {
            "a_bytes": {
                "b64": "/w=="
            },
            "b": [true]
        },
        {
            "a_bytes": {
                "b64": ""
            },
            "b": [false]
        }
    ]
}"""
    assert rows(b=[[True], [False]], a_bytes=[b"\xff", b""]) == expected


def test_columns_have_each_value_on_its_line() -> None:
    expected = """{
    "outputs": [
        [
            1.0
        ],
        [
            2.0
        ]
    ]
}"""
    assert columns(y=np.float32([[1], [2]])) == expected
    assert columns(y=np.uint8(5)) == '{\n    "outputs": 5\n}'


def test_columns_of_several_outputs_are_an_object() -> None:
    assert columns(b=[b"x\n\xc3\xa9"], a=np.float64(0.1)) == (
        '{\n    "outputs": {\n        "a": 0.1,\n        "b": [\n            "x\\né"\n        ]\n    }\n}'
    )


def test_nothing_is_an_empty_list() -> None:
    assert rows(y=np.zeros([0, 2], np.float32)) == '{\n    "predictions": []\n}'
    assert rows(y=np.zeros([2, 0], np.float32)) == '{\n    "predictions": [[], []\n    ]\n}'
    assert rows(a=np.zeros([0]), b=np.zeros([0])) == '{\n    "predictions": []\n}'
    assert columns(y=np.zeros([0, 2], np.float32)) == '{\n    "outputs": []\n}'
    assert json.loads(columns(y=np.zeros([2, 0, 3], np.int32))) == {"outputs": [[], []]}


def test_strings_that_are_no_utf_8_pass_through() -> None:
    assert json_answers.outputs_json(tensors(y=b"\xff\x00")) == b'{\n    "outputs": "\xff\\u0000"\n}'


def test_outputs_that_make_no_rows_are_refused() -> None:
    with pytest.raises(ServingError, match=r"^Tensor name: y has no shape information $"):
        rows(y=np.float32(1))
    with pytest.raises(ServingError, match=r"^Tensor name: z has inconsistent batch size: 3 expecting: 2$"):
        rows(y=[1, 2], z=[1, 2, 3])
    with pytest.raises(ServingError, match=r"^Cannot convert empty tensor map to JSON$"):
        rows()
    with pytest.raises(ServingError, match=r"^Failed to write JSON value for tensor type: complex64$"):
        columns(y=np.complex64([1]))


@given(
    hnp.arrays(
        hnp.integer_dtypes(endianness="=") | hnp.boolean_dtypes(),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
    )
)
def test_both_layouts_read_back(array: np.ndarray) -> None:
    proto = {
        "y": TensorProto(dtype=tf.as_dtype(array.dtype).as_datatype_enum, tensor_content=array.tobytes())
    }
    proto["y"].tensor_shape.SetInParent()
    for size in array.shape:
        proto["y"].tensor_shape.dim.add().size = size
    assert json.loads(json_answers.outputs_json(proto)) == {"outputs": array.tolist()}
    if array.ndim:
        assert json.loads(json_answers.predictions_json(proto)) == {"predictions": array.tolist()}


def test_classifications() -> None:
    result = ClassificationResult()
    for label, score in (("a", 0.1), ("b", 1)):
        result.classifications.add().classes.add(label=label, score=score)
    result.classifications.add()
    expected = '{\n    "results": [[["a", 0.1]], [["b", 1.0]], []\n    ]\n}'
    assert json_answers.classification_json(result).decode() == expected
    with pytest.raises(ServingError, match=r"^Cannot convert empty ClassificationResults to JSON$"):
        json_answers.classification_json(ClassificationResult())


def test_regressions() -> None:
    result = text_format.Parse("regressions { value: 0.1 } regressions { value: -2 }", RegressionResult())
    assert json_answers.regression_json(result).decode() == '{\n    "results": [0.1, -2.0]\n}'
    with pytest.raises(ServingError, match=r"^Cannot convert empty RegressionResults to JSON$"):
        json_answers.regression_json(RegressionResult())


def test_errors_are_escaped() -> None:
    assert json_answers.error_json('a "b"\n\udcff') == b'{\n    "error": "a \\"b\\"\\n?"\n}'
