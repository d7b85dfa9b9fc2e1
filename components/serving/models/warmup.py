"""Requests recorded in a SavedModel, replayed before it serves, so that no client waits for lazy set-up.

The file is a TFRecord of PredictionLog (tensorflow.org/tfx/serving/saved_model_warmup).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from components.serving.errors import ServingError, invalid_argument
from components.serving.models import inference
from components.serving.models.servable import Servable

REQUESTS: Final = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS: Final = 1000


def warm_up(servable: Servable, path: str, iterations: int = 1) -> None:
    """Replays the requests recorded in the SavedModel at `path`, if any; ServingError if one fails."""
    file = f"{path}/{REQUESTS}"
    if not tf.io.gfile.exists(file):
        return
    for number, log in enumerate(_read(file), start=1):
        if number > MAX_RECORDS:
            raise invalid_argument(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {file}")
        for _ in range(iterations):
            _replay(servable, log)


def recorded_requests(path: str) -> Iterator[PredictRequest]:
    """Yields the requests to Predict recorded in the SavedModel at `path`; ServingError as `warm_up`."""
    file = f"{path}/{REQUESTS}"
    if tf.io.gfile.exists(file):
        logs = itertools.islice(_read(file), MAX_RECORDS)
        yield from (log.predict_log.request for log in logs if log.HasField("predict_log"))


def _read(file: str) -> Iterator[PredictionLog]:
    try:
        for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
            yield PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid_argument(f"Failed to parse warmup record from {file}") from error
    except tf.errors.DataLossError as error:
        raise ServingError(
            grpc.StatusCode.DATA_LOSS,
            f"{error.message}. Please verify your warmup data is in TFRecord format.",
        ) from error


def _replay(servable: Servable, log: PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        inference.run(servable, inference.plan_predict(servable, log.predict_log.request))
    elif kind == "classify_log":
        inference.run(servable, inference.plan_classify(servable, log.classify_log.request))
    elif kind == "regress_log":
        inference.run(servable, inference.plan_regress(servable, log.regress_log.request))
    elif kind == "multi_inference_log":
        inference.run(servable, inference.plan_multi_inference(servable, log.multi_inference_log.request))
    elif kind is not None:
        raise ServingError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
