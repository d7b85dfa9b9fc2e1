"""gRPC: PredictionService and ModelService of TensorFlow Serving, health and reflection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest, ReloadConfigResponse

from components.serving.api import Api
from components.serving.config_protos import SSLConfig, read_text_proto
from components.serving.errors import ServingError, invalid_argument
from components.serving.flags import ServerFlags, address
from components.serving.memory import Budget, Share
from components.serving.models.manager import Manager
from components.serving.rpc.services import MODEL, PREDICTION, Service, describe
from components.serving.rpc.uploads import Uploads

_LOG: Final = logging.getLogger(__name__)

# After the last answer, for it to arrive, and for those who only watch.
_STREAM_GRACE_S: Final = 1.0
_INT_MAX: Final = 2**31 - 1
# A status travels in HTTP/2 headers, whose size clients limit.
_MAX_MESSAGE_BYTES: Final = 1024
_TRUNCATED: Final = "...TRUNCATED"

Call = Callable[[Any], Awaitable[Any]]


class _InFlight:
    """Counts requests while they are answered."""

    def __init__(self) -> None:
        self._count = 0
        self.none = asyncio.Event()
        self.none.set()

    def __enter__(self) -> None:
        self._count += 1
        self.none.clear()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self.none.set()


class GrpcServer:
    """The gRPC server of one event loop."""

    def __init__(self, api: Api, manager: Manager, budget: Budget, flags: ServerFlags) -> None:
        self._health = health.aio.HealthServicer()
        handlers = _Handlers(budget, flags)
        self._in_flight = handlers.in_flight
        self._server = grpc.aio.server(options=_options(flags))
        self._server.add_generic_rpc_handlers(
            (
                handlers.service(PREDICTION, _prediction_calls(api)),
                handlers.service(MODEL, _model_calls(api, manager)),
            )
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for service in (PREDICTION, MODEL):
            describe(service)
        names = (PREDICTION.full_name, MODEL.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self._credentials = _credentials(flags)
        self.port = self._add_port(address(flags.host, flags.port))
        if flags.grpc_socket_path:
            self._add_port(f"unix:{flags.grpc_socket_path}")

    async def start(self) -> None:
        """Begins to serve."""
        await self._server.start()
        # TensorFlow Serving's names are the short ones.
        for name in ("", PREDICTION.name, MODEL.name, PREDICTION.full_name, MODEL.full_name):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float) -> None:
        """Refuses new requests, and returns when those in flight have ended or the time is over."""
        await self._health.enter_graceful_shutdown()
        stopping = asyncio.create_task(self._server.stop(grace_s))
        quiet = asyncio.create_task(self._in_flight.none.wait())
        await asyncio.wait([quiet, stopping], timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        quiet.cancel()
        # Who watches the health would do so until the time is over.
        await self._server.stop(_STREAM_GRACE_S)
        await stopping

    def _add_port(self, place: str) -> int:
        try:
            if self._credentials is None:
                return self._server.add_insecure_port(place)
            return self._server.add_secure_port(place, self._credentials)
        except RuntimeError as error:
            raise ServingError(grpc.StatusCode.UNAVAILABLE, f"cannot listen on {place}: {error}") from error


def _prediction_calls(api: Api) -> dict[str, Call]:
    async def metadata(request: Any) -> Any:
        return api.model_metadata(request)

    return {
        "Predict": api.predict,
        "Classify": api.classify,
        "Regress": api.regress,
        "MultiInference": api.multi_inference,
        "GetModelMetadata": metadata,
    }


def _model_calls(api: Api, manager: Manager) -> dict[str, Call]:
    async def status(request: GetModelStatusRequest) -> Any:
        return api.model_status(request)

    async def reload_config(request: ReloadConfigRequest) -> ReloadConfigResponse:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        await manager.reload(request.config)
        response = ReloadConfigResponse()
        response.status.SetInParent()
        return response

    return {"GetModelStatus": status, "HandleReloadConfigRequest": reload_config}


class _Handlers:
    """Makes a server's handlers: receive a message, within what all may hold, then call and answer."""

    def __init__(self, budget: Budget, flags: ServerFlags) -> None:
        self.in_flight = _InFlight()
        self._budget = budget
        self._uploads = Uploads(flags.grpc_max_slow_uploads, flags.upload_timeout_in_ms / 1000)

    def service(self, service: Service, calls: dict[str, Call]) -> grpc.GenericRpcHandler:
        handlers = {
            # Not unary, which looks the same on the wire, but would receive messages before it asks anybody.
            name: grpc.stream_unary_rpc_method_handler(
                self._handler(calls[name], method.request),
                response_serializer=method.response.SerializeToString,
            )
            for name, method in service.methods.items()
        }
        return grpc.method_handlers_generic_handler(service.full_name, handlers)

    def _handler(self, call: Call, kind: Any) -> Callable[..., Awaitable[Any]]:
        async def handle(_: object, context: grpc.aio.ServicerContext) -> Any:
            try:
                with self._budget.share() as share:
                    request = await self._received(kind, share, context)
                    with self.in_flight:
                        return await call(request)
            except ServingError as error:
                await context.abort(error.code, truncated(error.message))

        return handle

    async def _received(self, kind: Any, share: Share, context: grpc.aio.ServicerContext) -> Any:
        serialized = await self._uploads.receive(context)
        share.take(len(serialized))
        return _parsed(kind, serialized)


def _parsed(kind: Any, serialized: bytes) -> Any:
    message = kind()
    try:
        # Some of protobuf's implementations stop at a stray end of a group, with a warning, or a SystemError
        # where warnings are errors.
        is_whole = message.MergeFromString(serialized) == len(serialized)
    except (DecodeError, SystemError):
        is_whole = False
    if not is_whole:
        raise ServingError(grpc.StatusCode.INTERNAL, "the request could not be parsed")
    return message


def truncated(message: str) -> str:
    """Returns a message of at most 1,024 bytes, longer ones marked as cut."""
    encoded = message.encode()
    if len(encoded) <= _MAX_MESSAGE_BYTES:
        return message
    return encoded[:_MAX_MESSAGE_BYTES].decode(errors="ignore") + _TRUNCATED


def _options(flags: ServerFlags) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", _INT_MAX),
        ("grpc.max_send_message_length", _INT_MAX),
        # Another server on this port is an error, not a partner.
        ("grpc.so_reuseport", 0),
        *_channel_arguments(flags.grpc_channel_arguments),
    ]


def _channel_arguments(text: str) -> Sequence[tuple[str, Any]]:
    arguments: list[tuple[str, Any]] = []
    for argument in filter(None, text.split(",")):
        key, separator, value = argument.partition("=")
        if not separator:
            raise invalid_argument(f"--grpc_channel_arguments: expected key=value, got {argument!r}")
        is_integer = value.lstrip("-").isdecimal()
        arguments.append((key, int(value) if is_integer else value))
    return arguments


def _credentials(flags: ServerFlags) -> grpc.ServerCredentials | None:
    if not flags.ssl_config_file:
        return None
    config = read_text_proto(flags.ssl_config_file, SSLConfig)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
