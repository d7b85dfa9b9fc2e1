"""Responses → JSON, in the layout of TensorFlow Serving's util/json_tensor.cc and http_rest_api_util.cc."""

from __future__ import annotations

import base64
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import tensorflow as tf
from google.protobuf import json_format, message
from numpy.typing import NDArray
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis.classification_pb2 import ClassificationResult
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse
from tensorflow_serving.apis.regression_pb2 import RegressionResult

from components.serving.errors import invalid_argument
from components.serving.models.tensors import read_tensor
from components.serving.rest.json.numbers import float_texts
from components.serving.rest.json.values import dtype_name

_BYTES_SUFFIX: Final = "_bytes"
_INDENT: Final = "    "
_SIGNATURE_DEF: Final = "signature_def"
_quoted: Final = json.JSONEncoder(ensure_ascii=False).encode
# Has another name from protobuf 5.26 on.
_PRINT_DEFAULTS: Final = next(
    name
    for name in ("always_print_fields_with_no_presence", "including_default_value_fields")
    if name in inspect.signature(json_format.MessageToJson).parameters
)


def error_json(text: str) -> bytes:
    """Returns {"error": text}."""
    return f'{{\n{_INDENT}"error": {_quoted(text)}\n}}'.encode("utf-8", "replace")


def predictions_json(outputs: Mapping[str, TensorProto]) -> bytes:
    """Returns {"predictions": [row, …]}; rows are objects if there are many outputs. Raises ServingError."""
    arrays = _arrays(outputs)
    _check_rows(arrays)
    if len(arrays) == 1:
        [(name, array)] = arrays.items()
        rows = ", ".join(_nested(_texts(name, array, 1 + array.ndim), array.shape, 1))
    else:
        rows = ",".join(_objects(arrays))
    end = f"\n{_INDENT}]" if rows else "]"
    return _encoded(f'{{\n{_INDENT}"predictions": [{rows}{end}\n}}')


def outputs_json(outputs: Mapping[str, TensorProto]) -> bytes:
    """Returns {"outputs": tensor}, or {"outputs": {name: tensor, …}} if many. Raises ServingError."""
    arrays = _arrays(outputs)
    depth = 1 if len(arrays) == 1 else 2
    texts = {
        name: _nested(_texts(name, array, depth + array.ndim), array.shape, 0, depth)[0]
        for name, array in arrays.items()
    }
    return _encoded(
        f'{{\n{_INDENT}"outputs": {_object(texts, 1) if depth == 2 else next(iter(texts.values()))}\n}}'
    )


def classification_json(result: ClassificationResult) -> bytes:
    """Returns {"results": [[[label, score], …], …]}; raises ServingError if it is empty."""
    if not result.classifications:
        raise invalid_argument("Cannot convert empty ClassificationResults to JSON")
    rows = []
    for classifications in result.classifications:
        scores = float_texts(np.array([found.score for found in classifications.classes], np.float32))
        labels = [_quoted(found.label) for found in classifications.classes]
        rows.append(
            f"[{', '.join(f'[{label}, {score}]' for label, score in zip(labels, scores, strict=True))}]"
        )
    return _encoded(f'{{\n{_INDENT}"results": [{", ".join(rows)}\n{_INDENT}]\n}}')


def regression_json(result: RegressionResult) -> bytes:
    """Returns {"results": [value, …]}; raises ServingError if it is empty."""
    if not result.regressions:
        raise invalid_argument("Cannot convert empty RegressionResults to JSON")
    values = float_texts(np.array([found.value for found in result.regressions], np.float32))
    return _encoded(f'{{\n{_INDENT}"results": [{", ".join(values)}]\n}}')


def status_json(response: GetModelStatusResponse) -> bytes:
    """Returns {"model_version_status": […]}."""
    return _encoded(_proto_json(response))


def metadata_json(response: GetModelMetadataResponse) -> bytes:
    """Returns {"model_spec": …, "metadata": {"signature_def": …}}."""
    signatures = SignatureDefMap()
    response.metadata[_SIGNATURE_DEF].Unpack(signatures)
    return _encoded(
        f'{{\n"model_spec":{_proto_json(response.model_spec)},\n'
        f'"metadata": {{"signature_def": {_proto_json(signatures)}}}\n}}\n'
    )


def _proto_json(proto: message.Message) -> str:
    options: dict[str, Any] = {_PRINT_DEFAULTS: True}
    return json_format.MessageToJson(proto, indent=1, preserving_proto_field_name=True, **options) + "\n"


def _encoded(text: str) -> bytes:
    # Strings that are no UTF-8 pass through, as in RapidJSON.
    return text.encode("utf-8", "surrogateescape")


def _arrays(outputs: Mapping[str, TensorProto]) -> dict[str, NDArray[Any]]:
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    return {name: read_tensor(outputs[name]) for name in sorted(outputs)}


def _check_rows(arrays: Mapping[str, NDArray[Any]]) -> None:
    expected = None
    for name, array in arrays.items():
        if not array.ndim:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if expected is not None and len(array) != expected:
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {expected}"
            )
        expected = len(array)


def _objects(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    columns = {
        name: _nested(_texts(name, array, 2 + array.ndim), array.shape, 1) for name, array in arrays.items()
    }
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return [f"\n{2 * _INDENT}{_object(row, 2)}" for row in rows]


def _object(members: Mapping[str, str], depth: int) -> str:
    inner = f"\n{(depth + 1) * _INDENT}"
    listed = ",".join(f"{inner}{_quoted(name)}: {text}" for name, text in members.items())
    return f"{{{listed}\n{depth * _INDENT}}}"


def _nested(texts: list[str], shape: Sequence[int], first: int, depth: int | None = None) -> list[str]:
    """Returns `texts` in brackets, from the last dimension down to `first`.

    On one line, or with `depth`, that of the dimension 0, each value on its own.
    """
    for dim in reversed(range(first, len(shape))):
        size, count = shape[dim], math.prod(shape[:dim])
        newline, end = (
            ("", "")
            if depth is None
            else (f"\n{(depth + dim + 1) * _INDENT}", f"\n{(depth + dim) * _INDENT}")
        )
        comma = f",{newline or ' '}"
        groups = (texts[i * size : (i + 1) * size] for i in range(count))
        texts = [f"[{newline}{comma.join(group)}{end}]" if group else "[]" for group in groups]
    return texts


def _texts(name: str, array: NDArray[Any], depth: int) -> list[str]:
    values = array.ravel()
    if values.dtype == object:
        return _strings(name, values, depth)
    if values.dtype == np.bool_:
        return ["true" if value else "false" for value in values.tolist()]
    if values.dtype.kind in "iu":
        return list(map(str, values.tolist()))
    if tf.as_dtype(values.dtype).is_floating:
        return float_texts(values)
    dtype = dtype_name(tf.as_dtype(values.dtype).as_datatype_enum)
    raise invalid_argument(f"Failed to write JSON value for tensor type: {dtype}")


def _strings(name: str, values: NDArray[np.object_], depth: int) -> list[str]:
    if name.endswith(_BYTES_SUFFIX):
        return [_object({"b64": _quoted(base64.b64encode(value).decode())}, depth) for value in values]
    return [_quoted(value.decode("utf-8", "surrogateescape")) for value in values]
