"""JSON → tf.Examples, as json_tensor_test.cc has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis.input_pb2 import Input

from components.serving.errors import ServingError
from components.serving.rest.json.document import parse_object
from components.serving.rest.json.examples import fill_examples


def read(body: str) -> Input:
    made = Input()
    fill_examples(made, parse_object(body.encode()))
    return made


def feature(value: str) -> Any:
    return read(f'{{"examples": [{{"f": {value}}}]}}').example_list.examples[0].features.feature["f"]


def message(body: str) -> str:
    with pytest.raises(ServingError) as caught:
        read(body)
    assert caught.value.code.name == "INVALID_ARGUMENT"
    return caught.value.message


def test_examples_with_a_context() -> None:
    found = read(
        '{"context": {"query": "q"}, "examples": [{"names": ["a", "b"], "age": 20}, {"ratings": [8.0]}]}'
    )
    expected = text_format.Parse(
        """
        example_list_with_context {
          context { features { feature { key: "query" value { bytes_list { value: "q" } } } } }
          examples { features {
            feature { key: "names" value { bytes_list { value: "a" value: "b" } } }
            feature { key: "age" value { int64_list { value: 20 } } } } }
          examples { features { feature { key: "ratings" value { float_list { value: 8 } } } } }
        }
        """,
        Input(),
    )
    assert found == expected


def test_a_context_may_be_left_out() -> None:
    assert read('{"examples": [{}]}').WhichOneof("kind") == "example_list"


def test_each_kind_of_value_has_its_list() -> None:
    assert list(feature("[1, true, -5]").int64_list.value) == [1, 1, -5]
    assert list(feature("[1.5, NaN, 1e300]").float_list.value)[::2] == [1.5, np.inf]
    assert list(feature('["a", {"b64": "/w=="}]').bytes_list.value) == [b"a", b"\xff"]
    assert feature("[]").WhichOneof("kind") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[1, 1.5]", "Unexpected element type in feature: f expecting type: int64"),
        ('[1.5, "a"]', "Unexpected element type in feature: f expecting type: float"),
        ('["a", true]', "Unexpected element type in feature: f expecting type: bytes"),
        ("null", "Feature: f has element with unexpected JSON type: Null"),
        ("[[1]]", "Feature: f has element with unexpected JSON type: Array"),
        ('{"a": 1}', "Feature: f has element with unexpected JSON type: Object"),
        ("18446744073709551615", "Feature: f has uint64 element. Only int64 is supported."),
        ('{"b64": "!"}', "Unable to base64 decode"),
    ],
)
def test_mixed_and_unknown_kinds_are_refused(value: str, expected: str) -> None:
    assert message(f'{{"examples": [{{"f": {value}}}]}}') == expected


def test_examples_must_be_a_list_of_objects() -> None:
    assert message('{"examples": [1]}') == "Example must be JSON object but got JSON Number"
    assert message('{"context": [], "examples": [{}]}') == "Example must be JSON object but got JSON Array"
    assert message('{"examples": 1}').endswith("} Expecting 'examples' value to be an list/array")
    assert message('{"examples": []}').endswith("} 'examples' value is an empty array")
    assert (
        message("{}")
        == "JSON Value: {} When method is classify, key 'examples' is expected and was not found"
    )
