"""The text protos of TensorFlow Serving's flags, those declared whose classes its Python package lacks.

Names and types are those of session_bundle_config.proto, monitoring_config.proto and ssl_config.proto; the
numbers of the fields matter to nobody, as these messages are read as text alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, text_format
from google.protobuf import wrappers_pb2 as _wrappers  # its descriptors are used below

from components.serving.errors import ServingError, invalid_argument

_Message = TypeVar("_Message", bound=message.Message)

_PACKAGE: Final = "millrace.serving"
_WRAPPERS: Final = _wrappers.DESCRIPTOR.package
_INT64: Final = f".{_WRAPPERS}.Int64Value"
_DECLARED: Final[Mapping[str, Mapping[str, str]]] = {
    "BatchingParameters": {
        "max_batch_size": _INT64,
        "batch_timeout_micros": _INT64,
        "max_enqueued_batches": _INT64,
        "num_batch_threads": _INT64,
        "thread_pool_name": f".{_WRAPPERS}.StringValue",
        "allowed_batch_sizes": "repeated int64",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": f".{_WRAPPERS}.BoolValue",
        "max_execution_batch_size": _INT64,
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": f".{_PACKAGE}.PrometheusConfig"},
    "SSLConfig": {
        "server_key": "string",
        "server_cert": "string",
        "custom_ca": "string",
        "client_verify": "bool",
    },
}


def _declare() -> dict[str, type[Any]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="millrace/serving_config.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[_wrappers.DESCRIPTOR.name],
    )
    for name, fields in _DECLARED.items():
        declared = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            _add_field(declared.field.add(name=field, number=number), kind)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    found = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in _DECLARED}
    return {name: _message_class(descriptor) for name, descriptor in found.items()}


def _add_field(field: Any, kind: str) -> None:
    kinds = descriptor_pb2.FieldDescriptorProto
    repeated, _, scalar = kind.rpartition(" ")
    field.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
    if scalar.startswith("."):
        field.type, field.type_name = kinds.TYPE_MESSAGE, scalar
    else:
        field.type = kinds.Type.Value(f"TYPE_{scalar.upper()}")


def _message_class(descriptor: Any) -> type[Any]:
    # Before protobuf 4.22 it has another name.
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory().GetPrototype(descriptor)


_CLASSES: Final = _declare()
BatchingParameters: Final = _CLASSES["BatchingParameters"]
MonitoringConfig: Final = _CLASSES["MonitoringConfig"]
SSLConfig: Final = _CLASSES["SSLConfig"]


def read_text_proto(path: str, kind: type[_Message]) -> _Message:
    """Returns the message in a file, local or at a URI; ServingError if it is missing or does not parse."""
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            text = file.read()
    except tf.errors.OpError as error:
        raise ServingError(grpc.StatusCode.NOT_FOUND, f"{path}; {error.message}") from error
    try:
        return text_format.Parse(text, kind())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}': {error}") from error
