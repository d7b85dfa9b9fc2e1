"""Export: a SavedModel that takes raw requests, with warm-up requests and the answers they should get."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from components.task import Request, Task
from components.trainer.input_pipeline import pad
from components.trainer.precision import dtype_policy

SERVING_DEFAULT = "serving_default"
EXAMPLES = "examples"
# TensorFlow Serving replays these records before a version goes live, and ignores the responses in them.
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
RESULTS_FILE = "assets.extra/millrace.json"

Tensors = dict[str, Any]


class ServingModel:
    """Raw features in, predictions out: the transform graph, the Keras model and the task's answer."""

    def __init__(self, task: Task, keras_model: keras.Model, transform: tft.TFTransformOutput) -> None:
        self._task = task
        self._keras_model = keras_model
        self._input_names = [tensor.name for tensor in keras_model.inputs]
        self._transform = transform.transform_features_layer()
        served = [
            key
            for key, feature in task.source.features.items()
            if feature.served and key != task.source.label
        ]
        self.raw_spec = {key: transform.raw_feature_spec()[key] for key in served}
        # What the signatures read has to hang on what is saved; Keras' own wrappers are not needed to serve.
        self.module = tf.Module(name=task.name)
        self.module.weights = [variable.value for variable in keras_model.variables]
        self.module.transform = self._transform

    def predict_raw(self, raw: Mapping[str, Any]) -> Tensors:
        """Returns the answers to a batch of raw features without a label."""
        return self.predict(self.features(raw))

    def features(self, raw: Mapping[str, Any]) -> Tensors:
        """Returns dense model features of a batch of raw features."""
        return pad(self._transform(dict(raw)))

    def predict(self, features: Mapping[str, Any]) -> Tensors:
        """Returns the answers to a batch of model features; classes that have names get them as `labels`."""
        outputs = self._keras_model({name: features[name] for name in self._input_names}, training=False)
        answers = self._task.model.predictions(outputs)
        if names := self._task.source.label_names:
            answers["labels"] = tf.gather(tf.constant(names), answers["classes"])
        return answers

    def signatures(self) -> dict[str, Any]:
        """Returns the signatures by name: serialized tf.Examples, and the task's own requests."""
        by_name = {name: self._signature(request) for name, request in self._requests().items()}
        examples = tf.TensorSpec([None], tf.string, name=EXAMPLES)
        by_name[SERVING_DEFAULT] = tf.function(
            lambda examples: self.predict_raw(tf.io.parse_example(examples, self.raw_spec)),
            input_signature=[examples],
            autograph=False,
        )
        return by_name

    def warmup_inputs(self, examples: Sequence[bytes]) -> dict[str, Tensors]:
        """Returns one request for each signature, made of real examples."""
        raw = tf.io.parse_example(list(examples), self.raw_spec)
        features = self.features(raw)
        inputs = {
            name: dict(request.from_raw(features if request.of_features else raw))
            for name, request in self._requests().items()
        }
        return {**inputs, SERVING_DEFAULT: {EXAMPLES: tf.constant(list(examples))}}

    def _requests(self) -> Mapping[str, Request]:
        return self._task.preprocessing.requests()

    def _signature(self, request: Request) -> Any:
        specs = list(request.inputs.values())
        predict = self.predict if request.of_features else self.predict_raw

        def answer(*values: Any) -> Tensors:
            return predict(request.to_raw(dict(zip(request.inputs, values, strict=True))))

        return tf.function(answer, input_signature=specs, autograph=False)


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
        expected = to_numpy(model.predict_raw(raw))
    tf.io.gfile.makedirs(os.path.join(export_dir, "assets.extra"))
    task.model.save_weights(keras_model, export_dir)
    with tf.io.TFRecordWriter(os.path.join(export_dir, WARMUP_FILE)) as writer:
        for name, inputs in model.warmup_inputs(warmup_examples).items():
            log = prediction_log(task.name, name, to_numpy(inputs), expected)
            writer.write(log.SerializeToString())
    with tf.io.gfile.GFile(os.path.join(export_dir, RESULTS_FILE), "w") as file:
        file.write(json.dumps(results, indent=2))


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
