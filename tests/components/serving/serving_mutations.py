"""Requests that are nearly right, made from valid ones, and what a server says to them.

Each request follows from its number alone, so that what fails can be sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

PREDICTION: Final = "/tensorflow.serving.PredictionService/"
MODEL: Final = "/tensorflow.serving.ModelService/"
# What no request may lead to. INTERNAL is what gRPC answers where bytes are no message of the method.
_NEVER: Final = {"UNKNOWN", "UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL"}
_UNPARSED: Final = "the request could not be parsed"
_TIMEOUT_S: Final = 60

_INTEGERS: Final = (
    0,
    1,
    2,
    3,
    -1,
    7,
    127,
    128,
    255,
    2**31 - 1,
    -(2**31),
    2**31,
    2**32,
    2**62,
    2**63 - 1,
    -(2**63),
)
_FLOATS: Final = (0.0, -0.0, 1.5, float("nan"), float("inf"), -float("inf"), 1e-45, 3.5e38, 1e308)
_TEXTS: Final = (
    "",
    "m",
    "x",
    "é",
    "\0",
    "serving_default",
    "classify",
    "regress",
    "int64",
    "y",
    "a/b:c",
    "x" * 3000,
)
_BYTES: Final = (b"", b"\xff\xfe", b"\0", b"a", b"\x0a\x01", bytes(24), b"\x80" * 11)
_JSON: Final = (
    None, True, False, 0, -1, 1.5, 10**40, "", "é", "\ud800", [], {}, [[]], [1, [2]], {"b64": "AA=="},
    {"b64": "?"}, {"b64": 3}, {"x": 1}, ["a", 1], [None], "x" * 3000,
)  # fmt: skip


class Request(NamedTuple):
    """Bytes for one protocol; `is_whole`: an answer has to come."""

    protocol: str
    target: str
    content: bytes
    is_whole: bool = True


@dataclass
class Outcomes:
    """How often each answer came, and the requests that got one that must not be."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, number: int, request: Request, answer: str, is_wrong: bool) -> None:
        self.answers[f"{request.protocol} {answer.split(':')[0]}"] += 1
        if is_wrong:
            self.wrong.append(f"{number}: {request.target} {request.content[:400]!r}: {answer}")


def make_request(number: int, dtypes: Iterable[str]) -> Request:
    """Returns the request of a number, for a server of `Echo` as the model "m"."""
    draw = random.Random(number)
    kinds: list[Callable[[random.Random, list[str]], Request]] = [_rpc, _rpc, _rest, _rest, _http]
    return draw.choice(kinds)(draw, list(dtypes))


# gRPC.


def _rpc(draw: random.Random, dtypes: list[str]) -> Request:
    target, message = draw.choice((_predict, _predict, _examples, _metadata))(draw, dtypes)
    for _ in range(draw.choice((0, 1, 1, 1, 2, 4))):
        _mutate(draw, message)
    content = message.SerializeToString()
    if draw.random() < 0.25:
        content = _damaged(draw, content)
    return Request("gRPC", target, content)


def _predict(draw: random.Random, dtypes: list[str]) -> tuple[str, Message]:
    request = PredictRequest()
    request.model_spec.name = "m"
    name = draw.choice([*dtypes, "two_inputs", "below_100", "row_sums", "scalar", "scalar_text", "as_bytes"])
    request.model_spec.signature_name = name
    if name == "two_inputs":
        inputs: dict[str, Any] = {"a": np.float32([1, 2]), "b": np.ones((2, 2), np.float32)}
    elif name == "row_sums":
        inputs = {"rows": np.ones((2, 3), np.int32)}
    elif name == "scalar":
        inputs = {"x": np.float32(2)}
    elif name in ("scalar_text", "as_bytes", "string"):
        inputs = {"x": np.array(b"a" if name == "scalar_text" else [b"a", b"\xff"], object)}
    else:
        inputs = {"x": np.ones(draw.choice([(), (1,), (2, 3), (0,)]))}
    for alias, value in inputs.items():
        dtype = tf.as_dtype(name) if name in dtypes else None
        array = value if dtype in (None, tf.string) else value.astype(dtype.as_numpy_dtype)
        array = array.astype(np.float32) if array.dtype == np.float64 and name not in dtypes else array
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(array))
    return f"{PREDICTION}Predict", request


