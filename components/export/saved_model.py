"""Export: a SavedModel that takes raw requests, with warm-up requests and the answers they should get."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from components import files
from components.export.results import write_results
from components.export.serving_model import ServingModel, Tensors
from components.models.precision import dtype_policy
from components.task import Task

# TensorFlow Serving replays these records before a version goes live, and ignores the responses in them.
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


def export(
    task: Task,
    weights: Sequence[np.ndarray[Any, Any]],
    transform: tft.TFTransformOutput,
    warmup_examples: Sequence[bytes],
    results: Mapping[str, Any],
    export_dir: str,
) -> None:
    """Writes the SavedModel of a trained task; it computes in float32 wherever it was trained."""
    # On the CPU, so that the answers below do not carry the rounding of a GPU's tensor cores.
    with dtype_policy("float32"), tf.device("/cpu:0"):
        keras_model = task.model.build()
    keras_model.set_weights(list(weights))
    model = ServingModel(task, keras_model, transform)
    tf.saved_model.save(model.module, export_dir, signatures=model.signatures())
    raw = tf.io.parse_example(list(warmup_examples), model.raw_spec)
    # The answers come from the Keras model in this process and the examples themselves, so that they repeat
    # no fault of the export or of what turns a request into raw features.
    with tf.device("/cpu:0"):
        expected = model.predict_raw(raw)
    files.make_folder(os.path.join(export_dir, "assets.extra"))
    task.model.save_weights(keras_model, export_dir)
    with tf.io.TFRecordWriter(os.path.join(export_dir, WARMUP_FILE)) as writer:
        for name, inputs in model.warmup_inputs(warmup_examples).items():
            with tf.device("/cpu:0"):
                answers = model.answered(name, inputs, expected)
            log = prediction_log(task.name, name, to_numpy(inputs), to_numpy(answers))
            writer.write(log.SerializeToString())
    write_results(results, export_dir)


def prediction_log(
    model_name: str, signature: str, inputs: Tensors, outputs: Tensors
) -> prediction_log_pb2.PredictionLog:
    """Returns a request of one signature together with the answer it should get."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    response = predict_pb2.PredictResponse(model_spec=request.model_spec)
    for key, value in outputs.items():
        response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
    log = prediction_log_pb2.PredictLog(request=request, response=response)
    return prediction_log_pb2.PredictionLog(predict_log=log)


def to_numpy(tensors: Mapping[str, Any]) -> Tensors:
    """Returns eager tensors as arrays."""
    return {key: np.asarray(value) for key, value in tensors.items()}
