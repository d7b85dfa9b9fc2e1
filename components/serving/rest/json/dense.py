"""Requests whose tensor is of numbers alone, read without a Python object for each of them.

simdjson reads them in a third of the time that it takes to parse them into lists and to look at each value.
What is not plainly such a request is left to document.py, and so are all errors.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import simdjson
from numpy.typing import NDArray
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from components.serving.errors import ServingError
from components.serving.models.tensors import write_tensor
from components.serving.rest.json.document import check_size, parse_object
from components.serving.rest.json.strings import proto_text
from components.serving.rest.json.tensors import INPUTS, INSTANCES, SIGNATURE_NAME
from components.serving.rest.json.values import MAX_RANK, cast

_NUMBER_AHEAD: Final = re.compile(rb"[\[ \t\r\n]*[-\d]")
# What is left without these are the brackets and commas, and whatever has no place among numbers.
_NUMBERS_AND_SPACES: Final = b"0123456789.eE+- \t\r\n"
# Stands for the tensor while the rest is parsed; nobody can know it.
_MARK: Final = secrets.token_hex()


class DenseRequest(NamedTuple):
    """One tensor of a request: int64[…] if all its numbers are integers of 64 bits, float64[…] if not."""

    signature_name: str
    in_rows: bool  # "instances", not "inputs"
    numbers: NDArray[Any]


def parse_dense(body: bytes) -> DenseRequest | None:
    """Returns a request with a tensor of numbers; None for any other, right or wrong.

    {"signature_name": "f", "instances": [[1, 2.5], [3, 4]]} -> ("f", True, float64[[1, 2.5], [3, 4]])
    """
    begin, end = body.find(b"["), body.rfind(b"]") + 1
    if begin < 0 or not _NUMBER_AHEAD.match(body, begin):
        return None
    try:
        check_size(body)
        document = parse_object(b'%b"%b"%b' % (body[:begin], _MARK.encode(), body[end:]))
    except ServingError:
        return None
    given = document.keys() - {SIGNATURE_NAME}
    name = document.get(SIGNATURE_NAME, "")
    if given not in ({INSTANCES}, {INPUTS}) or document[min(given)] != _MARK or not isinstance(name, str):
        return None
    numbers = _numbers(body[begin:end])
    return None if numbers is None else DenseRequest(proto_text(name), INSTANCES in given, numbers)


def fill_dense(request: PredictRequest, numbers: NDArray[Any], inputs: Mapping[str, TensorInfo]) -> bool:
    """Adds the numbers as the only input; returns whether there is one alone, and its dtype takes them."""
    if len(inputs) != 1:
        return False
    [(name, info)] = inputs.items()
    array = cast(numbers, info.dtype)
    if array is not None:
        write_tensor(request.inputs[name], array, as_content=True)
    return array is not None


def _numbers(text: bytes) -> NDArray[Any] | None:
    try:
        array = simdjson.Parser().parse(text)
        shape = _shape_of_first(array)
        if text.translate(None, _NUMBERS_AND_SPACES) != _brackets(shape, len(text)):
            return None
        return _values(array).reshape(shape)
    except (ValueError, TypeError, RuntimeError):  # no JSON, other values than numbers, too deep
        return None


def _shape_of_first(array: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] = ()
    while isinstance(array, simdjson.Array) and len(array) and len(shape) < MAX_RANK:
        shape += (len(array),)
        array = array[0]
    return shape


def _brackets(shape: tuple[int, ...], max_bytes: int) -> bytes | None:
    """Returns how lists of this shape look without their values, (2, 3) -> "[[,,],[,,]]"; None if longer."""
    text = b""
    for size in reversed(shape):
        if (len(text) + 1) * size > max_bytes:
            return None
        text = b"[%b]" % b",".join([text] * size)
    return text


def _values(array: Any) -> NDArray[Any]:
    try:
        return np.frombuffer(array.as_buffer(of_type="i"), np.int64)
    except (ValueError, TypeError):
        return np.frombuffer(array.as_buffer(of_type="d"), np.float64)
