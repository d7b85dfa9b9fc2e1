"""What a SavedModel takes and answers, and which requests warm it up; read without TensorFlow.

Of messages that TensorBoard has no copy of, the fields that are wanted are looked up in the encoding
(saved_model.proto and meta_graph.proto of TensorFlow; prediction_log.proto, predict.proto and model.proto of
TensorFlow Serving; protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.meta_graph_pb2 import SignatureDef
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.tensorflow_stub.dtypes import as_dtype
from tensorboard.util.tensor_util import make_ndarray

from components.canary.replay import WARMUP_REQUESTS
from components.formats.tfrecord import whole_records

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAVED_MODEL: Final = "saved_model.pb"
# What raw examples are asked by, which is shown last.
_DEFAULT: Final = "serving_default"
# Numbers of fields.
_META_GRAPH, _SIGNATURE_DEF, _KEY, _VALUE = 2, 5, 1, 2
_PREDICT_LOG, _REQUEST, _MODEL_SPEC, _SIGNATURE_NAME, _INPUTS = 6, 1, 1, 3, 2
# Bytes of a value by its wire type; of a varint and of what tells its length they are read.
_FIXED: Final = {1: 8, 5: 4}
_VARINT, _DELIMITED = 0, 2


class Spec(NamedTuple):
    """An input or output: float32[?, 28, 28], "?" being as many as there are."""

    name: str
    dtype: str
    shape: str


class Signature(NamedTuple):
    """One way to ask a model."""

    name: str
    inputs: Sequence[Spec]
    outputs: Sequence[Spec]


def signatures(model_dir: Path) -> list[Signature]:
    """Returns the signatures of a SavedModel, by name, that of raw examples last; none of what is no such."""
    try:
        found = list(_signatures((model_dir / _SAVED_MODEL).read_bytes()))
    except (OSError, ValueError, DecodeError):
        return []
    return sorted(found, key=lambda each: (each.name == _DEFAULT, each.name))


def warmup_requests(model_dir: Path) -> dict[str, dict[str, NDArray[Any]]]:
    """Returns the inputs, by name, of the first recorded request of each signature, by its name."""
    try:
        requests = [_request(record) for record in whole_records(model_dir / WARMUP_REQUESTS)]
    except (OSError, ValueError, DecodeError):
        return {}
    return dict(reversed(requests))


def _signatures(saved_model: bytes) -> Iterator[Signature]:
    for graph in _fields(saved_model, _META_GRAPH):
        for entry in _fields(graph, _SIGNATURE_DEF):
            name = _text(entry, _KEY)
            # Those of SavedModel itself begin like this.
            if not name.startswith("__"):
                found = SignatureDef.FromString(next(_fields(entry, _VALUE), b""))
                yield Signature(name, _specs(found.inputs), _specs(found.outputs))


def _specs(tensors: Mapping[str, Any]) -> list[Spec]:
    return [
        Spec(name, as_dtype(tensor.dtype).name, _shape(tensor.tensor_shape))
        for name, tensor in sorted(tensors.items())
    ]


def _shape(shape: Any) -> str:
    if shape.unknown_rank:
        return "[…]"
    return f"[{', '.join('?' if axis.size < 0 else str(axis.size) for axis in shape.dim)}]"


def _request(record: bytes) -> tuple[str, dict[str, NDArray[Any]]]:
    """Returns the signature and the inputs of a PredictionLog."""
    log = next(_fields(record, _PREDICT_LOG), b"")
    request = next(_fields(log, _REQUEST), b"")
    spec = next(_fields(request, _MODEL_SPEC), b"")
    inputs = {
        _text(entry, _KEY): make_ndarray(TensorProto.FromString(next(_fields(entry, _VALUE), b"")))
        for entry in _fields(request, _INPUTS)
    }
    return _text(spec, _SIGNATURE_NAME), inputs


def _text(message: bytes, number: int) -> str:
    return next(_fields(message, number), b"").decode()


def _fields(message: bytes, number: int) -> Iterator[bytes]:
    """Yields the values of a field of texts, bytes or messages; raises ValueError for what is no message."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == _VARINT:
            _, place = _varint(message, place)
            continue
        size, place = _varint(message, place) if kind == _DELIMITED else (_FIXED.get(kind, 0), place)
        if not (size or kind == _DELIMITED) or place + size > len(message):
            raise ValueError(f"byte {place}: expected a field of a message")
        if kind == _DELIMITED and tag >> 3 == number:
            yield message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Returns a number, and where it ends; raises ValueError where it does not end."""
    number = 0
    for shift in range(0, 64, 7):
        if place >= len(message):
            break
        byte, place = message[place], place + 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
    raise ValueError(f"byte {place}: expected the end of a number")
