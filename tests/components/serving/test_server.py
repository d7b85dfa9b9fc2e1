"""Start, ports, credentials and stop of a server, some of it in a process of its own."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from serving_client import Client, Models, eventually, predict_request, publish, refused, served
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from components.serving.__main__ import _quiet_stderr, main
from components.serving.errors import ServingError
from components.serving.models.warmup import REQUESTS
from components.serving.rest import trial

ROOT = Path(__file__).parents[3]
OPENSSL = (
    "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
    "-addext subjectAltName=DNS:localhost,IP:127.0.0.1"
)


@pytest.fixture
def base_path(models: Models, tmp_path: Path) -> Path:
    path = tmp_path / "m"
    path.mkdir()
    publish(models.half_plus(2.0), path, 1)
    return path


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


def test_grpc_rest_and_a_unix_socket_serve_the_same_models(base_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "grpc.sock"
    with served(base_path, rest_api_port=-1, grpc_socket_path=str(path)) as client:
        ports = client.server.grpc_port, client.server.rest_port
        assert client.lines == [
            f"listening on 127.0.0.1:{ports[0]} (gRPC)",
            f"listening on unix:{path} (gRPC)",
            f"listening on 127.0.0.1:{ports[1]} (REST)",
        ]
        url = f"http://127.0.0.1:{ports[1]}/v1/models/m"
        assert get(url)["model_version_status"][0]["state"] == "AVAILABLE"
        body = b'{"instances": [1.0, 2.0, 5.0]}'
        assert get(urllib.request.Request(f"{url}:predict", body))["predictions"] == [2.5, 3.0, 4.5]
        with grpc.insecure_channel(f"unix:{path}") as channel:
            response = PredictionServiceStub(channel).Predict(predict_request(x=np.float32([2])))
        assert list(response.outputs["y"].float_val) == [3.0]


@pytest.mark.parametrize("flag", ["port", "rest_api_port"])
def test_a_port_that_is_taken_is_an_error_that_names_it(base_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = f"cannot listen on 127.0.0.1:{port}"
        with pytest.raises(ServingError, match=message), served(base_path, **{flag: port}):
            pass


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(base_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = (
            "import sys; from components.serving.__main__ import main\n"
            f"print(main(['--port=0', '--rest_api_port={port}', '--model_base_path={base_path}']))\n"
            "print({'tensorflow', 'grpc'} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    reason = f"UNAVAILABLE: cannot listen on 127.0.0.1:{port}: Address already in use"
    assert done.stdout == f"Failed to start server. Error: {reason}\n255\nset()\n"


def test_a_request_that_works_is_announced(models: Models, tmp_path: Path) -> None:
    version = publish(models.everything, tmp_path, 1)
    record_requests(
        version,
        predict_request(signature="two_inputs", a=np.float32([1, 2]), b=np.float32([[1.25, 2], [3, 4]])),
        predict_request(signature="", x=np.float32([2])),
        predict_request(signature="two_inputs", a=np.float32([1]), b=np.float32([[1.125, 2.125]])),
    )
    with served(tmp_path, rest_api_port=-1) as client:
        *_, line = client.lines
        url = f"http://127.0.0.1:{client.server.rest_port}/v1/models/m:predict"
        body = '{"signature_name": "two_inputs", "instances": [{"a": 2.0, "b": [3.0, 4.0]}]}'
        assert line == f"try it: curl -d '{body}' {url}"
        answer = pasted(line.removeprefix("try it: "))
    assert json.loads(answer) == {"predictions": [{"sum": 9.0, "difference": -5.0}]}


def pasted(command: str) -> bytes:
    """Returns what a command prints; where there is no curl, what its request is answered."""
    if shutil.which("curl"):
        return subprocess.run(command, shell=True, capture_output=True, check=True).stdout
    curl, option, body, url = shlex.split(command)
    assert (curl, option) == ("curl", "-d")
    return httpx.post(url, content=body).content


def test_texts_are_announced_as_they_are_and_other_bytes_encoded() -> None:
    texts = predict_request(
        signature="text", x=np.array([b"It's \xc3\xa9t\xc3\xa9.", b"One that is longer than the other."])
    )
    assert trial.curl_command("URL", [texts]) == (
        """curl -d '{"signature_name": "text", "instances": [{"x": "It'"'"'s \\u00e9t\\u00e9."}]}' URL"""
    )
    image = predict_request(signature="png", x=np.array([b"\x89PNG"]))
    assert '{"x": {"b64": "iVBORw=="}}' in str(trial.curl_command("URL", [image]))
    assert trial.curl_command("URL", [predict_request(x=np.zeros([1, 5000], np.float32))]) is None
    assert trial.curl_command("URL", []) is None


def record_requests(version: Path, *requests: Any) -> None:
    file = version / REQUESTS
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for request in requests:
            log = PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())


def test_health_and_reflection_answer(everything: Client) -> None:
    health = health_pb2_grpc.HealthStub(everything.channel)
    for service in ("", "PredictionService", "ModelService", "tensorflow.serving.PredictionService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    stub = reflection_pb2_grpc.ServerReflectionStub(everything.channel)
    (answer,) = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    assert {service.name for service in answer.list_services_response.service} >= {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "grpc.health.v1.Health",
    }
    request = reflection_pb2.ServerReflectionRequest(
        file_containing_symbol="tensorflow.serving.PredictionService"
    )
    (answer,) = stub.ServerReflectionInfo(iter([request]))
    files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
    (service,) = (service for file in files for service in file.service)
    assert [method.name for method in service.method][:3] == ["Classify", "Regress", "Predict"]


def test_the_session_service_and_unknown_methods_are_not_there(everything: Client) -> None:
    for path in ("tensorflow.serving.SessionService/SessionRun", "tensorflow.serving.PredictionService/X"):
        with pytest.raises(grpc.RpcError) as caught:
            everything.channel.unary_unary(f"/{path}")(b"")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Self-signed certificates of a server and of a client, and their keys."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client"):
        subprocess.run(
            ["openssl", *OPENSSL.split(), "-keyout", f"{name}.key", "-out", f"{name}.crt"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_tls_and_mutual_tls_keep_strangers_out(
    base_path: Path, tmp_path: Path, certificates: dict[str, str]
) -> None:
    ssl_config = tmp_path / "ssl.txt"
    ssl_config.write_text(
        "".join(
            f"{key}: {json.dumps(certificates[file])}\n"
            for key, file in (
                ("server_key", "server.key"),
                ("server_cert", "server.crt"),
                ("custom_ca", "client.crt"),
            )
        )
        + "client_verify: true"
    )
    root = certificates["server.crt"].encode()
    own = certificates["client.key"].encode(), certificates["client.crt"].encode()
    with served(base_path, ssl_config_file=str(ssl_config)) as client:
        address = f"127.0.0.1:{client.server.grpc_port}"
        for credentials in (grpc.ssl_channel_credentials(root), None):
            channel = grpc.secure_channel(address, credentials) if credentials else client.channel
            with pytest.raises(grpc.RpcError) as caught:
                PredictionServiceStub(channel).Predict(predict_request(x=np.float32([2])), timeout=5)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        with grpc.secure_channel(address, grpc.ssl_channel_credentials(root, *own)) as channel:
            response = PredictionServiceStub(channel).Predict(predict_request(x=np.float32([2])))
        assert list(response.outputs["y"].float_val) == [3.0]


def config_text(**models: Path) -> str:
    entries = [
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}'
        for name, path in models.items()
    ]
    return f"model_config_list {{ {' '.join(entries)} }}"


def test_the_file_of_models_is_followed_and_a_broken_one_changes_nothing(
    base_path: Path, tmp_path: Path
) -> None:
    file = tmp_path / "models.config"
    file.write_text(config_text(a=base_path))
    flags = {"model_config_file": str(file), "model_config_file_poll_wait_seconds": 0.02}
    with served(**flags) as client:
        assert client.answer(name="a") == 3.0
        for broken in ("model_config_list {", config_text(b=Path("relative"))):
            file.write_text(broken)
            time.sleep(0.1)
            assert client.server.api.model_names == ["a"]
        file.write_text(config_text(a=base_path, b=base_path))
        eventually(lambda: client.server.api.ready and client.server.api.model_names == ["a", "b"])
        assert client.answer(name="b") == 3.0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "INVALID_ARGUMENT: Both server_options.model_base_path and server_options.model_config_file"),
        (["--model_base_path=m"], "INVALID_ARGUMENT: Expected model default to have an absolute path or URI"),
        (["--model_config_file=/no/such"], "NOT_FOUND: /no/such"),
        (
            ["--model_base_path=/m", "--batching_parameters_file=x"],
            "INVALID_ARGUMENT: server_options.batching_parameters_file is set without",
        ),
        (["--ssl_config_file=/no/such", "--model_base_path={base_path}"], "NOT_FOUND: /no/such"),
        (
            ["--grpc_channel_arguments=x", "--model_base_path={base_path}"],
            "INVALID_ARGUMENT: --grpc_channel_arguments: expected key=value, got 'x'",
        ),
    ],
)
def test_a_server_that_cannot_start_says_why(
    base_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main(["--port=0", *(flag.format(base_path=base_path) for flag in flags)]) == 255
    assert capsys.readouterr().out.startswith(f"Failed to start server. Error: {message}")


def test_help_and_flags_need_no_tensorflow() -> None:
    code = "import components.serving.__main__, sys; assert not {'tensorflow', 'grpc'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_command_serves_until_a_signal_and_ends_with_0(models: Models, tmp_path: Path) -> None:
    publish(models.everything, tmp_path, 1)
    path = tmp_path / "grpc.sock"
    results: list[Any] = []

    def use_and_stop() -> None:
        eventually(path.exists, timeout_s=120)
        with grpc.insecure_channel(f"unix:{path}") as channel:
            spin = predict_request(signature="spin", steps=np.int32([500]))
            running = PredictionServiceStub(channel).Predict.future(spin, wait_for_ready=True)
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGTERM)
            results.extend(running.result().outputs["y"].float_val)

    user = threading.Thread(target=use_and_stop)
    user.start()
    flags = (f"--model_base_path={tmp_path}", "--model_name=m", "--port=0", f"--grpc_socket_path={path}")
    assert main(flags) == 0
    user.join()
    assert results == [0.0]


def test_what_libraries_write_to_the_terminal_as_they_load_is_dropped(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with _quiet_stderr():
        os.write(2, b"noise of C++\n")
    os.write(2, b"a message\n")
    assert capfd.readouterr().err == "a message\n"


def test_announcements_that_a_full_disk_refuses_do_not_end_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(full, write_through=True))
        with pytest.raises(OSError, match="No space left"):
            print("", flush=True)
        assert main(["--version"]) == 0


@pytest.mark.slow
def test_a_second_signal_ends_a_process_whose_requests_do_not(models: Models, tmp_path: Path) -> None:
    publish(models.everything, tmp_path, 1)
    command = [sys.executable, "-m", "components.serving", f"--model_base_path={tmp_path}", "--model_name=m"]
    with (
        open("/dev/full", "wb") as full,  # the disk that the log goes to
        subprocess.Popen(
            [*command, "--port=0", "--rest_api_port=-1"],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            cwd=ROOT,
        ) as server,
    ):
        port = int(server.stdout.readline().removeprefix("listening on 127.0.0.1:").removesuffix(" (gRPC)\n"))
        assert server.stdout.readline().endswith(" (REST)\n")
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            predict = PredictionServiceStub(channel).Predict
            running = predict.future(predict_request(signature="spin", steps=np.int32([1_000_000])))
            time.sleep(0.3)
            server.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                server.wait(1)
            with refused(grpc.StatusCode.UNAVAILABLE, "…"):
                predict(predict_request(x=np.float32([2])))
            assert not running.done()
            server.send_signal(signal.SIGTERM)
            assert server.wait(10) == 128 + signal.SIGTERM


def test_stopping_waits_neither_for_who_watches_nor_for_a_model_that_may_come(base_path: Path) -> None:
    with served(base_path) as client:
        watched = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        waiting = ThreadPoolExecutor(1).submit(
            client.reload, {"name": "n", "base_path": str(base_path.parent / "n")}
        )
        eventually(lambda: client.server.api.model_names == ["n"])
        start = time.monotonic()
        client.on_loop(client.server.stop())
        assert time.monotonic() - start < 5
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert waiting.exception(5).code() == grpc.StatusCode.UNKNOWN


def test_stopping_lets_requests_end(models: Models, tmp_path: Path) -> None:
    publish(models.everything, tmp_path, 1)
    with served(tmp_path) as client:
        assert client.answer() == 3.0  # the connection is there
        running = client.prediction.Predict.future(predict_request(signature="spin", steps=np.int32([800])))
        time.sleep(0.2)
        stopping = threading.Thread(target=client.on_loop, args=[client.server.stop()])
        stopping.start()
        eventually(lambda: not client.server.api.ready)
        time.sleep(0.2)  # until the client knows, too: what is under way just then is cancelled
        with refused(grpc.StatusCode.UNAVAILABLE, "…"):
            client.answer()
        assert running.result().outputs["y"].float_val == [0.0]
        stopping.join()