def _examples(draw: random.Random, _: list[str]) -> tuple[str, Message]:
    kind = draw.choice(("Classify", "Regress", "MultiInference"))
    request = {
        "Classify": ClassificationRequest,
        "Regress": RegressionRequest,
        "MultiInference": MultiInferenceRequest,
    }[kind]()
    if isinstance(request, MultiInferenceRequest):
        for name in ("classify", "regress"):
            task = request.tasks.add(method_name=f"tensorflow/serving/{name}")
            task.model_spec.name, task.model_spec.signature_name = "m", name
    else:
        request.model_spec.name, request.model_spec.signature_name = "m", kind.lower()
    for _number in range(draw.choice((1, 2))):
        example = tf.train.Example()
        example.features.feature["x"].float_list.value.append(1)
        request.input.example_list.examples.add().MergeFromString(example.SerializeToString())
    return f"{PREDICTION}{kind}", request


def _metadata(draw: random.Random, _: list[str]) -> tuple[str, Message]:
    if draw.random() < 0.5:
        status = GetModelStatusRequest()
        status.model_spec.name = "m"
        return f"{MODEL}GetModelStatus", status
    request = GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "m"
    return f"{PREDICTION}GetModelMetadata", request


def _mutate(draw: random.Random, message: Message) -> None:
    """Changes one field, of the message or of one below."""
    chosen = draw.choice(message.DESCRIPTOR.fields)
    below = [value for value in _messages(message) if value.DESCRIPTOR.fields]
    if below and draw.random() < 0.8:
        _mutate(draw, draw.choice(below))
        return
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        _set(draw, message, chosen)


def _messages(message: Message) -> list[Message]:
    found: list[Message] = []
    for descriptor, value in message.ListFields():
        if descriptor.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        if _is_map(descriptor):
            if isinstance(values := list(value.values()), list) and values and isinstance(values[0], Message):
                found += values
        elif descriptor.label == FieldDescriptor.LABEL_REPEATED:
            found += value
        else:
            found.append(value)
    return found


def _is_map(descriptor: Any) -> bool:
    return bool(descriptor.message_type and descriptor.message_type.GetOptions().map_entry)


def _set(draw: random.Random, message: Message, descriptor: Any) -> None:
    name = descriptor.name
    if draw.random() < 0.2:
        message.ClearField(name)
    elif _is_map(descriptor):
        values = getattr(message, name)
        key = draw.choice(_TEXTS)
        if isinstance(values.get(draw.choice(["x", "a", "rows"])), Message):
            values[key].CopyFrom(next(iter(values.values())))
    elif descriptor.label == FieldDescriptor.LABEL_REPEATED:
        values = getattr(message, name)
        if descriptor.type == FieldDescriptor.TYPE_MESSAGE:
            values.add()
        elif draw.random() < 0.3 and len(values):
            del values[draw.randrange(len(values)) :]
        else:
            values.extend([_value(draw, descriptor)] * draw.choice((1, 2, 40)))
    elif descriptor.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(message, name).SetInParent()
    else:
        setattr(message, name, _value(draw, descriptor))


def _value(draw: random.Random, descriptor: Any) -> Any:
    kinds = FieldDescriptor
    return draw.choice(
        {
            kinds.CPPTYPE_FLOAT: _FLOATS,
            kinds.CPPTYPE_DOUBLE: _FLOATS,
            kinds.CPPTYPE_BOOL: (True, False),
            kinds.CPPTYPE_STRING: _BYTES if descriptor.type == kinds.TYPE_BYTES else _TEXTS,
        }.get(descriptor.cpp_type, _INTEGERS)
    )


def _damaged(draw: random.Random, content: bytes) -> bytes:
    at = draw.randrange(len(content) + 1)
    piece = draw.choice((*_BYTES, b"\x0b", b"\x0c", b"\xfa\x3f\x02ab", bytes([draw.randrange(256)])))
    return draw.choice(
        (content[:at], content[:at] + piece + content[at:], content[:at] + piece + content[at + 1 :])
    )


# REST.


def _rest(draw: random.Random, dtypes: list[str]) -> Request:
    method = draw.choice(("predict", "predict", "predict", "classify", "regress"))
    document = _document(draw, method, dtypes)
    for _ in range(draw.choice((0, 1, 1, 1, 2, 4))):
        document = _changed(draw, document)
    content = json.dumps(document, ensure_ascii=draw.random() < 0.8).encode("utf-8", "surrogatepass")
    if draw.random() < 0.3:
        content = _broken_json(draw, content)
    return Request("REST", method, _post(_path(draw, method), content))


