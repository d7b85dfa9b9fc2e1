"""REST over a real socket: each path, each status, each limit."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rest_client import Rest, rest_of, save_echo
from serving_client import Models, eventually, publish

from components.serving.errors import ServingError
from components.serving.rest import app
from components.serving.rest.json.tensors import fill_inputs

NOT_FOUND = "Servable not found for request: "


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base_path = tmp_path_factory.mktemp("echo")
    save_echo(base_path)
    return base_path


@pytest.fixture(scope="module")
def rest(echo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    config = tmp_path_factory.mktemp("config") / "monitoring.txt"
    config.write_text("prometheus_config { enable: true }")
    with rest_of(echo, monitoring_config_file=str(config)) as rest:
        yield rest


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"instances": [1.0, 2.0, 5.0]}', {"predictions": [2.5, 3.0, 4.5]}),
        ('{"instances": [{"x": 1}, {"x": 2}]}', {"predictions": [2.5, 3.0]}),
        ('{"inputs": [1]}', {"outputs": [2.5]}),
        ('{"inputs": {"x": [1, 2]}, "unknown": {}}', {"outputs": [2.5, 3.0]}),
        (
            '{"signature_name": "two_inputs", "instances": [{"a": 1, "b": [2, 3]}]}',
            {"predictions": [{"sum": 6.0, "difference": -4.0}]},
        ),
        (
            '{"signature_name": "two_inputs", "inputs": {"a": [1], "b": [[2, 3]]}}',
            {"outputs": {"sum": [6.0], "difference": [-4.0]}},
        ),
        (
            '{"signature_name": "two_inputs", "inputs": {"a": [1], "b": [[2, 3]]}, "output_filter": ["sum"]}',
            {"outputs": [6.0]},
        ),
        ('{"signature_name": "scalar", "inputs": 4}', {"outputs": 8.0}),
        (
            '{"signature_name": "as_bytes", "instances": ["é", {"b64": "/w=="}]}',
            {
                "predictions": [
                    {"y_bytes": {"b64": "w6k="}, "size": 2},
                    {"y_bytes": {"b64": "/w=="}, "size": 1},
                ]
            },
        ),
    ],
)
def test_predict_answers_in_the_form_it_was_asked(rest: Rest, body: str, expected: object) -> None:
    response = rest.call("predict", body)
    assert (response.status_code, response.json()) == (200, expected)
    assert response.headers["content-type"] == "application/json"
    assert "content-encoding" not in response.headers
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("row", [1.5, {"x": 1.5}])
@pytest.mark.parametrize("rows", [30_000, 600_000])
def test_long_requests_are_answered(rest: Rest, row: object, rows: int) -> None:
    """With 0.1 to 6 MB, on the event loop as in threads."""
    response = rest.call("predict", {"instances": [row] * rows})
    assert response.json() == {"predictions": [2.75] * rows}


def test_nan_and_infinity_go_in_and_come_out(rest: Rest) -> None:
    response = rest.call("predict", '{"instances": [NaN, Inf, -Infinity, 1e39]}')
    assert response.text == '{\n    "predictions": [NaN, Infinity, -Infinity, Infinity\n    ]\n}'


def test_classify_and_regress(rest: Rest) -> None:
    body = {"examples": [{"x": 0.25}, {"x": [1.0]}]}
    classified = rest.call("classify", {**body, "signature_name": "classify"}).json()
    assert classified == {"results": [[["low", 0.75], ["high", 0.25]], [["low", 0.0], ["high", 1.0]]]}
    body = {"context": {"x": 4.0}, "examples": [{}], "signature_name": "regress"}
    assert rest.call("regress", body).json() == {"results": [4.0]}


def test_versions_are_chosen_by_number_and_names_decoded(rest: Rest) -> None:
    assert rest.predict('{"inputs": [1]}', "m/versions/3") == [2.5]
    assert rest.predict('{"inputs": [1]}', "%6d/versions/0003") == [2.5]
    assert rest.http.post("/V1/Models/m:predict", content='{"inputs": [1]}').json() == {"outputs": [2.5]}
    assert rest.refusal("predict", '{"inputs": [1]}', "m/versions/4") == (404, f"{NOT_FOUND}Specific(m, 4)")
    assert rest.predict('{"inputs": [1]}', "m/versions/" + "0" * 5000 + "3") == [2.5]
    for digits in (str(2**63), "0" * 30 + "9" * 30, "9" * 5000):
        expected = (400, f"Failed to convert version: {digits} to numeric.")
        assert rest.refusal("predict", "", f"m/versions/{digits}") == expected


def test_versions_are_chosen_by_label(models: Models, tmp_path: Path) -> None:
    publish(models.half_plus(1.0), tmp_path / "a", 1)
    publish(models.half_plus(2.0), tmp_path / "a", 2)
    config = tmp_path / "models.txt"
    config.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{tmp_path / "a"}" '
        'model_platform: "tensorflow" model_version_policy { all {} } '
        'version_labels { key: "old" value: 1 } } }'
    )
    flags = {"model_config_file": str(config), "allow_version_labels_for_unavailable_models": True}
    with rest_of(Path(), model_base_path="", model_name="default", **flags) as rest:
        eventually(lambda: rest.http.get("/v1/models/m/versions/1").text.count("AVAILABLE"))
        assert rest.predict('{"inputs": [2]}', "m/labels/old") == [2.0]
        assert rest.refusal("predict", '{"inputs": [2]}', "m/labels/new") == (
            400,
            "Unrecognized servable version label: new",
        )


def test_a_request_is_read_and_run_by_one_version_whatever_is_loaded_meanwhile(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(models.half_plus(1.0), tmp_path, 1)
    with rest_of(tmp_path) as rest:
        states = []

        def after_a_reload(*arguments: Any) -> bool:
            publish(models.half_plus(2.0), tmp_path, 2)
            eventually(lambda: rest.client.states()[1] != "AVAILABLE")
            states.append(rest.client.states())
            return fill_inputs(*arguments)

        monkeypatch.setattr(app, "fill_inputs", after_a_reload)
        rows = 10_000  # read in a thread
        assert rest.predict({"instances": [{"x": 2.0}] * rows}) == [2.0] * rows
        assert states == [{2: "AVAILABLE", 1: "UNLOADING"}]
        eventually(lambda: rest.client.states() == {2: "AVAILABLE", 1: "END"})
        assert rest.predict({"instances": [2.0]}) == [3.0]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/metadata", 404, "Could not find any versions of model metadata"),
        ("GET", "/v1/models/versions/3", 400, "Missing model name in request."),
        ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
        ("GET", "/v1/models/m/versions/9", 404, "Could not find version 9 of model m"),
        ("GET", "/v1/models/other/metadata", 404, f"{NOT_FOUND}Latest(other)"),
        ("GET", "/v1/models/m?x=1", 404, "Could not find any versions of model m?x=1"),
        ("GET", "/v1/models/m:predict", 400, "Malformed request: GET /v1/models/m:predict"),
        ("GET", "/v1/models/m/versions/x", 400, "Malformed request: GET /v1/models/m/versions/x"),
        ("POST", "/v1/models/m", 400, "Malformed request: POST /v1/models/m"),
        ("POST", "/v1/models/m:predict?x=1", 400, "Malformed request: POST /v1/models/m:predict?x=1"),
        ("POST", "/v1/models/m:PREDICT", 400, "Malformed request: POST /v1/models/m:PREDICT"),
        ("POST", "/v1/models/m:explain", 400, "Malformed request: POST /v1/models/m:explain"),
        ("PUT", "/v1/models/m:predict", 400, "Malformed request: PUT /v1/models/m:predict"),
        ("DELETE", "/v1/models/m", 400, "Malformed request: DELETE /v1/models/m"),
        ("POST", "/v1/models/..%2f..%2fetc:predict", 404, f"{NOT_FOUND}Latest(../../etc)"),
        ("POST", "/v1/models/%ff%00:predict", 404, f"{NOT_FOUND}Latest(\ufffd\0)"),
        ("GET", "/v1", 404, "Not Found"),
        ("POST", "/", 405, "Method Not Allowed"),
        ("POST", "/healthz", 405, "Method Not Allowed"),
    ],
)
def test_paths_are_those_of_tensorflow_serving(
    rest: Rest, method: str, path: str, status: int, message: str
) -> None:
    response = rest.http.request(method, path, content='{"inputs": [1]}' if method == "POST" else None)
    assert (response.status_code, response.json()) == (status, {"error": message})


@pytest.mark.parametrize(
    ("body", "model", "status", "message"),
    [
        ("", "m", 400, "JSON Parse error: The document is empty"),
        (
            "{",
            "other",
            400,
            "JSON Parse error: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        ('{"inputs": "x"}', "other", 404, f"{NOT_FOUND}Latest(other)"),
        ('{"inputs": "x"}', "m", 400, 'JSON Value: "x" Type: String is not of expected type: float'),
        ('{"signature_name": "s"}', "m", 400, 'Serving signature name: "s" not found in signature def'),
        (
            '{"inputs": [1], "output_filter": ["z"]}',
            "m",
            400,
            "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
        ),
        ('{"signature_name": "scalar", "inputs": [[1, 2], 3]}', "m", 400, None),
        ('{"signature_name": "scalar", "instances": [[[[1]]]]}', "m", 200, None),
        (
            '{"signature_name": "complex64", "inputs": 1}',
            "m",
            501,
            "Conversion of JSON Value: 1 to type: complex64",
        ),
    ],
)
def test_refused_predictions_say_why(
    rest: Rest, body: str, model: str, status: int, message: str | None
) -> None:
    response = rest.call("predict", body, model)
    assert response.status_code == status
    assert message is None or response.json() == {"error": message}


def test_what_the_graph_refuses_is_told(rest: Rest) -> None:
    status, message = rest.refusal("predict", {"signature_name": "below_100", "instances": [100]})
    assert status == 400
    assert "x is too large" in message


def test_refused_examples_say_why(rest: Rest) -> None:
    body = {"signature_name": "classify", "examples": [{"x": [1.0, "a"]}]}
    assert rest.refusal("classify", body) == (
        400,
        "Unexpected element type in feature: x expecting type: float",
    )
    assert rest.refusal("regress", {"signature_name": "s", "examples": [{}]}) == (
        400,
        "No signature was found with the name: s",
    )


def test_status_and_metadata_are_tensorflow_servings_json(rest: Rest) -> None:
    assert rest.page("/v1/models/m") == (
        '{\n "model_version_status": [\n  {\n   "version": "3",\n   "state": "AVAILABLE",\n'
        '   "status": {\n    "error_code": "OK",\n    "error_message": ""\n   }\n  }\n ]\n}\n'
    )
    metadata = json.loads(rest.page("/v1/models/m/metadata"))
    assert metadata == json.loads(rest.page("/v1/models/m/versions/3/metadata"))
    assert metadata["model_spec"] == {"name": "m", "signature_name": "", "version": "3"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    x = signature["inputs"]["x"]
    assert (x["dtype"], x["name"]) == ("DT_FLOAT", "serving_default_x:0")
    assert x["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signature["method_name"] == "tensorflow/serving/predict"


def test_gzip_is_read_within_its_limit(echo: Path) -> None:
    with rest_of(echo, max_request_bytes=10_000) as rest:
        zipped = {"content-encoding": "gzip"}
        path, body = "/v1/models/m:predict", b'{"inputs": [1]}'
        assert rest.http.post(path, content=gzip.compress(body), headers=zipped).json() == {"outputs": [2.5]}
        for content, status in (
            (gzip.compress(b" " * 9_985 + body), 200),
            (gzip.compress(b" " * 9_986 + body), 413),
            (gzip.compress(b" " * 50_000_000), 413),
            (gzip.compress(body)[:-4], 400),
            (body, 400),
        ):
            assert rest.http.post(path, content=content, headers=zipped).status_code == status
        assert rest.call("predict", b" " * 9_985 + body).status_code == 200
        refusal = rest.refusal("predict", b" " * 9_986 + body)
        assert refusal == (413, "expected a body of 10000 bytes at most")
        in_chunks = rest.http.post(path, content=(b" " * 1_000 for _ in range(11)))
        assert in_chunks.status_code == 413


def test_a_request_takes_no_longer_than_its_timeout(echo: Path) -> None:
    with rest_of(echo, rest_api_timeout_in_ms=50) as rest:
        start = time.monotonic()
        refusal = rest.refusal("predict", {"signature_name": "spin", "inputs": [1500]})
        assert refusal == (504, "Timed out waiting for notification")
        assert time.monotonic() - start < 1


def test_cors_headers_are_sent_where_they_are_wanted(rest: Rest, echo: Path) -> None:
    response = rest.http.options("/v1/models/m:predict")
    assert (response.status_code, response.text) == (200, "")
    with rest_of(echo, enable_cors_support=True) as open_rest:
        for response in (
            open_rest.http.options("/v1/models/m:predict"),
            open_rest.call("predict", '{"inputs": [1]}'),
            open_rest.call("predict", "{"),
            open_rest.http.get("/nowhere"),
        ):
            assert response.headers["access-control-allow-origin"] == "*"
            assert response.headers["access-control-allow-methods"] == "POST, GET"
            assert response.headers["access-control-allow-headers"] == "Content-Type"


def test_the_first_page_names_the_models_and_where_they_answer(rest: Rest, tmp_path: Path) -> None:
    page = rest.http.get("/").json()
    [model] = page.pop("models")
    assert model == {
        "name": "m",
        "versions": [{"version": "3", "state": "AVAILABLE"}],
        "status": "/v1/models/m",
        "metadata": "/v1/models/m/metadata",
        "predict": "/v1/models/m:predict",
        "classify": "/v1/models/m:classify",
        "regress": "/v1/models/m:regress",
    }
    assert page == {"description": "/openapi.json", "health": "/healthz", "readiness": "/readyz"}
    for path in (*page.values(), model["status"], model["metadata"]):
        assert rest.http.get(path).status_code == 200


def test_health_and_readiness(rest: Rest, models: Models, tmp_path: Path) -> None:
    assert rest.http.get("/healthz").json() == {"status": "ok"}
    assert rest.http.get("/readyz").status_code == 200
    version = publish(models.half_plus(1.0), tmp_path / "m", 1)
    with rest_of(tmp_path / "m") as other:
        assert other.http.get("/readyz").status_code == 200
        other.client.on_loop(_stopping(other))
        assert other.http.get("/readyz").status_code == 503
        assert other.http.get("/healthz").status_code == 200
    assert version.exists()


async def _stopping(rest: Rest) -> None:
    rest.client.server._manager.stopping = True


def test_prometheus_counts_requests_and_states(rest: Rest) -> None:
    counted = ':tensorflow:serving:request_count{model_name="m",status="OK"} '

    def count(page: str) -> int:
        return int(page.split(counted)[1].split("\n")[0])

    rest.predict('{"inputs": [1]}')
    before = count(rest.page("/monitoring/prometheus/metrics"))
    rest.predict('{"inputs": [1]}')
    rest.client.predict(x=np.float32([1]))
    rest.call("predict", "{", "nobody")
    rest.call("predict", '{"signature_name": "made up", "inputs": 1}')
    response = rest.http.get("/monitoring/prometheus/metrics")
    page = response.text
    assert response.headers["content-type"].startswith("text/plain")
    assert count(page) == before + 2
    assert ':tensorflow:serving:request_count{model_name="",status="INVALID_ARGUMENT"}' in page
    assert (
        ':tensorflow:serving:request_latency_count{model_name="m",API="Predict",entrypoint="GRPC"} ' in page
    )
    assert (
        ':tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="REST",le="10"}'
        in page
    )
    assert 'millrace_serving_version_state{model_name="m",version="3",state="AVAILABLE"} 1\n' in page
    labels = (
        'model_name="m",version="3",signature_name="serving_default",method="predict",api="rest",status="OK"'
    )
    assert f"millrace_serving_latency_us_count{{{labels}}} " in page
    assert f'millrace_serving_latency_us_bucket{{{labels},le="+Inf"}} ' in page
    assert "nobody" not in page
    assert "made up" not in page


def test_prometheus_is_served_where_the_configuration_says(echo: Path, tmp_path: Path) -> None:
    config = tmp_path / "monitoring.txt"
    config.write_text('prometheus_config { enable: true path: "/my/metrics" }')
    with rest_of(echo, monitoring_config_file=str(config)) as rest:
        assert rest.page("/my/metrics").startswith("# TYPE :tensorflow:serving:request_count counter\n")
        assert rest.http.get("/monitoring/prometheus/metrics").status_code == 404


def test_a_path_for_prometheus_that_cannot_be_is_refused(echo: Path, tmp_path: Path) -> None:
    config = tmp_path / "monitoring.txt"
    config.write_text('prometheus_config { enable: true path: "metrics" }')
    with (
        pytest.raises(ServingError, match=r"expected a path that starts with '/', got 'metrics'$"),
        rest_of(echo, monitoring_config_file=str(config)),
    ):
        pass


def test_the_description_has_the_signatures_of_the_models(rest: Rest) -> None:
    paths = rest.http.get("/openapi.json").json()["paths"]
    assert {"/healthz", "/v1/models/m", "/v1/models/m/versions/{version}:predict"} <= paths.keys()
    content = paths["/v1/models/m:predict"]["post"]["requestBody"]["content"]
    requests = {schema["title"]: schema for schema in content["application/json"]["schema"]["anyOf"]}
    assert requests["serving_default, inputs"]["properties"]["inputs"]["anyOf"][1] == {
        "type": "array",
        "items": {"type": "number"},
    }
    b = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    rows = requests["two_inputs, instances"]["properties"]["instances"]["items"]["anyOf"]
    assert [row["properties"]["b"] for row in rows] == [b]
    assert "complex64, inputs" not in requests


def test_connections_stay_open_after_errors(rest: Rest) -> None:
    with socket.create_connection(("127.0.0.1", rest.port)) as connection:
        for body in (b"{", b'{"inputs": "a"}', b'{"inputs": [1]}'):
            head = f"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            answer = connection.recv(10_000)
            while b"}" not in answer:
                answer += connection.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_no_part_of_an_answer_waits_until_the_client_acknowledges_another(rest: Rest) -> None:
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        rest.predict('{"inputs": [1]}')
        seconds.append(time.perf_counter() - start)
    # Acknowledgements are delayed by 40 ms, though not the first ones.
    assert min(seconds[10:]) < 0.035


def test_clients_that_vanish_cost_nothing(rest: Rest) -> None:
    threads = threading.active_count()
    for head in (
        b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 42\r\n\r\n"
        b'{"signature_name": "spin", "inputs": [20]} ',
        b"POST /v1/mod",
    ):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", rest.port)) as connection:
                connection.sendall(head)
    assert rest.predict('{"inputs": [1]}') == [2.5]
    eventually(lambda: threading.active_count() <= threads + 50)


def test_many_clients_at_once_get_their_own_answers(rest: Rest) -> None:
    wrong = []

    def ask(client: int) -> None:
        for i in range(10):
            x = 100.0 * client + i
            if rest.predict({"instances": [x, x + 1]}) != [x / 2 + 2, x / 2 + 2.5]:
                wrong.append(x)

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
