"""TensorFlow Serving's REST API: which call a path stands for, and how its answer or error looks.

Paths and messages are those of its model_servers/http_rest_api_util.cc and http_rest_api_handler.cc. What it
does not have lies outside /v1/: /, /healthz, /readyz and /openapi.json.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Coroutine, Iterator
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, unquote

import grpc
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from components.serving.api import Api, Observation
from components.serving.config_protos import MonitoringConfig, read_text_proto
from components.serving.errors import ServingError, invalid_argument
from components.serving.flags import ServerFlags
from components.serving.memory import Budget, Share
from components.serving.models.manager import Version
from components.serving.rest.body import BodyLimits, inflated, is_gzip, read_body
from components.serving.rest.json import answers as json_answers
from components.serving.rest.json.dense import DenseRequest, fill_dense, parse_dense
from components.serving.rest.json.document import OBJECT_BYTES, parse_object, parsed_bytes
from components.serving.rest.json.examples import EXAMPLE_BYTES, fill_examples
from components.serving.rest.json.tensors import fill_inputs, output_filter, signature_name
from components.serving.rest.metrics import Metrics
from components.serving.rest.openapi import describe_api
from components.serving.threads import SHORT_BYTES, in_thread_if

_T = TypeVar("_T")

_CODES: Final = grpc.StatusCode
# model_servers/http_server.cc: ToHTTPStatusCode; what is not here is 500.
HTTP_STATUS: Final = {
    _CODES.INVALID_ARGUMENT: 400,
    _CODES.FAILED_PRECONDITION: 400,
    _CODES.OUT_OF_RANGE: 400,
    _CODES.UNAUTHENTICATED: 401,
    _CODES.PERMISSION_DENIED: 403,
    _CODES.NOT_FOUND: 404,
    _CODES.ALREADY_EXISTS: 409,
    _CODES.ABORTED: 409,
    _CODES.RESOURCE_EXHAUSTED: 429,
    _CODES.CANCELLED: 499,
    _CODES.UNIMPLEMENTED: 501,
    _CODES.UNAVAILABLE: 503,
    _CODES.DEADLINE_EXCEEDED: 504,
}
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_VERSION: Final = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_FLAGS: Final = re.IGNORECASE | re.ASCII
_CALL_PATH: Final = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<call>classify|regress|predict)", _FLAGS
)
_STATUS_PATH: Final = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?P<metadata>/metadata)?", _FLAGS
)
# What the page at / names beside the models.
_PAGES: Final = {"description": "/openapi.json", "health": "/healthz", "readiness": "/readyz"}
_PROMETHEUS_PATH: Final = "/monitoring/prometheus/metrics"

_SHORT_DENSE_BYTES: Final = 1 << 20  # a few milliseconds, in which the parser keeps Python's lock anyway
# A number of two bytes, with its comma, becomes one of eight, and is copied once.
_DENSE_FACTOR: Final = 8
# How often it is checked whether the client still waits.
_PATIENCE_S: Final = 0.25


class _Call(NamedTuple):
    """A POST: what it asks for, and its body, inflated."""

    method: str
    spec: ModelSpec
    body: bytes
    timeout_s: float
    share: Share  # of the memory of all requests

    @property
    def is_long(self) -> bool:
        return len(self.body) > SHORT_BYTES


def make_app(api: Api, budget: Budget, flags: ServerFlags) -> Starlette:
    """Returns the ASGI app; ServingError if the monitoring configuration cannot be read."""
    rest = _Rest(api, budget, flags)
    routes = [
        Route("/", rest.index),
        Route("/healthz", _health),
        Route("/readyz", rest.readiness),
        Route("/openapi.json", rest.description),
        *_monitoring(api, flags.monitoring_config_file),
    ]
    handlers: dict[Any, Any] = {
        ServingError: rest.on_serving_error,
        HTTPException: rest.on_http_error,
        Exception: rest.on_crash,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.router.default = rest
    return app


class _Rest:
    """Everything under /v1/, as an ASGI app."""

    def __init__(self, api: Api, budget: Budget, flags: ServerFlags) -> None:
        self._api = api
        self._budget = budget
        self._timeout_s = flags.rest_api_timeout_in_ms / 1000
        self._limits = BodyLimits(
            min(flags.max_request_bytes, flags.max_bytes_in_flight),
            flags.upload_idle_timeout_in_ms / 1000,
            flags.upload_timeout_in_ms / 1000,
        )
        self._headers = _CORS if flags.enable_cors_support else None
        self._calls = {"predict": self._predict, "classify": self._classify, "regress": self._regress}
        self._slots = asyncio.Semaphore(flags.rest_api_num_threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        if path[:4].lower() != "/v1/":
            raise HTTPException(404)
        if scope["query_string"]:
            path = f"{path}?{scope['query_string'].decode('latin-1')}"
        answer = await self._answer(request, path)
        await self._response(answer)(scope, receive, send)

    async def readiness(self, _: Request) -> Response:
        ready = self._api.ready
        return JSONResponse(
            {"status": "ready" if ready else "not ready"}, 200 if ready else 503, self._headers
        )

    async def index(self, _: Request) -> Response:
        models = [_model_json(self._api, name) for name in self._api.model_names]
        return JSONResponse({"models": models, **_PAGES}, headers=self._headers)

    async def description(self, _: Request) -> Response:
        return JSONResponse(describe_api(self._api), headers=self._headers)

    async def on_serving_error(self, _: Request, error: ServingError) -> Response:
        return self._response(json_answers.error_json(error.message), HTTP_STATUS.get(error.code, 500))

    async def on_http_error(self, _: Request, error: HTTPException) -> Response:
        headers = {**(self._headers or {}), **(error.headers or {})}
        content = json_answers.error_json(error.detail)
        return Response(content, error.status_code, headers, "application/json")

    async def on_crash(self, _: Request, error: Exception) -> Response:
        # Starlette raises it again, so that it is logged.
        return self._response(json_answers.error_json("Internal error"), 500)

    def _response(self, content: bytes, status: int = 200) -> Response:
        return Response(content, status, self._headers, "application/json")

    async def _answer(self, request: Request, path: str) -> bytes:
        if request.method == "OPTIONS":
            return b""
        match = _CALL_PATH.fullmatch(path) if request.method == "POST" else None
        if match and match["call"] in self._calls:  # the path may be in capitals, the call may not
            return await self._call(request, match["call"], _spec(match))
        if request.method == "GET" and (match := _STATUS_PATH.fullmatch(path)):
            return self._status(match)
        raise invalid_argument(f"Malformed request: {request.method} {path}")

    def _status(self, match: re.Match[str]) -> bytes:
        if not match["name"]:
            raise invalid_argument("Missing model name in request.")
        spec = _spec(match)
        if match["metadata"] == "/metadata":
            metadata = GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
            return json_answers.metadata_json(self._api.model_metadata(metadata))
        return json_answers.status_json(self._api.model_status(GetModelStatusRequest(model_spec=spec)))

    async def _call(self, request: Request, method: str, spec: ModelSpec) -> bytes:
        with self._budget.share() as share:
            try:
                body = await read_body(request, self._limits, share)
            except ClientDisconnect as error:
                raise ServingError(_CODES.CANCELLED, "The client is gone") from error
            async with self._slots:
                if is_gzip(request):
                    body = await asyncio.to_thread(inflated, body, self._limits.max_bytes, share)
                call = _Call(method, spec, body, self._timeout_s, share)
                return await _while_connected(request, self._calls[method](call))

    async def _predict(self, call: _Call) -> bytes:
        with contextlib.ExitStack() as stack:
            with _reported(self._api, call):
                parsed = await _parsed(call)
                # One version from here to the answer, whatever is loaded meanwhile.
                version = stack.enter_context(self._api.holding(call.spec))
                request, in_rows = await self._predict_request(call, parsed, version)
            response = await self._api.predict(request, call.timeout_s, via="rest", version=version)
            write = json_answers.predictions_json if in_rows else json_answers.outputs_json
            return await in_thread_if(response.ByteSize() > SHORT_BYTES, write, response.outputs)

    async def _predict_request(
        self, call: _Call, parsed: DenseRequest | dict[str, Any], version: Version
    ) -> tuple[PredictRequest, bool]:
        inputs = self._api.signature(version, call.spec.signature_name).inputs
        request = PredictRequest(model_spec=call.spec)
        if isinstance(parsed, DenseRequest):
            if fill_dense(request, parsed.numbers, inputs):
                return request, parsed.in_rows
            parsed = await in_thread_if(call.is_long, _parsed_object, call)
        request.output_filter.extend(output_filter(parsed))
        return request, await in_thread_if(call.is_long, fill_inputs, request, parsed, inputs)

    async def _classify(self, call: _Call) -> bytes:
        request = ClassificationRequest()
        await self._fill(call, request)
        response = await self._api.classify(request, call.timeout_s, via="rest")
        is_long = response.ByteSize() > SHORT_BYTES
        return await in_thread_if(is_long, json_answers.classification_json, response.result)

    async def _regress(self, call: _Call) -> bytes:
        request = RegressionRequest()
        await self._fill(call, request)
        response = await self._api.regress(request, call.timeout_s, via="rest")
        is_long = response.ByteSize() > SHORT_BYTES
        return await in_thread_if(is_long, json_answers.regression_json, response.result)

    async def _fill(self, call: _Call, request: ClassificationRequest | RegressionRequest) -> None:
        with _reported(self._api, call):
            document = await in_thread_if(call.is_long, _parsed_object, call, EXAMPLE_BYTES)
            call.spec.signature_name = signature_name(document)
            request.model_spec.CopyFrom(call.spec)
            await in_thread_if(call.is_long, fill_examples, request.input, document)


def _model_json(api: Api, name: str) -> dict[str, Any]:
    """Returns what there is of a model, and the paths to it: {"name": "m", "versions": […], "status": …}."""
    versions = []
    with contextlib.suppress(ServingError):  # none was found yet
        found = api.model_status(GetModelStatusRequest(model_spec=ModelSpec(name=name)))
        versions = [
            {"version": str(each.version), "state": ModelVersionStatus.State.Name(each.state)}
            for each in found.model_version_status
        ]
    root = f"/v1/models/{quote(name, safe='')}"
    calls = {call: f"{root}:{call}" for call in ("predict", "classify", "regress")}
    return {"name": name, "versions": versions, "status": root, "metadata": f"{root}/metadata", **calls}


@contextlib.contextmanager
def _reported(api: Api, call: _Call) -> Iterator[None]:
    """Reports to the observers what fails on the way to the Api, which reports the rest."""
    start = time.perf_counter()
    try:
        yield
    except ServingError as error:
        seconds = time.perf_counter() - start
        name, signature = call.spec.name, call.spec.signature_name
        for observe in api.observers:
            observe(Observation(name, None, signature, call.method, error.code, seconds, "rest"))
        raise


async def _parsed(call: _Call) -> DenseRequest | dict[str, Any]:
    """Returns a Predict request's JSON, and adds the signature that it names to the call."""
    call.share.take(_DENSE_FACTOR * len(call.body))
    dense = await in_thread_if(len(call.body) > _SHORT_DENSE_BYTES, parse_dense, call.body)
    if dense is not None:
        call.spec.signature_name = dense.signature_name
        return dense
    document = await in_thread_if(call.is_long, _parsed_object, call)
    call.spec.signature_name = signature_name(document)
    return document


