"""The four calls of TensorFlow Serving on one servable: what a request runs, and the answer made of it.

Messages and status codes are those of its predict_util.cc, classifier.cc, regressor.cc and
multi_inference.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import grpc
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework.types_pb2 import DataType
from tensorflow_serving.apis.classification_pb2 import (
    ClassificationRequest,
    ClassificationResponse,
    ClassificationResult,
)
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest, MultiInferenceResponse
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResponse, RegressionResult

from components.serving.errors import ServingError, invalid_argument
from components.serving.models.servable import DEFAULT_SIGNATURE, Arrays, Graph, Servable, Signature, distinct
from components.serving.models.tensors import TensorError, read_tensor, write_tensor

# Keys and method names of signatures: tensorflow/python/saved_model/signature_constants.py.
PREDICT_METHOD: Final = tf.saved_model.PREDICT_METHOD_NAME
CLASSIFY_METHOD: Final = tf.saved_model.CLASSIFY_METHOD_NAME
REGRESS_METHOD: Final = tf.saved_model.REGRESS_METHOD_NAME
_INPUTS: Final = "inputs"
_CLASSES: Final = "classes"
_SCORES: Final = "scores"
_OUTPUTS: Final = "outputs"


class Plan(NamedTuple):
    """What a request runs, and how its answer is made of the fetched tensors."""

    graph: Graph
    inputs: list[NDArray[Any]]
    answer: Callable[[Arrays], Any]


def run(servable: Servable, plan: Plan) -> Any:
    """Returns the response to a planned request."""
    return plan.answer(servable.run(plan.graph, plan.inputs))


def plan_predict(servable: Servable, request: PredictRequest, as_content: bool = False) -> Plan:
    """Plans a Predict request; `as_content`: the response holds `tensor_content` in place of typed fields."""
    signature_name = _signature_name(request.model_spec)
    signature = servable.signatures.get(signature_name)
    if signature is None:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{signature_name}" not found.'
        )
    _check_predict_method(servable, signature)
    inputs = _inputs(signature, request.inputs)
    aliases = _filtered(signature, request.output_filter)
    graph = signature.graph
    if len(aliases) < len(signature.outputs):
        graph = Graph(graph.feeds, distinct(signature.outputs[alias] for alias in aliases))

    def answer(fetched: Arrays) -> PredictResponse:
        response = PredictResponse(model_spec=_answered(servable, request.model_spec))
        arrays = dict(zip(graph.fetches, fetched, strict=True))
        for alias in aliases:
            write_tensor(response.outputs[alias], arrays[signature.outputs[alias]], as_content=as_content)
        return response

    return Plan(graph, inputs, answer)


def plan_classify(servable: Servable, request: ClassificationRequest) -> Plan:
    """Plans a Classify request."""
    signature = _named(servable, request.model_spec)
    graph = _classify_graph(servable, signature)
    examples = _examples(request.input)

    def answer(fetched: Arrays) -> ClassificationResponse:
        result = _classification(signature, len(examples), dict(zip(graph.fetches, fetched, strict=True)))
        return ClassificationResponse(model_spec=_answered(servable, request.model_spec), result=result)

    return Plan(graph, [examples], answer)


def plan_regress(servable: Servable, request: RegressionRequest) -> Plan:
    """Plans a Regress request."""
    signature = _named(servable, request.model_spec)
    graph = _regress_graph(servable, signature)
    examples = _examples(request.input)

    def answer(fetched: Arrays) -> RegressionResponse:
        result = _regression(signature, len(examples), dict(zip(graph.fetches, fetched, strict=True)))
        return RegressionResponse(model_spec=_answered(servable, request.model_spec), result=result)

    return Plan(graph, [examples], answer)


def plan_multi_inference(servable: Servable, request: MultiInferenceRequest) -> Plan:
    """Plans a MultiInference request: one run for all of its tasks."""
    _check_tasks(request)
    tasks = [(task, _task_signature(servable, task.model_spec)) for task in request.tasks]
    graphs = [_task_graph(servable, task.method_name, signature) for task, signature in tasks]
    feeds = {feed for graph in graphs for feed in graph.feeds}
    if len(feeds) > 1:
        raise invalid_argument("Input tensor must be the same for all Signatures.")
    graph = Graph(tuple(feeds), distinct(fetch for graph in graphs for fetch in graph.fetches))
    examples = _examples(request.input)

    def answer(fetched: Arrays) -> MultiInferenceResponse:
        arrays = dict(zip(graph.fetches, fetched, strict=True))
        response = MultiInferenceResponse()
        for task, signature in tasks:
            result = response.results.add(model_spec=_answered(servable, task.model_spec))
            if task.method_name == CLASSIFY_METHOD:
                result.classification_result.CopyFrom(_classification(signature, len(examples), arrays))
            else:
                result.regression_result.CopyFrom(_regression(signature, len(examples), arrays))
        return response

    return Plan(graph, [examples], answer)


def _signature_name(spec: ModelSpec) -> str:
    return spec.signature_name or DEFAULT_SIGNATURE


def _answered(servable: Servable, spec: ModelSpec) -> ModelSpec:
    answered = ModelSpec(name=spec.name, signature_name=_signature_name(spec))
    answered.version.value = servable.version
    return answered


def _inputs(signature: Signature, given: Mapping[str, Any]) -> list[NDArray[Any]]:
    if len(given) != len(signature.inputs) and (len(given) > len(signature.inputs) or not signature.defaults):
        raise invalid_argument(_wrong_inputs(set(given), set(signature.inputs)))
    return [_input(signature, alias, given) for alias in signature.inputs]


def _input(signature: Signature, alias: str, given: Mapping[str, Any]) -> NDArray[Any]:
    source = given if alias in given else signature.defaults
    if alias not in source:
        raise invalid_argument(
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias]}) not found in request "
            f"and no default value provided. Inputs expected to be in the request {{{_set(given)}}}, "
            f"or default input alias set: {_set(signature.defaults)}"
        )
    try:
        return read_tensor(source[alias])
    except TensorError as error:
        raise invalid_argument(f"tensor parsing error: {alias}") from error


def _wrong_inputs(given: set[str], expected: set[str]) -> str:
    return (
        f"input size does not match signature: {len(given)}!={len(expected)} "
        f"len({{{_set(given)}}}) != len({{{_set(expected)}}}). "
        f"Sent extra: {{{_set(given - expected)}}}. Missing but required: {{{_set(expected - given)}}}."
    )


def _set(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _filtered(signature: Signature, output_filter: Iterable[str]) -> list[str]:
    wanted: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{_set(signature.outputs)}}}."
            )
        if alias in wanted:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        wanted.append(alias)
    # In one order, so that they compile once.
    return sorted(wanted) if wanted else list(signature.outputs)


def _check_predict_method(servable: Servable, signature: Signature) -> None:
    methods = (PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD)
    if servable.checks_method_names and signature.method_name not in methods:
        raise ServingError(
            grpc.StatusCode.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(methods)}}}. "
            f"Was: {signature.method_name}",
        )


def _named(servable: Servable, spec: ModelSpec) -> Signature:
    signature = servable.signatures.get(_signature_name(spec))
    if signature is None:
        raise invalid_argument(f"No signature was found with the name: {_signature_name(spec)}")
    return signature


def _classify_graph(servable: Servable, signature: Signature) -> Graph:
    _check_method(servable, signature, "classification", CLASSIFY_METHOD)
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    feed = _required(signature, signature.inputs, _INPUTS, "No classification inputs found in SignatureDef: ")
    found = [signature.outputs[key] for key in (_CLASSES, _SCORES) if key in signature.outputs]
    if not found:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "Expected classification signature outputs to contain at least one of "
            f'"{_CLASSES}" or "{_SCORES}". Signature was: {signature.definition}',
        )
    return Graph((feed,), distinct(found))


def _regress_graph(servable: Servable, signature: Signature) -> Graph:
    _check_method(servable, signature, "regression", REGRESS_METHOD)
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    feed = _required(signature, signature.inputs, _INPUTS, "No regression inputs found in SignatureDef: ")
    fetch = _required(signature, signature.outputs, _OUTPUTS, "No regression outputs found in SignatureDef: ")
    return Graph((feed,), (fetch,))


def _check_method(servable: Servable, signature: Signature, kind: str, method: str) -> None:
    if servable.checks_method_names and signature.method_name != method:
        raise invalid_argument(
            f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}"
        )


def _required(signature: Signature, tensors: Mapping[str, str], key: str, otherwise: str) -> str:
    if key not in tensors:
        raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, f"{otherwise}{signature.definition}")
    return tensors[key]


def _check_tasks(request: MultiInferenceRequest) -> None:
    seen: set[str] = set()
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid_argument(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        if _signature_name(task.model_spec) in seen:
            raise invalid_argument(f"Duplicate evaluation of signature: {_signature_name(task.model_spec)}")
        seen.add(_signature_name(task.model_spec))


def _task_signature(servable: Servable, spec: ModelSpec) -> Signature:
    signature = servable.signatures.get(_signature_name(spec))
    if signature is None:
        raise invalid_argument(f"Requested signature not found in model graph: {_signature_name(spec)}")
    return signature


def _task_graph(servable: Servable, method: str, signature: Signature) -> Graph:
    if method == CLASSIFY_METHOD:
        return _classify_graph(servable, signature)
    if method == REGRESS_METHOD:
        return _regress_graph(servable, signature)
    raise ServingError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")


def _examples(given: Input) -> NDArray[Any]:
    """Returns serialized tf.Examples, object[n]; the context's bytes come first, as protobuf merges them."""
    if given.WhichOneof("kind") == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        examples = [context + e.SerializeToString() for e in given.example_list_with_context.examples]
    else:
        examples = [e.SerializeToString() for e in given.example_list.examples]
    if not examples:
        raise invalid_argument("Input is empty.")
    return np.array(examples, dtype=object)


