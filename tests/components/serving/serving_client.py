"""Small models made here, and real servers on real sockets in this process."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from components.serving.flags import ServerFlags
from components.serving.server import Server

INT_MAX = 2**31 - 1


class HalfPlus(tf.Module):
    """y = x / 2 + offset."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = tf.Variable(offset)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def half_plus(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x / 2 + self.offset}

    def signatures(self) -> dict[str, Any]:
        return {"serving_default": self.half_plus}


class Everything(HalfPlus):
    """One signature for each thing that a server must do."""

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.float32, "a"), tf.TensorSpec([None, 2], tf.float32, "b")]
    )
    def two_inputs(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sum": a + tf.reduce_sum(b, axis=1), "difference": a - tf.reduce_sum(b, axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def below_100(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.debugging.assert_less(x, 100.0, message="x is too large")]):
            return {"y": tf.identity(x), "batch_size": tf.fill([tf.size(x)], tf.size(x))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "steps")])
    def spin(self, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes about a millisecond a step."""
        matrix = tf.while_loop(
            lambda i, _: i < steps[0],
            lambda i, m: (i + 1, tf.linalg.l2_normalize(m @ m)),
            (tf.constant(0), tf.ones([256, 256])),
        )[1]
        return {"y": tf.reshape(tf.reduce_sum(matrix) * 0.0, [1])}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, "rows")])
    def row_sums(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sums": tf.reduce_sum(rows, axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
    def scalar(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x * 2}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, "x")])
    def scalar_text(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x + "!"}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        x = self._parsed(inputs)
        return {
            "classes": tf.tile([["low", "high"]], [tf.size(x), 1]),
            "scores": tf.stack([1 - x, x], axis=1),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self._parsed(inputs) / 2 + self.offset}

    def _parsed(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]

    def signatures(self) -> dict[str, Any]:
        names = (
            "two_inputs",
            "below_100",
            "spin",
            "row_sums",
            "scalar",
            "scalar_text",
            "classify",
            "regress",
        )
        return {**super().signatures(), **{name: getattr(self, name) for name in names}}


class Models:
    """SavedModels, each made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def everything(self) -> Path:
        return self._save("everything", Everything(2.0))

    def half_plus(self, offset: float) -> Path:
        path = self._folder / f"half_plus_{offset}"
        return path if path.exists() else self._save(path.name, HalfPlus(offset))

    def _save(self, name: str, module: HalfPlus) -> Path:
        path = self._folder / name
        tf.saved_model.save(module, str(path), signatures=module.signatures())
        return path


def publish(model: Path, base_path: Path, version: int | str) -> Path:
    """Copies a SavedModel to a version that appears at once."""
    staged = base_path / f".staged-{version}"
    shutil.copytree(model, staged)
    return staged.rename(base_path / str(version))


class Client:
    """A server in a thread of this process, and its stubs."""

    def __init__(self, flags: ServerFlags) -> None:
        self.lines: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server: Server = self.on_loop(_made(flags))

    def start(self) -> None:
        self.on_loop(self.server.start(self.lines.append))
        self.channel = grpc.insecure_channel(
            f"127.0.0.1:{self.server.grpc_port}",
            options=[("grpc.max_receive_message_length", INT_MAX), ("grpc.max_send_message_length", INT_MAX)],
        )
        self.prediction = PredictionServiceStub(self.channel)
        self.model = ModelServiceStub(self.channel)

    def on_loop(self, work: Coroutine[Any, Any, Any], timeout_s: float = 30) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def stop(self, grace_s: float = 5) -> None:
        self.on_loop(self.server.stop(grace_s))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def predict(self, name: str = "m", version: int | None = None, **inputs: Any) -> dict[str, Any]:
        response = self.prediction.Predict(predict_request(name, version, **inputs), timeout=20)
        return {alias: tf.make_ndarray(tensor) for alias, tensor in response.outputs.items()}

    def answer(self, x: float = 2.0, **keys: Any) -> float:
        """What the default signature of a HalfPlus gives for x."""
        return float(self.predict(x=np.float32([x]), **keys)["y"][0])

    def status(self, name: str = "m", version: int | None = None) -> Any:
        request = GetModelStatusRequest()
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        return self.model.GetModelStatus(request, timeout=20).model_version_status

    def states(self, name: str = "m") -> dict[int, str]:
        return {status.version: status.State.Name(status.state) for status in self.status(name)}

    def reload(self, *configs: dict[str, Any], timeout_s: float = 20) -> Any:
        request = ReloadConfigRequest()
        request.config.model_config_list.SetInParent()
        for config in configs:
            labels = config.pop("version_labels", {})
            added = request.config.model_config_list.config.add(**{"model_platform": "tensorflow", **config})
            for label, version in labels.items():
                added.version_labels[label] = version
        return self.model.HandleReloadConfigRequest(request, timeout=timeout_s)


async def _made(flags: ServerFlags) -> Server:
    return Server(flags)


def predict_request(
    name: str = "m",
    version: int | None = None,
    signature: str = "",
    outputs: tuple[str, ...] = (),
    label: str = "",
    **inputs: Any,
) -> PredictRequest:
    request = PredictRequest(output_filter=outputs)
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return request


@contextmanager
def served(base_path: Path | str = "", **flags: Any) -> Iterator[Client]:
    """A server of the model "m"; it looks for versions 50 times a second, and gives up at once."""
    settings = {
        "port": 0,
        "model_name": "m",
        "model_base_path": str(base_path),
        "file_system_poll_wait_seconds": 0.02,
        "max_num_load_retries": 0,
        **flags,
    }
    client = Client(ServerFlags(**settings))
    try:
        client.start()
        yield client
    finally:
        client.stop()


def eventually(holds: Callable[[], Any], timeout_s: float = 15) -> Any:
    """Waits until a condition holds, and returns its value."""
    end = time.monotonic() + timeout_s
    while not (value := holds()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
    return value


@contextmanager
def refused(code: grpc.StatusCode, message: str) -> Iterator[None]:
    """Expects an RPC to fail with this code and message, where "…" stands for any end."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    found = caught.value.details()
    assert (caught.value.code(), found[: len(message) - 1] + "…" if message.endswith("…") else found) == (
        code,
        message,
    )