def _document(draw: random.Random, method: str, dtypes: list[str]) -> Any:
    if method != "predict":
        return {"signature_name": method, "examples": [{"x": 1.0}], "context": {}}
    name = draw.choice([*dtypes, "two_inputs", "row_sums", "scalar", "scalar_text", "as_bytes"])
    value: Any = draw.choice(
        ([1, 2], [[1, 2], [3, 4]], 1, [], [True], ["a", {"b64": "/w=="}], [1.5, -2.0], [[[]]])
    )
    if name == "two_inputs":
        rows = [{"a": 1.0, "b": [1, 2]}]
        body: dict[str, Any] = draw.choice(({"instances": rows}, {"inputs": {"a": [1.0], "b": [[1, 2]]}}))
    else:
        body = draw.choice(({"instances": value}, {"inputs": value}, {"inputs": {"x": value}}))
    return {"signature_name": name, **body, **draw.choice(({}, {}, {"output_filter": ["y"]}))}


def _changed(draw: random.Random, document: Any) -> Any:
    """Returns the document with another value at one place."""
    if isinstance(document, dict) and document and draw.random() < 0.85:
        key = draw.choice(list(document))
        if draw.random() < 0.15:
            return {**document, draw.choice(("x", "é", "b64", "instances", "inputs", "")): draw.choice(_JSON)}
        if draw.random() < 0.1:
            return {name: value for name, value in document.items() if name != key}
        return {**document, key: _changed(draw, document[key])}
    if isinstance(document, list) and document and draw.random() < 0.8:
        at = draw.randrange(len(document))
        changed = [*document[:at], _changed(draw, document[at]), *document[at + 1 :]]
        return draw.choice((changed, changed, changed + changed, changed[:-1]))
    return draw.choice(_JSON)


def _broken_json(draw: random.Random, content: bytes) -> bytes:
    pieces = (
        b"NaN", b"-Infinity", b"1e999", b"-", b"\xff", b"\xed\xa0\x80", b"\0", b"//", b",", b"]", b"{", b'"',
        b"\\u12", b"9" * 400, b"[" * 5000, b"\xef\xbb\xbf", b"0x1", b"'",
    )  # fmt: skip
    at = draw.randrange(len(content) + 1)
    return draw.choice(
        (content[:at], content[:at] + draw.choice(pieces) + content[at:], _damaged(draw, content))
    )


def _path(draw: random.Random, method: str) -> bytes:
    if draw.random() < 0.8:
        return f"/v1/models/m:{method}".encode()
    return draw.choice(
        (
            f"/v1/models/m/versions/3:{method}", f"/v1/models/m/versions/9{'9' * 30}:{method}",
            f"/v1/models/m/labels/%FF%00:{method}", f"/v1/models/%:{method}", f"/v1/models/é:{method}",
            f"/v1/models/m/versions/-1:{method}", f"/v1/models/n:{method}", f"/v1/models/m:{method}?a=%zz",
            f"/V1/MODELS/m:{method}", f"/v1/models/{'m' * 3000}:{method}", "/v1/models//metadata", "/v1/",
        )
    ).encode()  # fmt: skip


def _post(path: bytes, content: bytes, *headers: bytes, method: bytes = b"POST") -> bytes:
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: a", b"Connection: close", *headers]
    if not any(header.lower().startswith((b"content-length", b"transfer-encoding")) for header in headers):
        lines.append(b"Content-Length: %d" % len(content))
    return b"\r\n".join(lines) + b"\r\n\r\n" + content


