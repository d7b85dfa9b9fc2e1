"""The served function of a task: raw requests in, answers out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from components.protocols import Request
from components.task import Task
from components.windows.fold import fold
from components.windows.padding import pad

SERVING_DEFAULT = "serving_default"
EXAMPLES = "examples"

Tensors = dict[str, Any]
# Hears how many windows are done, and how many there are.
Tell = Callable[[Any, Any], Any]


class ServingModel:
    """Raw features in, answers out: the transform graph, the windows if there are any, the Keras model."""

    def __init__(self, task: Task, keras_model: keras.Model, transform: tft.TFTransformOutput) -> None:
        self._task = task
        self._keras_model = keras_model
        self._input_names = [tensor.name for tensor in keras_model.inputs]
        self._transform = transform.transform_features_layer()
        served = [key for key, feature in task.source.features.items() if feature.served]
        self.raw_spec = {key: transform.raw_feature_spec()[key] for key in served}
        # What the signatures read has to hang on what is saved. Not Keras' own wrappers: they are not needed
        # to serve, and saving the transform layer traces it anew, which takes longer than all the rest.
        self.module = tf.Module(name=task.name)
        self.module.weights = [variable.value for variable in keras_model.variables]
        self.module.transform = self._transform._saved_model_loader_tracked_dict
        if task.windowing is not None:
            # How many windows are done, and how many there are; on the CPU, where it is read meanwhile.
            with tf.device("/cpu:0"):
                self.module.windows = tf.Variable([0, 0], trainable=False)
            self.module.watched = self._watched()

    def predict_raw(self, raw: Mapping[str, Any], tell: Tell | None = None) -> Tensors:
        """Returns the answers to a batch of raw features, of those that requests carry."""
        return self.predict(self.features(raw), tell)

    def features(self, raw: Mapping[str, Any]) -> Tensors:
        """Returns dense model features of a batch of raw features."""
        return pad(self._transform.call(dict(raw)))

    def predict(self, features: Mapping[str, Any], tell: Tell | None = None) -> Tensors:
        """Returns the answers to a batch of features, one for each example, however many windows it has."""
        if self._task.windowing is not None:
            return fold(self._task.windowing, features, self._network, tell)
        return self._task.model.answers(self._network(features), self._task.source.features)

    def _network(self, inputs: Mapping[str, Any]) -> Any:
        return self._keras_model({name: inputs[name] for name in self._input_names}, training=False)

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
        """Returns one request for each signature, made of serialized tf.Examples."""
        raw = tf.io.parse_example(list(examples), self.raw_spec)
        features = self.features(raw)
        inputs = {
            name: dict(request.from_raw(features if request.of_features else raw))
            for name, request in self._requests().items()
        }
        return {**inputs, SERVING_DEFAULT: {EXAMPLES: tf.constant(list(examples))}}

    def answered(self, name: str, inputs: Mapping[str, Any], answers: Mapping[str, Any]) -> Tensors:
        """Returns what a signature answers of the answers for serialized tf.Examples."""
        request = self._requests().get(name)
        return request.answered(inputs, answers) if request else dict(answers)

    def _requests(self) -> Mapping[str, Request]:
        return self._task.preprocessing.requests()

    def _signature(self, request: Request) -> Any:
        specs = list(request.inputs.values())

        def answer(*values: Any) -> Tensors:
            return self._answer(request, dict(zip(request.inputs, values, strict=True)))

        return tf.function(answer, input_signature=specs, autograph=False)

    def _watched(self) -> dict[str, Any]:
        """Returns what answers as the task's own signatures do, of inputs by name, and tells of its windows.

        Beside the signatures, since a server answers several requests at once, and nobody watches.
        """

        def watched(request: Request) -> Any:
            return tf.function(
                lambda inputs: self._answer(
                    request, inputs, lambda *windows: self.module.windows.assign(windows)
                ),
                input_signature=[dict(request.inputs)],
                autograph=False,
            )

        return {name: watched(request) for name, request in self._requests().items()}

    def _answer(self, request: Request, inputs: Tensors, tell: Tell | None = None) -> Tensors:
        check_batch(inputs)
        predict = self.predict if request.of_features else self.predict_raw
        return request.answered(inputs, predict(request.to_raw(inputs), tell))


def check_batch(inputs: Mapping[str, Any]) -> None:
    """Makes a request an InvalidArgumentError whose inputs [batch, …] are not equally many.

    Texts of a pair go through the tokenizer together, so that one too few would be taken from the other side.
    """
    (first, values), *others = inputs.items()
    for name, other in others:
        message = f"{name}: expected as many as {first}"
        tf.debugging.assert_equal(tf.shape(other)[0], tf.shape(values)[0], message)
