"""The Deployment of TensorFlow Serving: its flags and files are ones that a server takes."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from manifests import ROOT, SERVED_ON, WITH_SERVER, Object, Rendered, render
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from components.serving.config_protos import BatchingParameters, MonitoringConfig, read_text_proto
from components.serving.flags import parse_flags
from components.serving.models.batching_settings import read_batching_settings
from components.serving.server import Server

CONFIG_DIR = "/etc/model-server"


@pytest.fixture(params=WITH_SERVER)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return render(request.param)


def server_container(rendered: Rendered) -> Object:
    (container,) = rendered.pod("Deployment/model-server").containers
    return container


def write_config(rendered: Rendered, folder: Path) -> Path:
    """Writes what is mounted at CONFIG_DIR."""
    for name, text in rendered.settings("model-server").items():
        (folder / name).write_text(text)
    return folder


def models_in(config: Path) -> list[Any]:
    return list(read_text_proto(str(config / "models.config"), ModelServerConfig).model_config_list.config)


def test_every_flag_is_one_of_tensorflow_serving(rendered: Rendered) -> None:
    container = server_container(rendered)
    flags, warnings, unknown = parse_flags(container["args"])
    assert container["command"] == ["tensorflow_model_server"]
    assert (flags.port, flags.rest_api_port) == (SERVED_ON["grpc"], SERVED_ON["rest"])
    # The project's own server always has it.
    assert warnings == ("--enable_grpc_healthcheck_service has no effect: the health service always runs",)
    assert unknown == ()


def test_the_serving_image_has_the_flags_and_files_of_the_deployment() -> None:
    dockerfile = (ROOT / "docker/serving/Dockerfile").read_text()
    (entry_point,) = re.findall(r"^ENTRYPOINT (\[.*?\])$", dockerfile.replace("\\\n", ""), re.MULTILINE)
    (copied,) = re.findall(r"^COPY --chmod=0444 (.*) /etc/model-server/$", dockerfile, re.MULTILINE)
    container = server_container(render("base"))
    assert json.loads(entry_point) == [*container["command"], *container["args"]]
    assert {Path(name).name for name in copied.split()} == set(render("base").settings("model-server"))


def test_the_configuration_is_one_that_a_server_reads(rendered: Rendered, tmp_path: Path) -> None:
    config = write_config(rendered, tmp_path)
    flags = parse_flags(server_container(rendered)["args"]).flags
    paths = (flags.model_config_file, flags.batching_parameters_file, flags.monitoring_config_file)
    assert {Path(path).name for path in paths} == set(rendered.settings("model-server"))
    assert {str(Path(path).parent) for path in paths} == {CONFIG_DIR}
    batching = read_text_proto(str(config / "batching.config"), BatchingParameters)
    monitoring = read_text_proto(str(config / "monitoring.config"), MonitoringConfig)
    assert read_batching_settings(batching).max_batch_size == 128
    assert monitoring.prometheus_config.enable
    assert [model.name for model in models_in(config)] == ["mnist"]


def test_batches_run_on_as_many_threads_as_there_are_processors(tmp_path: Path) -> None:
    config = write_config(render("base"), tmp_path)
    batching = read_text_proto(str(config / "batching.config"), BatchingParameters)
    limits = server_container(render("base"))["resources"]["limits"]
    assert str(batching.num_batch_threads.value) == limits["cpu"]


def test_models_are_read_from_where_they_are_published(rendered: Rendered, tmp_path: Path) -> None:
    mounts = {mount["mountPath"]: mount for mount in server_container(rendered)["volumeMounts"]}
    if "/millrace" in mounts:
        # The kubelet makes a subPath that is missing, and root owns it.
        assert "subPath" not in mounts["/millrace"]
        assert mounts["/millrace"]["readOnly"]
        registry = "/millrace/models"
    else:
        registry = rendered.settings("retraining")["MILLRACE_PIPELINE_ROOT"] + "/models"
    for model in models_in(write_config(rendered, tmp_path)):
        assert model.base_path == f"{registry}/{model.name}"


def test_probes_ask_the_ports_that_there_are_and_no_model_by_name(rendered: Rendered, tmp_path: Path) -> None:
    container = server_container(rendered)
    monitoring = read_text_proto(
        str(write_config(rendered, tmp_path) / "monitoring.config"), MonitoringConfig
    )
    assert (
        container["startupProbe"]["grpc"] == container["livenessProbe"]["grpc"] == {"port": SERVED_ON["grpc"]}
    )
    assert container["readinessProbe"]["httpGet"]["port"] == "rest"
    assert container["readinessProbe"]["httpGet"]["path"] == monitoring.prometheus_config.path


def test_a_rolling_update_waits_for_new_pods_and_open_connections(rendered: Rendered) -> None:
    deployment = rendered.named("Deployment", "model-server")["spec"]
    container = server_container(rendered)
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    # Otherwise each `kubectl apply` would undo the autoscaler's work.
    assert "replicas" not in deployment
    (arguments,) = (argument for argument in container["args"] if "grpc_channel_arguments" in argument)
    age_ms, grace_ms = (int(text) for text in re.findall(r"_ms=(\d+)", arguments))
    sleep_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    # gRPC lengthens ages by up to a tenth (github.com/grpc/proposal, A9).
    assert sleep_s * 1000 > age_ms * 1.1 + grace_ms
    assert deployment["template"]["spec"]["terminationGracePeriodSeconds"] > sleep_s
    startup = container["startupProbe"]
    assert deployment["progressDeadlineSeconds"] > startup["periodSeconds"] * startup["failureThreshold"]


def test_a_server_started_as_in_the_deployment_answers_its_probes(tmp_path: Path) -> None:
    save_half(tmp_path / "models/mnist/1")
    config = write_config(render("base"), tmp_path)
    models = (config / "models.config").read_text().replace('"/millrace/', f'"{tmp_path}/')
    (config / "models.config").write_text(models)
    container = server_container(render("base"))
    arguments = [argument.replace(CONFIG_DIR, str(config)) for argument in container["args"]]
    flags = parse_flags([*arguments, "--port=0", "--rest_api_port=-1"]).flags
    asyncio.run(probe(Server(flags), container["readinessProbe"]["httpGet"]["path"]))


def save_half(path: Path) -> None:
    import tensorflow as tf

    spec = tf.TensorSpec([None], tf.float32, "x")
    half = tf.function(lambda x: {"y": x / 2}, input_signature=[spec])
    tf.saved_model.save(tf.Module(), str(path), signatures=half)


async def probe(server: Server, readiness_path: str) -> None:
    """Asks what the kubelet and Prometheus ask."""
    await server.start()
    try:
        await asyncio.to_thread(ask, server.grpc_port, server.rest_port, readiness_path)
    finally:
        await server.stop(grace_s=5)


def ask(grpc_port: int, rest_port: int, readiness_path: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    for path in (readiness_path, "/monitoring/prometheus/metrics"):
        with urllib.request.urlopen(f"http://127.0.0.1:{rest_port}{path}", timeout=20) as response:
            assert response.status == 200
