"""The same input gives the same answer over REST and gRPC, whatever its dtype and shape."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rest_client import ECHOED, Rest, rest_of, save_echo
from serving_client import predict_request

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    base_path = tmp_path_factory.mktemp("echo")
    save_echo(base_path)
    with rest_of(base_path) as rest:
        yield rest


def over_grpc(rest: Rest, signature: str, array: np.ndarray) -> np.ndarray:
    request = predict_request(signature=signature, x=array)
    return tf.make_ndarray(rest.client.prediction.Predict(request).outputs["y"])


def as_json(array: np.ndarray) -> Any:
    if array.dtype == object:
        return as_text(array.tolist())
    return array.astype(np.float64).tolist() if array.dtype.kind in "fV" else array.tolist()


def as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [as_text(element) for element in value]
    return {"b64": base64.b64encode(value).decode()}


def tensors(name: str) -> Any:
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=3)
    if name == "string":
        texts = st.text(st.characters(exclude_categories=["Cs"])).map(str.encode)
        return hnp.arrays(object, shapes, elements=texts)
    if name == "bfloat16":
        numbers = hnp.arrays(np.float32, shapes, elements=st.floats(-(2.0**99), 2.0**99, width=32))
        return numbers.map(lambda array: array.astype(tf.bfloat16.as_numpy_dtype))
    return hnp.arrays(ECHOED[name].as_numpy_dtype, shapes)


@pytest.mark.parametrize("form", ["inputs", "instances"])
@FEW
@given(
    st.sampled_from([name for name in ECHOED if name != "complex64"]).flatmap(
        lambda n: st.tuples(st.just(n), tensors(n))
    )
)
def test_rest_and_grpc_give_equal_answers(rest: Rest, form: str, case: tuple[str, np.ndarray]) -> None:
    name, array = case
    if form == "instances" and not array.ndim:
        return
    expected = over_grpc(rest, name, array)
    answer = rest.predict({"signature_name": name, form: as_json(array)})
    if name == "string":
        assert answer == np.vectorize(bytes.decode, otypes=[object])(expected).tolist()
        return
    # An output has its precision, however it is printed: it reads back as the same number.
    found = np.array(answer, np.float64 if array.dtype.kind in "fV" else array.dtype).astype(expected.dtype)
    assert found.shape == expected.shape
    assert np.array_equal(found.astype(object), expected.astype(object)) or (
        np.array_equal(found.astype(np.float64), expected.astype(np.float64), equal_nan=True)
    )


def test_both_refuse_what_the_graph_refuses(rest: Rest) -> None:
    request = predict_request(signature="below_100", x=np.float32([100]))
    error = rest.client.prediction.Predict.future(request).exception()
    status, message = rest.refusal("predict", {"signature_name": "below_100", "instances": [100]})
    assert (status, message) == (400, error.details())