def _parsed_object(call: _Call, bytes_an_object: int = OBJECT_BYTES) -> dict[str, Any]:
    if call.is_long:
        call.share.take(parsed_bytes(call.body, bytes_an_object))
    return parse_object(call.body)


def _spec(match: re.Match[str]) -> ModelSpec:
    spec = ModelSpec(name=unquote(match["name"], errors="replace"))
    if match["version"]:
        digits = match["version"].lstrip("0") or "0"
        if len(digits) > len(str(2**63)) or int(digits) >= 2**63:
            raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(digits)
    if match["label"]:
        spec.version_label = unquote(match["label"], errors="replace")
    return spec


def _monitoring(api: Api, config_file: str) -> list[Route]:
    if not config_file:
        return []
    prometheus = read_text_proto(config_file, MonitoringConfig).prometheus_config
    if not prometheus.enable:
        return []
    path = prometheus.path or _PROMETHEUS_PATH
    if not re.fullmatch(r"/[^{}?#]*", path):
        raise invalid_argument(f"{config_file}: expected a path that starts with '/', got '{path}'")
    metrics = Metrics(api)
    api.observers.append(metrics.observe)

    async def page(_: Request) -> Response:
        return PlainTextResponse(metrics.page())

    return [Route(path, page)]


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _while_connected(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """Returns the work's result; cancels it if the client goes away."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_PATIENCE_S)
            if not task.done() and await request.is_disconnected():
                raise ServingError(_CODES.CANCELLED, "The client is gone")
        return task.result()
    finally:
        task.cancel()
