"""What both protocols call: TensorFlow Serving's calls, proto in and proto out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import grpc
from google.protobuf import message
from tensorflow.core.protobuf.error_codes_pb2 import Code
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest, ClassificationResponse
from tensorflow_serving.apis.get_model_metadata_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    SignatureDefMap,
)
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, GetModelStatusResponse
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest, MultiInferenceResponse
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResponse

from components.serving.batching import Batcher
from components.serving.errors import ServingError, invalid_argument
from components.serving.models import inference
from components.serving.models.batching_settings import BatchingSettings
from components.serving.models.inference import Plan
from components.serving.models.manager import Manager, Version
from components.serving.models.servable import DEFAULT_SIGNATURE, Servable
from components.serving.threads import SHORT_BYTES, in_thread_if

Protocol = Literal["grpc", "rest"]
Planner = Callable[[Servable], Plan]

_SIGNATURE_DEF: Final = "signature_def"


class Observation(NamedTuple):
    """One answered request, for metrics."""

    model_name: str
    version: int | None  # None: no version was found
    signature_name: str
    method: str  # "predict", "classify", "regress", "multi_inference"
    code: grpc.StatusCode
    seconds: float
    api: Protocol


@dataclass
class _Watched:
    """What is known of a request while it is answered."""

    request: message.Message
    spec: ModelSpec
    method: str
    api: Protocol
    version: Version | None = None


class Api:
    """Both protocols' calls, on the event loop; TensorFlow runs in threads. Every error is a ServingError."""

    def __init__(self, manager: Manager, num_threads: int, num_batch_threads: int) -> None:
        self.observers: list[Callable[[Observation], None]] = []  # called on the event loop
        self._manager = manager
        self._threads = ThreadPoolExecutor(num_threads, "request")
        self._batcher = Batcher(num_batch_threads)

    async def predict(
        self,
        request: PredictRequest,
        timeout_s: float | None = None,
        *,
        via: Protocol = "grpc",
        version: Version | None = None,
    ) -> PredictResponse:
        """Answers Predict: typed fields over gRPC, as TensorFlow Serving; `tensor_content` for REST.

        `version`: the one to run, held by the caller; otherwise the one that the request asks for.
        """
        return await self._answer(
            _Watched(request, _required_spec(request), "predict", via, version),
            lambda servable: inference.plan_predict(servable, request, as_content=via == "rest"),
            timeout_s,
        )

    async def classify(
        self, request: ClassificationRequest, timeout_s: float | None = None, *, via: Protocol = "grpc"
    ) -> ClassificationResponse:
        """Answers Classify."""
        return await self._answer(
            _Watched(request, _required_spec(request), "classify", via),
            lambda servable: inference.plan_classify(servable, request),
            timeout_s,
        )

    async def regress(
        self, request: RegressionRequest, timeout_s: float | None = None, *, via: Protocol = "grpc"
    ) -> RegressionResponse:
        """Answers Regress."""
        return await self._answer(
            _Watched(request, _required_spec(request), "regress", via),
            lambda servable: inference.plan_regress(servable, request),
            timeout_s,
        )

    async def multi_inference(
        self, request: MultiInferenceRequest, timeout_s: float | None = None, *, via: Protocol = "grpc"
    ) -> MultiInferenceResponse:
        """Answers MultiInference."""
        spec = request.tasks[0].model_spec if request.tasks else ModelSpec()
        return await self._answer(
            _Watched(request, spec, "multi_inference", via),
            lambda servable: inference.plan_multi_inference(servable, request),
            timeout_s,
        )

    def model_metadata(self, request: GetModelMetadataRequest) -> GetModelMetadataResponse:
        """Answers GetModelMetadata: all signatures of the version that is asked for."""
        spec = _required_spec(request)
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise invalid_argument(f"Metadata field {field} is not supported")
        version = self._manager.find(spec)
        response = GetModelMetadataResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = version.number
        signatures = SignatureDefMap()
        for name, signature in _servable(version).signatures.items():
            signatures.signature_def[name].CopyFrom(signature.definition)
        response.metadata[_SIGNATURE_DEF].Pack(signatures)
        return response

    def model_status(self, request: GetModelStatusRequest) -> GetModelStatusResponse:
        """Answers GetModelStatus, newest version first."""
        response = GetModelStatusResponse()
        for version in self._manager.states(_required_spec(request)):
            added = response.model_version_status.add(version=version.number, state=version.state)
            added.status.error_code = Code.Value("OK")
            if version.error is not None:
                added.status.error_code = version.error.code.value[0]
                added.status.error_message = version.error.message
        return response

    def holding(self, spec: ModelSpec) -> contextlib.AbstractContextManager[Version]:
        """Gives the version that `spec` asks for, loaded until the end; ServingError if there is none."""
        return self._manager.holding(spec)

    def signature(self, version: Version, signature_name: str) -> SignatureDef:
        """Returns a signature of a held version, "" for the default; ServingError if there is none."""
        name = signature_name or DEFAULT_SIGNATURE
        signatures = _servable(version).signatures
        if name not in signatures:
            raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
        return signatures[name].definition

    @property
    def model_names(self) -> list[str]:
        """The configured models, sorted."""
        return self._manager.model_names

    @property
    def ready(self) -> bool:
        """Whether every configured model has an available version and the server is not stopping."""
        return self._manager.ready

    def stop(self) -> None:
        """Ends the threads; requests must have ended."""
        self._threads.shutdown(wait=False)
        self._batcher.stop()

    async def _answer(self, watched: _Watched, plan: Planner, timeout_s: float | None) -> Any:
        with self._observed(watched):
            version = watched.version = watched.version or self._manager.find(watched.spec)
            self._manager.hold(version)  # until it is not run any more, even if nobody waits
            settings = _servable(version).batching
            if settings is None:
                return await self._alone(version, plan, timeout_s)
            is_long = watched.request.ByteSize() > SHORT_BYTES
            return await self._batched(version, plan, settings, timeout_s, is_long)

    async def _alone(self, version: Version, plan: Planner, timeout_s: float | None) -> Any:
        servable, loop = _servable(version), asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()

        def work() -> None:
            # What nobody waits for is not begun; what has begun keeps its version to its end.
            answer = None if outcome.done() else _answer_or_error(servable, plan)
            loop.call_soon_threadsafe(end, answer)

        def end(answer: Any) -> None:
            self._manager.release(version)
            if isinstance(answer, BaseException) and not outcome.done():
                outcome.set_exception(answer)
            elif not outcome.done():
                outcome.set_result(answer)

        self._threads.submit(work)
        return await _within(outcome, timeout_s)

    async def _batched(
        self,
        version: Version,
        plan: Planner,
        settings: BatchingSettings,
        timeout_s: float | None,
        is_long: bool,
    ) -> Any:
        servable = _servable(version)
        try:
            planned = await in_thread_if(is_long, plan, servable)
            task = self._batcher.submit(servable, planned.graph, planned.inputs, settings)
        except BaseException:
            self._manager.release(version)
            raise
        task.outcome.add_done_callback(lambda _: self._manager.release(version))
        try:
            outputs = await _within(asyncio.shield(task.outcome), timeout_s)
        finally:
            task.abandoned = not task.outcome.done()
        num_bytes = sum(output.nbytes for output in outputs)
        return await in_thread_if(num_bytes > SHORT_BYTES, planned.answer, outputs)

    @contextlib.contextmanager
    def _observed(self, watched: _Watched) -> Iterator[None]:
        start, code = time.perf_counter(), grpc.StatusCode.UNKNOWN
        try:
            yield
            code = grpc.StatusCode.OK
        except ServingError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            seconds = time.perf_counter() - start
            spec = watched.spec
            name = spec.signature_name or DEFAULT_SIGNATURE
            number = watched.version.number if watched.version else None
            for observe in self.observers:
                observe(Observation(spec.name, number, name, watched.method, code, seconds, watched.api))


def _required_spec(request: Any) -> ModelSpec:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    return request.model_spec


def _servable(version: Version) -> Servable:
    if version.servable is None:
        raise ServingError(grpc.StatusCode.INTERNAL, f"version {version.number} is available but not loaded")
    return version.servable


def _answer_or_error(servable: Servable, plan: Planner) -> Any:
    try:
        return inference.run(servable, plan(servable))
    except BaseException as error:  # raised where it is waited for
        return error


async def _within(outcome: asyncio.Future[Any], timeout_s: float | None) -> Any:
    if timeout_s is None:
        return await outcome
    is_late = False

    def expire() -> None:
        nonlocal is_late
        is_late = outcome.cancel()

    timer = asyncio.get_running_loop().call_later(timeout_s, expire)
    try:
        return await outcome
    except asyncio.CancelledError:
        if not is_late:
            raise
        late = "Timed out waiting for notification"
        raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, late) from None
    finally:
        timer.cancel()
