"""The REST API of the loaded models as OpenAPI 3.1 (spec.openapis.org/oas/v3.1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from tensorflow.core.framework import types_pb2 as types
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.model_pb2 import ModelSpec

from components.serving.api import Api
from components.serving.errors import ServingError

Schema = dict[str, Any]

_DEFAULT_SIGNATURE: Final = "serving_default"
_BYTES: Final[Schema] = {
    "type": "object",
    "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
    "required": ["b64"],
    "additionalProperties": False,
}
_STRING: Final[Schema] = {"anyOf": [{"type": "string"}, _BYTES]}
_NUMBER: Final[Schema] = {"type": "number"}
_LEAVES: Final[Mapping[int, Schema]] = {
    types.DT_STRING: _STRING,
    types.DT_BOOL: {"type": "boolean"},
    **dict.fromkeys((types.DT_FLOAT, types.DT_DOUBLE, types.DT_HALF, types.DT_BFLOAT16), _NUMBER),
    **{
        dtype: {"type": "integer", "minimum": low, "maximum": high}
        for dtype, low, high in (
            (types.DT_INT8, -(2**7), 2**7 - 1),
            (types.DT_UINT8, 0, 2**8 - 1),
            (types.DT_INT16, -(2**15), 2**15 - 1),
            (types.DT_UINT16, 0, 2**16 - 1),
            (types.DT_INT32, -(2**31), 2**31 - 1),
            (types.DT_UINT32, 0, 2**32 - 1),
            (types.DT_INT64, -(2**63), 2**63 - 1),
            (types.DT_UINT64, 0, 2**64 - 1),
        )
    },
}
_ERROR: Final[Schema] = {
    "description": "what was wrong",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"error": {"type": "string"}},
                "required": ["error"],
                "additionalProperties": False,
            }
        }
    },
}
_FEATURE: Final[Schema] = {
    "anyOf": [
        *(leaf := [_NUMBER, {"type": "boolean"}, _STRING]),
        {"type": "array", "items": {"anyOf": leaf}},
    ]
}
_EXAMPLE: Final[Schema] = {"type": "object", "additionalProperties": _FEATURE}
_EXAMPLES: Final[Schema] = {
    "type": "object",
    "properties": {
        "signature_name": {"type": "string"},
        "context": _EXAMPLE,
        "examples": {"type": "array", "items": _EXAMPLE, "minItems": 1},
    },
    "required": ["examples"],
}


def describe_api(api: Api) -> Schema:
    """Returns the description of every model that has an available version."""
    paths: Schema = {}
    for name in api.model_names:
        try:
            signatures = _signatures(api, name)
        except ServingError:
            continue  # nothing of it can be called yet
        paths |= _paths(f"/v1/models/{quote(name, safe='')}", name, signatures)
    return {
        "openapi": "3.1.0",
        "info": {"title": "TensorFlow models", "version": "1"},
        "paths": paths | _probes(),
    }


def _signatures(api: Api, name: str) -> Mapping[str, SignatureDef]:
    request = GetModelMetadataRequest(model_spec=ModelSpec(name=name), metadata_field=["signature_def"])
    found = SignatureDefMap()
    api.model_metadata(request).metadata["signature_def"].Unpack(found)
    return dict(sorted(found.signature_def.items()))


def _paths(root: str, name: str, signatures: Mapping[str, SignatureDef]) -> Schema:
    version = _parameter("version", {"type": "integer", "minimum": 0})
    label = _parameter("label", {"type": "string", "minLength": 1})
    choices = {root: [], f"{root}/versions/{{version}}": [version], f"{root}/labels/{{label}}": [label]}
    results = _object({"results": {"type": "array"}})
    paths: Schema = {}
    for path, parameters in choices.items():
        common = {"parameters": parameters, "tags": [name]}
        paths[path] = {"get": {**common, "summary": "State of the versions", **_answers({"type": "object"})}}
        paths[f"{path}/metadata"] = {
            "get": {**common, "summary": "Signatures", **_answers({"type": "object"})}
        }
        paths[f"{path}:predict"] = {"post": {**common, **_predict(signatures)}}
        for method in ("classify", "regress"):
            paths[f"{path}:{method}"] = {"post": {**common, **_body(_EXAMPLES), **_answers(results)}}
    return paths


def _parameter(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _predict(signatures: Mapping[str, SignatureDef]) -> Schema:
    requests = [
        schema
        for name, signature in signatures.items()
        if signature.inputs and all(info.dtype in _LEAVES for info in signature.inputs.values())
        for schema in _requests(name, signature)
    ]
    answer = {"type": "object", "minProperties": 1, "maxProperties": 1}
    return {
        "summary": "Runs a signature",
        **_body({"anyOf": requests} if requests else {}),
        **_answers(answer),
    }


def _requests(name: str, signature: SignatureDef) -> list[Schema]:
    rows = [_object({key: _tensor(info, first=1) for key, info in signature.inputs.items()})]
    columns = [_object({key: _tensor(info, first=0) for key, info in signature.inputs.items()})]
    if len(signature.inputs) == 1:
        [info] = signature.inputs.values()
        rows.append(_tensor(info, first=1))
        columns.append(_tensor(info, first=0))
    instances = {"type": "array", "items": {"anyOf": rows}, "minItems": 1}
    return [
        _request(name, signature, "instances", instances),
        _request(name, signature, "inputs", {"anyOf": columns}),
    ]


def _request(name: str, signature: SignatureDef, key: str, values: Schema) -> Schema:
    chosen = {"type": "array", "items": {"enum": sorted(signature.outputs)}, "uniqueItems": True}
    return {
        "type": "object",
        "title": f"{name}, {key}",
        "properties": {"signature_name": {"const": name}, key: values, "output_filter": chosen},
        "required": [key] if name == _DEFAULT_SIGNATURE else [key, "signature_name"],
    }


def _tensor(info: TensorInfo, first: int) -> Schema:
    """Returns the schema of nested lists from the dimension `first` on; {} if the rank is unknown."""
    if info.tensor_shape.unknown_rank:
        return {}
    schema: Schema = _LEAVES[info.dtype]
    for dim in reversed(info.tensor_shape.dim[first:]):
        exact = {"minItems": dim.size, "maxItems": dim.size} if dim.size >= 0 else {}
        schema = {"type": "array", "items": schema, **exact}
    return schema


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": sorted(properties),
        "additionalProperties": False,
    }


def _body(schema: Schema) -> Schema:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _answers(schema: Schema) -> Schema:
    answered = {"description": "the answer", "content": {"application/json": {"schema": schema}}}
    return {"responses": {"200": answered, "4XX": _ERROR, "503": _ERROR, "504": _ERROR}}


def _probes() -> Schema:
    ok = {"description": "yes", "content": {"application/json": {"schema": {"type": "object"}}}}
    not_ready = {"description": "not yet", "content": {"application/json": {"schema": {"type": "object"}}}}
    return {
        "/": {"get": {"summary": "What is served, and where", "responses": {"200": ok}}},
        "/healthz": {"get": {"summary": "Whether the server runs", "responses": {"200": ok}}},
        "/readyz": {
            "get": {"summary": "Whether every model serves", "responses": {"200": ok, "503": not_ready}}
        },
    }
