"""The calls of PredictionService over a real socket, message for message."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_client import Client, predict_request, refused
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from components.serving.api import Observation

INVALID = grpc.StatusCode.INVALID_ARGUMENT
CLASSIFY, REGRESS = tf.saved_model.CLASSIFY_METHOD_NAME, tf.saved_model.REGRESS_METHOD_NAME


def example(x: float) -> tf.train.Example:
    return tf.train.Example(
        features=tf.train.Features(feature={"x": tf.train.Feature(float_list=tf.train.FloatList(value=[x]))})
    )


def with_examples(request: Any, signature: str, *values: float) -> Any:
    request.model_spec.name, request.model_spec.signature_name = "m", signature
    request.input.example_list.examples.extend(map(example, values))
    return request


def test_predict_answers_in_typed_fields_with_the_version_it_used(everything: Client) -> None:
    response = everything.prediction.Predict(predict_request(x=np.float32([1, 2, 5])))
    assert list(response.outputs["y"].float_val) == [2.5, 3.0, 4.5]
    assert response.outputs["y"].tensor_content == b""
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 3, "serving_default")


def test_one_value_fills_a_shape_and_content_is_read_too(everything: Client) -> None:
    request = predict_request(x=np.float32([1, 2]))
    assert request.inputs["x"].tensor_content
    request.inputs["x"].ClearField("tensor_content")
    request.inputs["x"].float_val.append(4.0)
    assert list(everything.prediction.Predict(request).outputs["y"].float_val) == [4.0, 4.0]


def test_an_undeclared_shape_is_the_models_to_refuse(everything: Client) -> None:
    assert everything.predict(x=np.float32([[1], [2]]))["y"].tolist() == [[2.5], [3.0]]
    with refused(INVALID, "…"):
        everything.predict(signature="two_inputs", a=np.float32([1, 2]), b=np.float32([1, 2, 3]))


def test_output_filter_gives_only_the_outputs_named(everything: Client) -> None:
    inputs = {"a": np.float32([10]), "b": np.float32([[1, 2]])}
    assert everything.predict(signature="two_inputs", **inputs) == {"sum": [13], "difference": [7]}
    assert everything.predict(signature="two_inputs", outputs=("sum",), **inputs) == {"sum": [13]}


def test_a_scalar_stays_a_scalar(everything: Client) -> None:
    for signature, x, y in (("scalar", np.float32(4), 8), ("scalar_text", b"4", b"4!")):
        output = everything.predict(signature=signature, x=x)["y"]
        assert (output.shape, output.item()) == ((), y)


X = np.float32([1.0])
PREDICT_ERRORS = {
    "no spec": (PredictRequest(), INVALID, "Missing ModelSpec"),
    "no name": (predict_request("", 1, x=X), INVALID, "ModelSpec has no name specified."),
    "model": (
        predict_request("n", x=X),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(n)",
    ),
    "version": (
        predict_request("m", 7, x=X),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(m, 7)",
    ),
    "label": (predict_request(label="l", x=X), INVALID, "Unrecognized servable version label: l"),
    "path": (
        predict_request("../m", x=X),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(../m)",
    ),
    "signature": (
        predict_request(signature="s", x=X),
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "s" not found.',
    ),
    "extra input": (
        predict_request(x=X, z=X),
        INVALID,
        "input size does not match signature: 2!=1 len({x,z}) != len({x}). "
        "Sent extra: {z}. Missing but required: {}.",
    ),
    "no input": (
        predict_request(),
        INVALID,
        "input size does not match signature: 0!=1 len({}) != len({x}). "
        "Sent extra: {}. Missing but required: {x}.",
    ),
    "other input": (
        predict_request(z=X),
        INVALID,
        "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {z}, or default input alias set: ",
    ),
    "dtype": (predict_request(x=np.float64([1])), INVALID, "Type mismatch: actual double vs. expect float…"),
    "filter": (
        predict_request(outputs=("b",), x=X),
        INVALID,
        "output tensor alias not found in signature: b Outputs expected to be in the set {y}.",
    ),
    "repeated": (
        predict_request(outputs=("y", "y"), x=X),
        INVALID,
        "duplicate output tensor alias: y",
    ),
    "the graph": (predict_request(signature="below_100", x=np.float32([100])), INVALID, "…"),
}


@pytest.mark.parametrize(("request_", "code", "message"), PREDICT_ERRORS.values(), ids=PREDICT_ERRORS)
def test_a_wrong_predict_request_is_refused(
    everything: Client, request_: PredictRequest, code: grpc.StatusCode, message: str
) -> None:
    with refused(code, message):
        everything.prediction.Predict(request_)


@pytest.mark.parametrize("spoil", ["content", "shape", "bomb", "dtype"])
def test_an_unreadable_tensor_is_refused(everything: Client, spoil: str) -> None:
    request = predict_request(x=np.float32([1, 2]))
    tensor = request.inputs["x"]
    if spoil == "content":
        tensor.tensor_content = b"123"
    elif spoil == "shape":
        tensor.tensor_shape.dim[0].size = -1
    elif spoil == "bomb":
        tensor.ClearField("tensor_content")
        tensor.float_val.append(1)
        tensor.tensor_shape.dim[0].size = 10**12
    else:
        tensor.dtype = 0
    with refused(INVALID, "tensor parsing error: x"):
        everything.prediction.Predict(request)


def test_a_long_message_is_cut(everything: Client) -> None:
    with refused(grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(nn…") as _:
        everything.predict("n" * 5000, x=X)
    with pytest.raises(grpc.RpcError) as caught:
        everything.predict("é" * 5000, x=X)
    assert caught.value.details().endswith("é...TRUNCATED")
    assert len(caught.value.details().encode()) <= 1024 + len("...TRUNCATED")


def test_a_message_beyond_4_mb_is_answered(everything: Client) -> None:
    x = np.arange(2_000_000, dtype=np.float32)
    np.testing.assert_array_equal(everything.predict(x=x)["y"], x / 2 + 2)


def test_bytes_that_are_no_message_are_refused_and_the_server_goes_on(everything: Client) -> None:
    call = everything.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    truncated = predict_request(x=X).SerializeToString()[:-3]
    for payload in (truncated, b"\xff" * 100, b"\n\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"):
        with refused(grpc.StatusCode.INTERNAL, "the request could not be parsed"):
            call(payload)
    assert everything.answer(2.0) == 3.0


@pytest.mark.filterwarnings("ignore:Unexpected end-group tag")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_message_with_any_bytes_changed_never_takes_the_server_down(
    everything: Client, data: st.DataObject
) -> None:
    payload = bytearray(predict_request(x=np.float32([1, 2])).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    call = everything.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    code = call.future(bytes(payload[:cut]), timeout=10).code()
    assert code.name in ("OK", "INVALID_ARGUMENT", "INTERNAL", "NOT_FOUND", "FAILED_PRECONDITION")


def test_requests_are_observed(everything: Client) -> None:
    seen: list[Observation] = []
    everything.server.api.observers.append(seen.append)
    try:
        everything.answer()
        with pytest.raises(grpc.RpcError):
            everything.predict("n", x=X)
    finally:
        everything.server.api.observers.remove(seen.append)
    answered, missing = (observation._replace(seconds=0) for observation in seen)
    assert answered == Observation("m", 3, "serving_default", "predict", grpc.StatusCode.OK, 0, "grpc")
    assert missing == Observation(
        "n", None, "serving_default", "predict", grpc.StatusCode.NOT_FOUND, 0, "grpc"
    )
    assert 0 < seen[0].seconds < 10


def test_classify_gives_labels_and_scores(everything: Client) -> None:
    request = with_examples(ClassificationRequest(), "classify", 0.25, 0.5)
    response = everything.prediction.Classify(request)
    found = [[(c.label, c.score) for c in row.classes] for row in response.result.classifications]
    assert found == [[("low", 0.75), ("high", 0.25)], [("low", 0.5), ("high", 0.5)]]
    assert (response.model_spec.version.value, response.model_spec.signature_name) == (3, "classify")


def test_regress_gives_values_and_the_context_comes_first(everything: Client) -> None:
    request = RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "m", "regress"
    inputs = request.input.example_list_with_context
    inputs.context.CopyFrom(example(8))
    inputs.examples.extend([tf.train.Example(), example(2)])
    values = [r.value for r in everything.prediction.Regress(request).result.regressions]
    assert values == [6.0, 3.0]


def test_multi_inference_runs_its_tasks_together(everything: Client) -> None:
    request = MultiInferenceRequest()
    request.input.example_list.examples.append(example(0.5))
    for signature, method in (("classify", CLASSIFY), ("regress", REGRESS)):
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = "m", signature
    # Their inputs are two placeholders, as in most models that TensorFlow 2 exports.
    with refused(INVALID, "Input tensor must be the same for all Signatures."):
        everything.prediction.MultiInference(request)
    del request.tasks[1]
    (result,) = everything.prediction.MultiInference(request).results
    assert [c.score for c in result.classification_result.classifications[0].classes] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("call", "request_", "code", "message"),
    [
        ("Classify", ClassificationRequest(), INVALID, "Missing ModelSpec"),
        ("Regress", RegressionRequest(), INVALID, "Missing ModelSpec"),
        ("Classify", with_examples(ClassificationRequest(), "classify"), INVALID, "Input is empty."),
        ("Regress", with_examples(RegressionRequest(), "regress"), INVALID, "Input is empty."),
        (
            "Classify",
            with_examples(ClassificationRequest(), "s", 1),
            INVALID,
            "No signature was found with the name: s",
        ),
        (
            "Regress",
            with_examples(RegressionRequest(), "two_inputs", 1),
            INVALID,
            "Expected one input Tensor.",
        ),
        (
            "Classify",
            with_examples(ClassificationRequest(), "", 1),
            grpc.StatusCode.FAILED_PRECONDITION,
            "No classification inputs found in SignatureDef: inputs {…",
        ),
        ("MultiInference", MultiInferenceRequest(), INVALID, "ModelSpec has no name specified."),
    ],
)
def test_a_wrong_request_of_examples_is_refused(
    everything: Client, call: str, request_: Any, code: grpc.StatusCode, message: str
) -> None:
    with refused(code, message):
        getattr(everything.prediction, call)(request_)


def test_multi_inference_refuses_repeated_signatures_and_other_methods(everything: Client) -> None:
    request = MultiInferenceRequest()
    request.input.example_list.examples.append(example(0.5))
    for _ in range(2):
        task = request.tasks.add(method_name=CLASSIFY)
        task.model_spec.name, task.model_spec.signature_name = "m", "classify"
    with refused(INVALID, "Duplicate evaluation of signature: classify"):
        everything.prediction.MultiInference(request)
    request.tasks[1].model_spec.signature_name = "s"
    with refused(INVALID, "Requested signature not found in model graph: s"):
        everything.prediction.MultiInference(request)
    del request.tasks[1]
    request.tasks[0].method_name = "x"
    with refused(grpc.StatusCode.UNIMPLEMENTED, "Unsupported signature method_name: x"):
        everything.prediction.MultiInference(request)


def test_metadata_gives_the_signatures(everything: Client) -> None:
    request = GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "m"
    response = everything.prediction.GetModelMetadata(request)
    assert (response.model_spec.name, response.model_spec.version.value) == ("m", 3)
    signatures = SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["serving_default"].inputs["x"].name == "serving_default_x:0"
    request.metadata_field.append("f")
    with refused(INVALID, "Metadata field f is not supported"):
        everything.prediction.GetModelMetadata(request)


def test_the_deadline_of_a_request_holds_and_the_server_goes_on(everything: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        everything.prediction.Predict(predict_request(signature="spin", steps=np.int32([2000])), timeout=0.1)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert everything.answer(2.0) == 3.0
