"""Asks a model server, over gRPC or REST, what a SavedModel in a folder would be asked."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import httpx

from components.errors import Failure, UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipelines.prediction.predict import Ask

# A large scan takes minutes where no accelerator is.
_TIMEOUT_S: Final = 1800.0
_CONNECT_TIMEOUT_S: Final = 10.0
# What a message of protobuf, and so gRPC, may have.
_MAX_MESSAGE_BYTES: Final = 2**31 - 1


class ServerError(Failure):
    """A server that cannot be reached, or that failed."""


class RefusedRequest(UserError):
    """A request that a server does not take, such as one for a model that it does not have."""


@contextlib.contextmanager
def connect(server: str, model_name: str) -> Iterator[Ask]:
    """Yields what asks the model at "localhost:8500" by gRPC, or at "http://localhost:8501" by REST."""
    is_rest = server.startswith(("http://", "https://"))
    try:
        address = urllib.parse.urlsplit(server if is_rest else f"//{server}")
        has_port = address.port is not None
    except ValueError:  # a port that is no number, half a bracket
        raise _no_address(server) from None
    if not address.hostname or not (is_rest or has_port or server.startswith("unix:")):
        raise _no_address(server)
    with (_rest if is_rest else _grpc)(server, model_name) as ask:
        yield ask


def _no_address(server: str) -> RefusedRequest:
    return RefusedRequest(f"--server {server}: expected HOST:PORT for gRPC or http://HOST:PORT for REST")


@contextlib.contextmanager
def _rest(server: str, model_name: str) -> Iterator[Ask]:
    url = f"{server.rstrip('/')}/v1/models/{model_name}:predict"
    is_remote = not _is_this_machine(urllib.parse.urlsplit(server).hostname)
    try:
        # Whom the system trusts, not httpx's own list.
        client = httpx.Client(
            timeout=httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
            trust_env=is_remote,
            follow_redirects=True,
            verify=ssl.create_default_context(),
        )
    # Proxies in the environment that httpx does not take.
    except (ValueError, ImportError) as error:
        raise ServerError(f"{url}: no answer: {error}") from error
    with client:
        yield lambda signature, inputs: _ask_rest(client, url, signature, inputs)


def _ask_rest(
    client: httpx.Client, url: str, signature: str, inputs: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    import numpy as np

    body = {"signature_name": signature, "inputs": {key: _to_json(value) for key, value in inputs.items()}}
    headers = {"Content-Type": "application/json"}
    try:
        response = client.post(url, content=json.dumps(body), headers=headers)
        response.raise_for_status()
        outputs = response.json()["outputs"]
    except httpx.HTTPStatusError as error:
        kind = RefusedRequest if error.response.status_code < 500 else ServerError
        raise kind(f"{url}: {_reason(error.response)}") from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
        raise ServerError(f"{url}: no answer: {str(error) or type(error).__name__}") from error
    return {key: np.asarray(value) for key, value in outputs.items()}


def _is_this_machine(host: str | None) -> bool:
    """Whether a proxy, which the environment may name, could not reach the host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _check_size(server: str, inputs: Mapping[str, NDArray[Any]]) -> None:
    """Raises RefusedRequest for what no message can hold."""
    size = sum(_num_bytes(value) for value in inputs.values())
    if size > _MAX_MESSAGE_BYTES:
        raise RefusedRequest(
            f"{server}: expected a request of at most {_MAX_MESSAGE_BYTES} bytes, got {size}; "
            "a model in a folder takes more: --model DIR"
        )


def _num_bytes(value: NDArray[Any]) -> int:
    return sum(map(len, value.flat)) if value.dtype == object else value.nbytes


def _to_json(value: NDArray[Any]) -> Any:
    """Returns an array as TensorFlow Serving's JSON has it: strings as {"b64": …}."""
    if value.dtype != object:
        return value.tolist()
    return [{"b64": base64.b64encode(item).decode()} for item in value]


def _reason(response: httpx.Response) -> str:
    text = response.text
    with contextlib.suppress(ValueError, TypeError, KeyError):
        text = json.loads(text)["error"]
    return f"HTTP status {response.status_code}: {' '.join(str(text).split())}"


@contextlib.contextmanager
def _grpc(server: str, model_name: str) -> Iterator[Ask]:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

    is_remote = not _is_this_machine(urllib.parse.urlsplit(f"//{server}").hostname)
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.enable_http_proxy", int(is_remote)),
    ]
    with grpc.insecure_channel(server, options) as channel:
        stub = PredictionServiceStub(channel)

        def ask(signature: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            _check_size(server, inputs)
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = model_name, signature
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            try:
                response = stub.Predict(request, timeout=_TIMEOUT_S)
            except grpc.RpcError as error:
                refused = error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
                kind = RefusedRequest if refused else ServerError
                raise kind(f"{server}: {error.code().name}: {' '.join(error.details().split())}") from error
            return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}

        yield ask
