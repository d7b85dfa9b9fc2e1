"""Whatever a Predict request holds, it is answered, or refused for what it holds, never UNKNOWN."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_client import ECHOED, save_echo
from serving_client import Client, served
from tensorflow.core.framework.tensor_pb2 import TensorProto, VariantTensorDataProto
from tensorflow.core.framework.tensor_shape_pb2 import TensorShapeProto
from tensorflow.core.framework.types_pb2 import DataType
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest

REFUSALS = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED"}


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "batched"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    base_path = tmp_path_factory.mktemp("echo")
    save_echo(base_path)
    with served(base_path, enable_batching=request.param) as client:
        yield client


NAMES = st.sampled_from(["x", "a", "b", "inputs", "steps", "rows", "", "é", "x:0"])
SIZES = st.sampled_from([-(2**63), -2, -1, 0, 1, 2, 3, 7, 1000, 2**31, 2**62, 2**63 - 1])
SHAPES = st.builds(
    lambda sizes, unknown: TensorShapeProto(
        dim=[TensorShapeProto.Dim(size=size) for size in sizes], unknown_rank=unknown
    ),
    st.lists(SIZES, max_size=3) | st.sampled_from([[1] * 32, [1] * 33, [0] * 254, [1] * 255]),
    st.sampled_from([False] * 9 + [True]),
)
INT32, INT64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(width=32)


def few(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values, min_size=1, max_size=6)


TENSORS = st.builds(
    lambda fields: TensorProto(**fields),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from([d.as_datatype_enum for d in ECHOED.values()])
            | st.sampled_from(DataType.values())
        },
        optional={
            "tensor_shape": SHAPES,
            "version_number": INT32,
            "tensor_content": st.binary(max_size=24) | st.sampled_from([b"\x01a", b"\x00\x00", b"\xff" * 12]),
            "half_val": few(INT32),
            "float_val": few(FLOATS),
            "double_val": few(st.floats()),
            "int_val": few(INT32),
            "string_val": few(st.binary(max_size=4)),
            "scomplex_val": few(FLOATS),
            "int64_val": few(INT64),
            "bool_val": few(st.booleans()),
            "dcomplex_val": few(st.floats()),
            "variant_val": st.just([VariantTensorDataProto(type_name="int", metadata=b"x")]),
            "uint32_val": few(st.integers(0, 2**32 - 1)),
            "uint64_val": few(st.integers(0, 2**64 - 1)),
        },
    ),
)
SPECS = st.builds(
    lambda signature, version: ModelSpec(name="m", signature_name=signature, **version),
    st.sampled_from([*ECHOED, "", "two_inputs", "scalar", "scalar_text", "as_bytes", "row_sums", "classify"]),
    st.sampled_from(
        [{}] * 8 + [{"version_label": "l"}, {"version": {"value": 3}}, {"version": {"value": -1}}]
    ),
)
REQUESTS = st.builds(
    lambda spec, inputs, outputs: PredictRequest(model_spec=spec, inputs=inputs, output_filter=outputs),
    SPECS,
    st.dictionaries(st.just("x") | NAMES, TENSORS, min_size=1, max_size=2),
    st.just([]) | st.lists(st.sampled_from(["y", "sum", "difference", ""]), max_size=2),
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(REQUESTS)
def test_any_predict_request_is_answered_or_refused_for_what_it_holds(
    client: Client, request: PredictRequest
) -> None:
    code = client.prediction.Predict.future(request, timeout=20).code()
    assert code.name in {"OK", *REFUSALS}, request


def test_after_all_of_them_the_server_answers(client: Client) -> None:
    assert client.answer(2.0) == 3.0