def _classification(
    signature: Signature, num_examples: int, arrays: Mapping[str, NDArray[Any]]
) -> ClassificationResult:
    labels, scores = (
        arrays[signature.outputs[key]] if key in signature.outputs else None for key in (_CLASSES, _SCORES)
    )
    for name, array, dtype in ((_CLASSES, labels, tf.string), (_SCORES, scores, tf.float32)):
        if array is not None:
            _check_matrix(name, array, dtype, num_examples)
    if labels is not None and scores is not None and labels.shape[1] != scores.shape[1]:
        raise invalid_argument(
            "Tensors class and score should match in dim_size(1). "
            f"Got {labels.shape[1]} vs. {scores.shape[1]}"
        )
    result = ClassificationResult()
    for i in range(num_examples):
        added = result.classifications.add().classes
        for label, score in zip(_row(labels, i, scores), _row(scores, i, labels), strict=True):
            added.add(label=label, score=score)
    return result


def _row(array: NDArray[Any] | None, i: int, other: NDArray[Any] | None) -> list[Any]:
    if array is None:
        return [None] * (0 if other is None else other.shape[1])
    row = array[i].tolist()
    # A label is UTF-8 on the wire, whatever the model says.
    return [v.decode(errors="replace") for v in row] if array.dtype == object else row


def _check_matrix(name: str, array: NDArray[Any], dtype: tf.DType, num_examples: int) -> None:
    if array.ndim != 2:
        raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
    if tf.as_dtype(array.dtype) != dtype:
        expected, got = (DataType.Name(d) for d in (dtype.as_datatype_enum, _enum(array)))
        raise invalid_argument(f"Expected {name} Tensor of {expected}. Got: {got}")
    if len(array) != num_examples:
        raise invalid_argument(f"Expected {name} output batch size of {num_examples}. Got: {len(array)}")


def _regression(
    signature: Signature, num_examples: int, arrays: Mapping[str, NDArray[Any]]
) -> RegressionResult:
    array = arrays[signature.outputs[_OUTPUTS]]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {_shape(array)}"
        )
    if len(array) != num_examples:
        raise invalid_argument(
            f"Input batch size did not match output batch size: {num_examples} vs. {len(array)}"
        )
    if array.dtype != np.float32:
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {DataType.Name(_enum(array))}")
    result = RegressionResult()
    for value in array.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _enum(array: NDArray[Any]) -> int:
    return tf.as_dtype(array.dtype).as_datatype_enum


def _shape(array: NDArray[Any]) -> str:
    return f"[{','.join(map(str, array.shape))}]"
