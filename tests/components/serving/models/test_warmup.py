from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from serving_client import Models, predict_request
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.apis.regression_pb2 import RegressionRequest
from test_inference import CLASSIFY, example, with_examples

from components.serving.errors import ServingError
from components.serving.models.servable import Graph, Servable
from components.serving.models.warmup import MAX_RECORDS, REQUESTS, warm_up


class Counting:
    """A loaded model that counts its runs."""

    def __init__(self, servable: Servable) -> None:
        self.num_runs = 0
        self._servable = servable

    def __getattr__(self, name: str) -> Any:
        return getattr(self._servable, name)

    def run(self, graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
        self.num_runs += 1
        return self._servable.run(graph, inputs)


@pytest.fixture(scope="module")
def loaded(models: Models) -> Iterator[Servable]:
    servable = Servable.load(1, str(models.everything))
    yield servable
    servable.close()


@pytest.fixture
def servable(loaded: Servable) -> Counting:
    return Counting(loaded)


def predict_log(x: float = 1.0, **keys: Any) -> bytes:
    log = PredictionLog()
    log.predict_log.request.CopyFrom(predict_request(x=np.float32([x]), **keys))
    return log.SerializeToString()


def record(folder: Path, *records: bytes) -> str:
    file = folder / REQUESTS
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for serialized in records:
            writer.write(serialized)
    return str(folder)


def test_every_kind_of_request_is_replayed(servable: Counting, tmp_path: Path) -> None:
    classify, regress, multi = PredictionLog(), PredictionLog(), PredictionLog()
    classify.classify_log.request.CopyFrom(with_examples(ClassificationRequest(), "classify", 0.5))
    regress.regress_log.request.CopyFrom(with_examples(RegressionRequest(), "regress", 0.5))
    request = MultiInferenceRequest()
    request.input.example_list.examples.append(example(0.5))
    task = request.tasks.add(method_name=CLASSIFY)
    task.model_spec.name, task.model_spec.signature_name = "m", "classify"
    multi.multi_inference_log.request.CopyFrom(request)
    logs = [log.SerializeToString() for log in (classify, regress, multi)]
    warm_up(servable, record(tmp_path, predict_log(), *logs), iterations=2)
    assert servable.num_runs == 8


def test_a_model_without_recorded_requests_needs_none(servable: Counting, tmp_path: Path) -> None:
    warm_up(servable, str(tmp_path))
    assert servable.num_runs == 0


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([predict_log(1000.0, signature="below_100")], "x is too large"),
        ([b"\xff"], "Failed to parse warmup record from"),
        ([predict_log()] * (MAX_RECORDS + 1), r"exceeds the maximum \(1000\)"),
    ],
    ids=["fails", "no message", "too many"],
)
def test_what_fails_in_warm_up_fails_the_load(
    servable: Counting, tmp_path: Path, records: list[bytes], message: str
) -> None:
    with pytest.raises(ServingError, match=message):
        warm_up(servable, record(tmp_path, *records))


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: content[:20] + b"?" + content[21:]]
)
def test_a_damaged_file_fails_the_load(
    servable: Counting, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = record(tmp_path, predict_log(), predict_log())
    file = tmp_path / REQUESTS
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ServingError, match="Please verify your warmup data is in TFRecord format"):
        warm_up(servable, path)