def _http(draw: random.Random, dtypes: list[str]) -> Request:
    """Returns a valid body in a head that may be wrong."""
    body = json.dumps({"instances": [1.0, 2.0]}).encode()
    path = _path(draw, "predict")
    packed = gzip.compress(body)
    sizes = [draw.randrange(1, 9) for _ in range(9)]
    at = draw.randrange(len(body))
    whole: tuple[bytes, ...] = (
        _post(path, _chunked(body, sizes), b"Transfer-Encoding: chunked"),
        _post(path, _chunked(body, sizes).replace(b"\r\n", b";a=b\r\n", 1), b"Transfer-Encoding: chunked"),
        _post(path, packed, b"Content-Encoding: gzip"),
        _post(path, _damaged(draw, packed), b"Content-Encoding: gzip"),
        _post(path, body, b"Content-Encoding: br"),
        _post(path, body, b"Content-Type: text/x\xff"),
        _post(path, body, b"Expect: 100-continue"),
        _post(path, body, method=draw.choice((b"GET", b"PUT", b"OPTIONS", b"DELETE", b"PATCH"))),
        _post(path, body, *[b"X-%d: a" % n for n in range(300)]),
        _post(path, body).replace(b"HTTP/1.1", b"HTTP/1.0"),
        _post(
            b"/v1/models/m" + draw.choice((b"", b"/metadata", b"/versions/3", b"/labels/l")),
            b"",
            method=b"GET",
        ),
        _post(draw.choice((b"*", b"/", b"//", b"/healthz", b"/%", b"/v1/models")), b"", method=b"GET"),
        b"GET /v1/models/m \x00HTTP/1.1\r\n\r\n",
        _post(path, body, b"Content-Length: a"),
        _post(path, body, b"Content-Length: -1"),
        _post(path, b"zz\r\n" + body, b"Transfer-Encoding: chunked"),
        _post(path, body, b"Bad Header: a"),
        _post(path, body, b"X: " + b"x" * draw.choice((60_000, 70_000, 400_000))),
        _post(path, body, b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
        b"\x16\x03\x01\x02\x00\x01\x00" + body + b"\r\n\r\n",
    )
    cut: tuple[bytes, ...] = (
        _post(path, body[:at], b"Content-Length: %d" % len(body)),
        _post(path, _chunked(body, sizes)[:-at], b"Transfer-Encoding: chunked"),
        _post(path, body)[:at],
    )
    if draw.random() < 0.1:
        return Request("HTTP", "cut", draw.choice(cut), is_whole=False)
    return Request("HTTP", "whole", draw.choice(whole))


def _chunked(body: bytes, sizes: Iterable[int]) -> bytes:
    pieces, at = [], 0
    for size in (*sizes, len(body)):
        if piece := body[at : at + size]:
            pieces.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        at += size
    return b"".join([*pieces, b"0\r\n\r\n"])


# Sending.


async def send_all(
    numbers: Iterable[int], dtypes: Iterable[str], grpc_port: int, rest_port: int, at_once: int = 8
) -> Outcomes:
    """Sends the requests of these numbers, several at once, and returns what was said to them."""
    outcomes, waiting, known = Outcomes(), iter(numbers), list(dtypes)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:

        async def work() -> None:
            for number in waiting:
                request = make_request(number, known)
                try:
                    sent = (
                        _call(channel, request) if request.protocol == "gRPC" else _talk(rest_port, request)
                    )
                    answer, is_wrong = await asyncio.wait_for(sent, _TIMEOUT_S)
                except (OSError, asyncio.TimeoutError) as error:
                    answer, is_wrong = f"no connection: {error!r}", True
                outcomes.add(number, request, answer, is_wrong)

        await asyncio.gather(*(work() for _ in range(at_once)))
    return outcomes


async def _call(channel: grpc.aio.Channel, request: Request) -> tuple[str, bool]:
    try:
        await channel.unary_unary(request.target)(request.content)
    except grpc.aio.AioRpcError as error:
        code, details = error.code().name, error.details() or ""
        return f"{code}: {details}", code in _NEVER and not (code == "INTERNAL" and details == _UNPARSED)
    return "OK", False


async def _talk(port: int, request: Request) -> tuple[str, bool]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request.content)
        # Some are refused before they are sent whole.
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            if not request.is_whole:
                writer.write_eof()
        answer = await _read(reader)
    finally:
        writer.close()
    while answer.startswith(b"HTTP/1.1 100"):
        answer = answer.partition(b"\r\n\r\n")[2]
    status = answer[9:12].decode("latin-1") or "none"
    is_wrong = status == "500" or (status == "none" and request.is_whole)
    return f"{status}: {answer[-200:]!r}", is_wrong


async def _read(reader: asyncio.StreamReader) -> bytes:
    pieces: list[bytes] = []
    with contextlib.suppress(ConnectionResetError):
        while piece := await reader.read(1 << 16):
            pieces.append(piece)
    return b"".join(pieces)
