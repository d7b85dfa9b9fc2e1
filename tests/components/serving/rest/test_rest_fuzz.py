"""Whatever is sent, the server answers, never with 500, and goes on serving."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rest_client import ECHOED, Rest, rest_of, save_echo
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    base_path = tmp_path_factory.mktemp("echo")
    save_echo(base_path)
    with rest_of(base_path) as rest:
        yield rest


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["x", "a", "b", "b64", "é"]), inner, max_size=3)
    ),
    max_leaves=12,
)
SIGNATURES = st.sampled_from(
    [*ECHOED, "serving_default", "two_inputs", "as_bytes", "classify", "row_sums", ""]
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": SIGNATURES | VALUES,
        "instances": VALUES,
        "inputs": VALUES,
        "examples": VALUES,
        "context": VALUES,
        "output_filter": VALUES,
    },
)


@FEW
@given(BODIES, st.sampled_from(["predict", "classify", "regress"]))
def test_any_json_is_answered(rest: Rest, body: dict[str, Any], method: str) -> None:
    response = rest.call(method, json.dumps(body).encode("utf-8", "replace"))
    assert response.status_code in (200, 400, 501), (response.text, body)


@FEW
@given(st.binary(max_size=300), st.sampled_from(["predict", "classify"]))
def test_any_bytes_are_a_bad_request(rest: Rest, body: bytes, method: str) -> None:
    assert rest.call(method, body).status_code == 400


@FEW
@given(st.binary(max_size=200))
def test_any_bytes_on_the_socket_leave_the_server_up(rest: Rest, noise: bytes) -> None:
    with socket.create_connection(("127.0.0.1", rest.port), timeout=5) as connection:
        connection.sendall(noise + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(10_000):
            pass
    assert rest.http.get("/healthz").status_code == 200


# Not what a model refuses: of shapes that do not fit together the description knows nothing.
KEPT = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
CHECKS = settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)


def test_the_server_keeps_to_its_own_description(rest: Rest) -> None:
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{rest.port}/openapi.json")
    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/v1/models/m:predict", "/v1/models/m/metadata"}

    for operation in operations:

        @CHECKS
        @given(operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=KEPT)

        check()
