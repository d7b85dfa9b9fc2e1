"""JSON requests of Classify and Regress → tf.Examples, as in TensorFlow Serving's util/json_tensor.cc."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from tensorflow.core.example.example_pb2 import Example
from tensorflow.core.example.feature_pb2 import BytesList, Feature, FloatList, Int64List
from tensorflow_serving.apis.input_pb2 import Input

from components.serving.errors import ServingError, invalid_argument
from components.serving.rest.json.document import format_error, type_name
from components.serving.rest.json.strings import base64_bytes, is_base64, proto_text, string_bytes

EXAMPLES: Final = "examples"
CONTEXT: Final = "context"
# What an object of a request's JSON takes as a dict and as a tf.Example with one feature.
EXAMPLE_BYTES: Final = 1_000


def fill_examples(given: Input, document: Mapping[str, Any]) -> None:
    """Adds a request's examples and their common context; raises ServingError.

    {"examples": [{"age": 20, "names": ["a"]}]} -> Example(age: int64 20, names: bytes "a")
    """
    target: Any = given.example_list
    if CONTEXT in document:
        target = given.example_list_with_context
        target.context.CopyFrom(_example(document[CONTEXT]))
    if EXAMPLES not in document:
        raise format_error(
            document, f"When method is classify, key '{EXAMPLES}' is expected and was not found"
        )
    examples = document[EXAMPLES]
    if not isinstance(examples, list):
        raise format_error(document, f"Expecting '{EXAMPLES}' value to be an list/array")
    if not examples:
        raise format_error(document, f"'{EXAMPLES}' value is an empty array")
    target.examples.extend(map(_example, examples))


def _example(value: Any) -> Example:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_name(value)}")
    example = Example()
    for name, content in value.items():
        values = content if isinstance(content, list) else [content]
        example.features.feature[proto_text(name)].CopyFrom(_feature(proto_text(name), values))
    return example


def _feature(name: str, values: list[Any]) -> Feature:
    """Returns whole numbers and bools as int64, others as float, strings and {"b64": …} as bytes."""
    types = set(map(type, values))
    if not types:
        return Feature()
    if types <= {int, bool} and max(values) < 2**63:
        return Feature(int64_list=Int64List(value=map(int, values)))
    if types == {float}:
        with np.errstate(over="ignore"):
            return Feature(float_list=FloatList(value=np.array(values).astype(np.float32).tolist()))
    if types == {str} or all(isinstance(value, str) or is_base64(value) for value in values):
        made = [string_bytes(value) if isinstance(value, str) else base64_bytes(value) for value in values]
        return Feature(bytes_list=BytesList(value=made))
    raise _fault(name, values)


def _fault(name: str, values: list[Any]) -> ServingError:
    kind = ""
    for value in values:
        own = _kind(value)
        if not own:
            problem = f"has element with unexpected JSON type: {type_name(value)}"
            return invalid_argument(f"Feature: {name} {problem}")
        if kind and own != kind:
            return invalid_argument(f"Unexpected element type in feature: {name} expecting type: {kind}")
        if own == "int64" and value >= 2**63:
            return invalid_argument(f"Feature: {name} has uint64 element. Only int64 is supported.")
        kind = own
    return invalid_argument(f"Feature: {name} cannot be read")


def _kind(value: Any) -> str:
    if is_base64(value):
        return "bytes"
    return {bool: "int64", int: "int64", float: "float", str: "bytes"}.get(type(value), "")
