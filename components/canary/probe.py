"""Tries an exported model on the project's model server, and makes sense of how that ends."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import tensorflow as tf
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from components import files
from components.canary.replay import (
    NotRepeated,
    Record,
    Report,
    Tensors,
    Tolerance,
    one_line,
    read_records,
    replay,
)
from components.canary.server import (
    ModelServer,
    OutOfMemory,
    OutOfTime,
    RequestFailed,
    ServerEnded,
    model_server,
    request_failed,
)
from components.errors import Failure

# Sent from outside, such as by the kernel when memory is short: no verdict on the model.
_OUTSIDE_SIGNALS: Final = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_STARTING: Final = "starting"
_VERSION: Final = 1
_SIGNATURES: Final = "signature_def"
# TensorFlow's own entries among the signatures, such as __saved_model_init_op.
_INTERNAL: Final = "__saved_model_"


class CanaryError(Failure):
    """The check itself did not come to an end; another run may."""


def probe(model_dir: str, tolerance: Tolerance, timeout_s: float) -> Report:
    """Returns the verdict on the SavedModel in `model_dir`, a path or URI, of a server started for it.

    Raises:
      CanaryError: no verdict in `timeout_s` seconds, killed from outside, or short of memory.
    """
    with model_server() as server:
        return check(server, model_dir, tolerance, timeout_s)


def check(server: ModelServer, model_dir: str, tolerance: Tolerance, timeout_s: float) -> Report:
    """Returns the verdict of a server that may still start; raises CanaryError, as `probe` does."""
    trial = _Trial(server, time.monotonic() + timeout_s)
    try:
        return trial.run(model_dir, tolerance)
    except OutOfTime as error:
        raise CanaryError(f"{model_dir}: no verdict within {timeout_s:g} s, still {trial.stage}") from error
    except (MemoryError, OutOfMemory, tf.errors.ResourceExhaustedError) as error:
        raise CanaryError(f"{model_dir}: memory ran out while {trial.stage}: {one_line(error)}") from error
    except ServerEnded as ended:
        return _verdict(model_dir, trial.stage, ended)


class _Trial:
    """One model on one server; `stage` says what is being done."""

    def __init__(self, server: ModelServer, deadline: float) -> None:
        self.stage = _STARTING
        self._server = server
        self._deadline = deadline
        self._model_name = ""

    def run(self, model_dir: str, tolerance: Tolerance) -> Report:
        self._server.connect(self._deadline)
        self.stage = "loading the model"
        with _published(model_dir) as base_path:
            version = os.path.join(base_path, str(_VERSION))
            # Unlike that of any model that the server had before.
            self._model_name = os.path.basename(base_path)
            try:
                signatures = self._load(base_path, version)
            except (NotRepeated, RequestFailed) as error:
                return Report(ok=False, reason=str(error).replace(version, model_dir), signatures={})
            records = self._announced(read_records(version))
            return replay(signatures, records, self._answer, tolerance)

    def _load(self, base_path: str, version: str) -> list[str]:
        """Returns the names of the signatures; NotRepeated or RequestFailed say why there are none."""
        if not any(Path(version).glob("saved_model.pb*")):
            # The server would wait for it.
            raise NotRepeated("SavedModel file does not exist: saved_model.pb is missing")
        request = ReloadConfigRequest()
        request.config.model_config_list.config.add(
            name=self._model_name, base_path=base_path, model_platform="tensorflow"
        )
        server = self._server
        try:
            server.call(server.models.HandleReloadConfigRequest, request, self._deadline)
        except RequestFailed as error:
            raise self._load_failure() from error
        return self._signatures()

    def _load_failure(self) -> RequestFailed | OutOfMemory:
        """Returns what went wrong with the load, which the answer to a reload wraps and shortens."""
        request = GetModelStatusRequest()
        request.model_spec.name = self._model_name
        response = self._server.call(self._server.models.GetModelStatus, request, self._deadline)
        status = response.model_version_status[0].status
        return request_failed(status.error_code, status.error_message)

    def _signatures(self) -> list[str]:
        request = GetModelMetadataRequest(metadata_field=[_SIGNATURES])
        request.model_spec.name = self._model_name
        response = self._server.call(self._server.prediction.GetModelMetadata, request, self._deadline)
        signatures = SignatureDefMap.FromString(response.metadata[_SIGNATURES].value)
        return sorted(name for name in signatures.signature_def if not name.startswith(_INTERNAL))

    def _announced(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            self.stage = f"answering signature {record.signature!r}"
            yield record

    def _answer(self, signature: str, inputs: Tensors) -> Tensors:
        request = PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self._model_name, signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        try:
            response = self._server.call(self._server.prediction.Predict, request, self._deadline)
        except RequestFailed as error:
            raise NotRepeated(f"signature {signature!r}: {error}") from error
        return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


@contextmanager
def _published(model_dir: str) -> Iterator[str]:
    """Yields a base path, as servers want it, that holds the model as its only version.

    A local model is linked, not copied.
    """
    with tempfile.TemporaryDirectory(prefix="canary-") as base_path:
        version = os.path.join(base_path, str(_VERSION))
        scheme, _, path = model_dir.rpartition("://")
        if scheme in ("", "file"):
            os.symlink(os.path.abspath(path), version)
        else:
            _copy(model_dir, version)
        yield base_path


def _copy(model_dir: str, target: str) -> None:
    try:
        files.copy_tree(model_dir, target)
    except OSError as error:
        raise CanaryError(f"{model_dir}: cannot be copied: {one_line(error)}") from error


def _verdict(model_dir: str, stage: str, ended: ServerEnded) -> Report:
    complaint = f": {ended.complaint}" if ended.complaint else ""
    if -ended.code in _OUTSIDE_SIGNALS or ended.was_stopped:
        name = "a signal" if ended.was_stopped else signal.Signals(-ended.code).name
        raise CanaryError(f"{model_dir}: the check was killed by {name} while {stage}; is memory short?")
    if stage == _STARTING:
        raise CanaryError(f"{model_dir}: the check could not start{complaint}")
    how = f"with {signal.Signals(-ended.code).name}" if ended.code < 0 else f"with exit code {ended.code}"
    return Report(ok=False, reason=f"the process ended {how} while {stage}{complaint}", signatures={})
