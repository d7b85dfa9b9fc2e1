"""Versions come and go while the server answers, over a real socket."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_client import Client, Models, eventually, predict_request, publish, refused, served
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from components.serving.errors import ServingError


@contextmanager
def load(client: Client, **keys: object) -> Iterator[list[float]]:
    """Clients that ask without a pause; any error fails the test. Gives the answers for x = 2."""
    answers: list[float] = []
    failures: list[Exception] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                answers.append(client.answer(2.0, **keys))
            except grpc.RpcError as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]


def test_a_new_version_takes_over_and_a_rollback_brings_the_old_one_back_without_a_dropped_request(
    models: Models, tmp_path: Path
) -> None:
    publish(models.half_plus(1.0), tmp_path, 1)
    with served(tmp_path) as client, load(client) as answers:
        eventually(lambda: answers)
        publish(models.half_plus(2.0), tmp_path, 2)
        eventually(lambda: client.states() == {2: "AVAILABLE", 1: "END"})
        assert client.answer() == 3.0
        (tmp_path / "2").rename(tmp_path / ".gone-2")
        eventually(lambda: client.states() == {2: "END", 1: "AVAILABLE"})
        assert client.answer() == 2.0
        (tmp_path / ".gone-2").rename(tmp_path / "2")
        eventually(lambda: client.states() == {2: "AVAILABLE", 1: "END"})
    assert set(answers) == {2.0, 3.0}


def test_a_version_that_cannot_be_loaded_never_replaces_a_good_one(models: Models, tmp_path: Path) -> None:
    publish(models.half_plus(1.0), tmp_path, 1)
    with served(tmp_path) as client, load(client):
        broken = tmp_path / ".broken"
        shutil.copytree(models.half_plus(2.0), broken)
        (broken / "saved_model.pb").write_bytes(b"no SavedModel")
        broken.rename(tmp_path / "2")
        eventually(lambda: client.states() == {2: "END", 1: "AVAILABLE"})
        (status, _) = client.status()
        assert status.status.error_code != 0
        assert "saved_model.pb" in status.status.error_message
        publish(models.half_plus(2.0), tmp_path, 3)
        eventually(lambda: client.states() == {3: "AVAILABLE", 2: "END", 1: "END"})
    assert client.lines[0].startswith("listening on 127.0.0.1:")


def test_a_failed_load_is_tried_again(models: Models, tmp_path: Path) -> None:
    publish(models.half_plus(1.0), tmp_path, 1)
    with served(tmp_path, max_num_load_retries=100, load_retry_interval_micros=50_000) as client:
        staged = publish(models.half_plus(2.0), tmp_path, "x")
        (staged / "variables/variables.index").rename(staged / "aside")
        staged.rename(tmp_path / "2")
        eventually(lambda: client.states() == {2: "LOADING", 1: "AVAILABLE"})
        time.sleep(0.2)
        assert client.states() == {2: "LOADING", 1: "AVAILABLE"}
        (tmp_path / "2/aside").rename(tmp_path / "2/variables/variables.index")
        eventually(lambda: client.states() == {2: "AVAILABLE", 1: "END"})
        assert client.answer() == 3.0


def test_requests_go_on_while_a_version_takes_long_to_load(models: Models, tmp_path: Path) -> None:
    publish(models.half_plus(1.0), tmp_path, 1)
    with served(tmp_path) as client:
        staged = publish(models.everything, tmp_path, "x")
        log = PredictionLog()
        log.predict_log.request.CopyFrom(predict_request(signature="spin", steps=np.int32([1000])))
        (staged / "assets.extra").mkdir()
        with tf.io.TFRecordWriter(str(staged / "assets.extra/tf_serving_warmup_requests")) as writer:
            writer.write(log.SerializeToString())
        staged.rename(tmp_path / "2")
        eventually(lambda: client.states() == {2: "LOADING", 1: "AVAILABLE"})
        assert [client.answer() for _ in range(20)] == [2.0] * 20
        assert client.states() == {2: "LOADING", 1: "AVAILABLE"}
        eventually(lambda: client.states() == {2: "AVAILABLE", 1: "END"})
        assert client.answer() == 3.0


def test_retries_end_when_the_version_is_withdrawn(models: Models, tmp_path: Path) -> None:
    publish(models.half_plus(1.0), tmp_path, 1)
    with served(tmp_path, max_num_load_retries=100, load_retry_interval_micros=60_000_000) as client:
        staged = publish(models.half_plus(2.0), tmp_path, "x")
        (staged / "variables/variables.index").unlink()
        staged.rename(tmp_path / "2")
        eventually(lambda: client.states().get(2) == "LOADING")
        (tmp_path / "2").rename(tmp_path / "y")
        eventually(lambda: client.states() == {2: "END", 1: "AVAILABLE"})
        assert client.answer() == 2.0


def test_a_version_is_unloaded_when_its_requests_are_done(models: Models, tmp_path: Path) -> None:
    publish(models.everything, tmp_path, 1)
    with served(tmp_path) as client:
        request = predict_request(signature="spin", steps=np.int32([1500]))
        running = client.prediction.Predict.future(request, timeout=60)
        time.sleep(0.1)
        publish(models.half_plus(2.0), tmp_path, 2)
        eventually(lambda: client.states() == {2: "AVAILABLE", 1: "UNLOADING"})
        assert not running.done()
        assert running.result().model_spec.version.value == 1
        eventually(lambda: client.states() == {2: "AVAILABLE", 1: "END"})


def test_a_request_that_nobody_waits_for_keeps_its_version_until_it_ends(
    models: Models, tmp_path: Path
) -> None:
    publish(models.everything, tmp_path, 1)
    with served(tmp_path) as client:
        request = predict_request(signature="spin", steps=np.int32([1000]))
        running = client.prediction.Predict.future(request)
        time.sleep(0.1)
        running.cancel()
        publish(models.half_plus(2.0), tmp_path, 2)
        eventually(lambda: client.states() == {2: "AVAILABLE", 1: "UNLOADING"})
        eventually(lambda: client.states() == {2: "AVAILABLE", 1: "END"})


# Writes a version file by file, and saved_model.pb not before it is told to.
PUBLISHER = """
import os, shutil, sys
source, target = sys.argv[1:]
shutil.copytree(source, target, ignore=shutil.ignore_patterns("saved_model.pb"))
print("variables are there", flush=True)
sys.stdin.read()
"""


def test_a_version_whose_publisher_is_killed_is_not_touched(models: Models, tmp_path: Path) -> None:
    publish(models.half_plus(1.0), tmp_path, 1)
    with served(tmp_path) as client:
        command = [sys.executable, "-c", PUBLISHER, str(models.half_plus(2.0)), str(tmp_path / "2")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as publisher:
            assert publisher.stdout.readline() == "variables are there\n"
            publisher.send_signal(signal.SIGKILL)
        time.sleep(0.2)
        assert client.states() == {1: "AVAILABLE"}
        shutil.copy(models.half_plus(2.0) / "saved_model.pb", tmp_path / "2/saved_model.pb")
        eventually(lambda: client.states() == {2: "AVAILABLE", 1: "END"})


def test_versions_that_vanish_for_a_moment_with_their_folder_go_on_serving(
    models: Models, tmp_path: Path
) -> None:
    base_path = tmp_path / "m"
    base_path.mkdir()
    publish(models.half_plus(1.0), base_path, 1)
    with served(base_path) as client:
        base_path.rename(tmp_path / "away")
        time.sleep(0.2)
        assert client.answer() == 2.0
        (tmp_path / "away").rename(base_path)
        (base_path / "1").rename(base_path / "gone")
        eventually(lambda: client.states() == {1: "END"})
        with refused(grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(m)"):
            client.answer()
        assert not client.server.api.ready


def test_policies_choose_versions_and_labels_name_them(models: Models, tmp_path: Path) -> None:
    for version in (1, 2, 3):
        publish(models.half_plus(float(version)), tmp_path, version)
    base = {"name": "m", "base_path": str(tmp_path)}
    every = {"model_version_policy": {"all": {}}}
    with served(tmp_path) as client:
        assert client.states() == {3: "AVAILABLE"}
        with refused(
            grpc.StatusCode.FAILED_PRECONDITION,
            "Request to assign label to version 1 of model m, which is not currently available for inference",
        ):
            client.reload({**base, **every, "version_labels": {"stable": 1}})
        client.reload({**base, **every})
        eventually(lambda: set(client.states().values()) == {"AVAILABLE"} and len(client.states()) == 3)
        assert [client.answer(version=v) for v in (1, 2, 3)] == [2.0, 3.0, 4.0]
        client.reload({**base, **every, "version_labels": {"stable": 1, "canary": 3}})
        assert [client.answer(label=label) for label in ("stable", "canary")] == [2.0, 4.0]
        with load(client, label="stable") as answers:
            eventually(lambda: answers)
            client.reload({**base, **every, "version_labels": {"stable": 2}})
            eventually(lambda: answers[-1] == 3.0)
        assert set(answers) == {2.0, 3.0}
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label: canary"):
            client.answer(label="canary")
        client.reload({**base, "model_version_policy": {"specific": {"versions": [1, 2]}}})
        eventually(lambda: client.states() == {3: "END", 2: "AVAILABLE", 1: "AVAILABLE"})
        client.reload({**base, "model_version_policy": {"latest": {"num_versions": 2}}})
        eventually(lambda: client.states() == {3: "AVAILABLE", 2: "AVAILABLE", 1: "END"})


def test_new_labels_may_come_before_their_versions_if_the_flag_says_so(
    models: Models, tmp_path: Path
) -> None:
    publish(models.half_plus(1.0), tmp_path, 1)
    base = {"name": "m", "base_path": str(tmp_path)}
    with served(tmp_path, allow_version_labels_for_unavailable_models=True) as client:
        client.reload({**base, "version_labels": {"next": 2}})
        with refused(grpc.StatusCode.NOT_FOUND, "Servable not found for request: Specific(m, 2)"):
            client.answer(label="next")
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "Request to assign label to version 4…"):
            client.reload({**base, "version_labels": {"next": 4}})


def test_a_reload_replaces_the_models_and_waits_for_new_ones(models: Models, tmp_path: Path) -> None:
    for name, offset in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        publish(models.half_plus(offset), tmp_path / name, 1)
    a, b = ({"name": name, "base_path": str(tmp_path / name)} for name in "ab")
    with served(tmp_path / "a", model_name="a") as client:
        client.reload(dict(a), dict(b))
        assert (client.answer(name="a"), client.answer(name="b")) == (2.0, 3.0)
        client.reload(dict(b))
        eventually(lambda: client.states("a") == {1: "END"})
        assert client.server.api.model_names == ["b"]
        client.reload(dict(a), dict(b))
        assert client.answer(name="a") == 2.0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"base_path": "models/m"},
            "Expected model m to have an absolute path or URI; got base_path()=models/m",
        ),
        (
            {"model_platform": "torch"},
            "Illegal to change a model's platform. For model m platform was tensorflow…",
        ),
        ({"model_platform": ""}, "Illegal setting neither ModelServerConfig::model_type (deprecated) nor…"),
        ({"name": "n", "model_platform": "torch"}, "Model n requests unsupported platform torch"),
    ],
)
def test_a_wrong_configuration_is_refused_and_changes_nothing(
    everything: Client, config: dict[str, str], message: str
) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, message):
        everything.reload({"name": "m", "base_path": "/m", **config})
    assert everything.answer() == 3.0


def test_a_model_listed_twice_or_no_list_is_refused(everything: Client) -> None:
    m = {"name": "m", "base_path": "/m"}
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "Illegal to list model m multiple times in config list"):
        everything.reload(dict(m), dict(m))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "ServerModelConfig type not supported…"):
        everything.model.HandleReloadConfigRequest(ReloadConfigRequest())


def test_a_reload_whose_new_model_fails_says_so(models: Models, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        publish(models.half_plus(1.0), tmp_path / name, 1)
    (tmp_path / "b/1/saved_model.pb").write_bytes(b"x")
    a, b = ({"name": name, "base_path": str(tmp_path / name)} for name in "ab")
    with served(tmp_path / "a", model_name="a") as client:
        with refused(
            grpc.StatusCode.UNKNOWN,
            "1 model(s) did not become available: {{{name: b version: 1} due to error: …",
        ):
            client.reload(a, b)
        assert client.answer(name="a") == 2.0


def test_a_server_whose_first_version_fails_does_not_start(models: Models, tmp_path: Path) -> None:
    version = publish(models.half_plus(1.0), tmp_path, 1)
    (version / "variables/variables.index").unlink()
    with (
        pytest.raises(ServingError, match=r"1 model\(s\) did not become available") as caught,
        served(tmp_path),
    ):
        pass
    assert caught.value.code == grpc.StatusCode.UNKNOWN


def test_a_server_waits_for_its_first_version(models: Models, tmp_path: Path) -> None:
    threading.Timer(0.3, publish, [models.half_plus(1.0), tmp_path, 5]).start()
    with served(tmp_path) as client:
        assert client.states() == {5: "AVAILABLE"}


def test_what_is_unknown_has_no_status(everything: Client) -> None:
    with refused(grpc.StatusCode.NOT_FOUND, "Could not find any versions of model n"):
        everything.states("n")
    with refused(grpc.StatusCode.NOT_FOUND, "Could not find version 9 of model m"):
        everything.status(version=9)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec"):
        everything.model.GetModelStatus(GetModelStatusRequest())
