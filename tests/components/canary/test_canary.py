"""The canary on real SavedModels and the real model server."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tfx import v1 as tfx
from tfx.types import Artifact, channel_utils, standard_artifacts
from tfx.utils import io_utils

from components.canary.component import Canary
from components.canary.executor import Executor
from components.canary.probe import CanaryError, check, probe
from components.canary.replay import WARMUP_REQUESTS, Report, Tolerance
from components.canary.server import ModelServer, model_server, started_ahead
from components.errors import Failure
from components.pusher.component import Pusher
from components.registry import registry

IMAGES = np.arange(12, dtype=np.float32).reshape(3, 4) / 10
Compute = Callable[[Any], Any]
Judge = Callable[[Path | str], Report]
Refusal = Callable[[Path | str], str]


def good(image: Any) -> Any:
    return tf.nn.softmax(image)


def export(folder: Path, compute: Compute = good) -> Path:
    """Writes a SavedModel with `classify` (float32[batch, 4]) and `serving_default` (the same as bytes)."""
    module = tf.Module()
    module.scale = tf.Variable(tf.ones(4))

    def answers(image: Any) -> dict[str, Any]:
        probabilities = compute(image * module.scale)
        return {"probabilities": probabilities, "classes": tf.argmax(image, axis=1)}

    module.classify = tf.function(
        answers, input_signature=[tf.TensorSpec((None, 4), tf.float32, name="image")]
    )
    module.serve = tf.function(
        lambda examples: answers(tf.io.decode_raw(examples, tf.float32)[:, :4]),
        input_signature=[tf.TensorSpec((None,), tf.string, name="examples")],
    )
    tf.saved_model.save(
        module, str(folder), signatures={"classify": module.classify, "serving_default": module.serve}
    )
    return folder


def record(
    folder: Path,
    signatures: tuple[str, ...] = ("classify", "serving_default"),
    images: Any = IMAGES,
    **changes: Any,
) -> Path:
    """Writes the warm-up requests with the answers of `good`; changes replace recorded outputs."""
    inputs = {
        "classify": {"image": images},
        "serving_default": {"examples": np.array([row.tobytes() for row in images], object)},
    }
    outputs = {"probabilities": good(images).numpy(), "classes": images.argmax(1), **changes}
    (folder / WARMUP_REQUESTS).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / WARMUP_REQUESTS)) as writer:
        for name in signatures:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.model_spec.name = "mnist"
            log.predict_log.request.model_spec.signature_name = name
            for key, value in inputs[name].items():
                log.predict_log.request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            for key, value in outputs.items():
                log.predict_log.response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    """One server for all models that do it no harm."""
    with pytest.MonkeyPatch.context() as patch:
        # Whoever must go through a proxy does not to this host.
        patch.setenv("http_proxy", "http://127.0.0.1:1")
        patch.delenv("no_proxy", raising=False)
        # oneDNN's allocator waits 10 s for memory that is not there.
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        with model_server() as running:
            yield running


@pytest.fixture
def judged(server: ModelServer) -> Judge:
    return lambda model: check(server, str(model), Tolerance(1e-5), 120.0)


@pytest.fixture
def refusal(judged: Judge) -> Refusal:
    """What judges a model that must be refused, and returns the reason."""

    def reason(model: Path | str) -> str:
        report = judged(model)
        assert not report.ok
        assert "\n" not in report.reason
        return report.reason

    return reason


def test_model_that_repeats_the_recorded_answers_is_ok(tmp_path: Path, judged: Judge) -> None:
    report = judged(record(export(tmp_path)))
    assert report.ok
    assert {name: found.requests for name, found in report.signatures.items()} == {
        "classify": 1,
        "serving_default": 1,
    }
    assert all(found.max_abs_difference < 1e-6 for found in report.signatures.values())


def test_request_and_answer_may_be_larger_than_grpc_takes_by_default(tmp_path: Path, judged: Judge) -> None:
    images = np.tile(IMAGES, (100_000, 1))  # 4.8 MB; 4 MiB is the default
    assert judged(record(export(tmp_path), ("classify",), images)).signatures["classify"].requests == 1


def test_nan_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    model = record(export(tmp_path, lambda image: tf.math.log(-1.0 - image)))
    assert (
        refusal(model) == "signature 'classify', output 'probabilities': 12 of 12 values are NaN or infinite"
    )


def test_answer_that_differs_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    model = record(export(tmp_path, lambda image: tf.nn.softmax(image) + 0.25))
    assert "differs from the recorded answer by 0.25, tolerance 1e-05" in refusal(model)


def test_class_that_differs_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    model = record(export(tmp_path), classes=np.array([3, 3, 0]))
    assert "output 'classes': 1 of 3 values differ" in refusal(model)


def test_signature_without_a_recorded_request_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    assert refusal(record(export(tmp_path), ("classify",))) == "no recorded request for serving_default"


def test_model_without_recorded_requests_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    assert refusal(export(tmp_path)) == f"no recorded requests: {WARMUP_REQUESTS} is missing"


def test_request_without_a_recorded_answer_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    model = record(export(tmp_path))
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "classify"
    log.predict_log.request.inputs["image"].CopyFrom(tf.make_tensor_proto(IMAGES))
    with tf.io.TFRecordWriter(str(model / WARMUP_REQUESTS)) as writer:
        writer.write(log.SerializeToString())
    assert "expected the outputs none, got classes, probabilities" in refusal(model)


@pytest.mark.parametrize("damage", ["flip", "truncate", "no log"])
def test_damaged_requests_are_refused(tmp_path: Path, refusal: Refusal, damage: str) -> None:
    requests = record(export(tmp_path)) / WARMUP_REQUESTS
    content = bytearray(requests.read_bytes())
    if damage == "flip":
        content[40] ^= 1
        requests.write_bytes(content)
    elif damage == "truncate":
        requests.write_bytes(content[:-1])
    else:
        with tf.io.TFRecordWriter(str(requests)) as writer:
            writer.write(b"\xff")
    assert f"{WARMUP_REQUESTS} cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
@pytest.mark.parametrize("damage", ["truncate", "delete"])
def test_damaged_model_is_refused(tmp_path: Path, refusal: Refusal, name: str, damage: str) -> None:
    damaged = record(export(tmp_path)) / name
    if damage == "truncate":
        damaged.write_bytes(damaged.read_bytes()[:-2])
    else:
        damaged.unlink()
    assert refusal(tmp_path)


def test_reason_names_the_model_where_it_lies(tmp_path: Path, refusal: Refusal) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"no protobuf")
    assert f"Cannot parse file b'{tmp_path}/saved_model.pb'" in refusal(tmp_path)


def test_operation_that_fails_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    def failing(image: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_less(image, -1.0, "too large")]):
            return tf.nn.softmax(image)

    reason = refusal(record(export(tmp_path, failing)))
    assert reason.startswith("signature 'classify': INVALID_ARGUMENT: ")
    assert "too large" in reason


def test_memory_that_runs_out_is_no_verdict(tmp_path: Path, judged: Judge) -> None:
    def greedy(image: Any) -> Any:
        size = tf.cast(tf.shape(image)[0], tf.int64) * 2**45
        return tf.nn.softmax(image) + tf.reduce_max(tf.random.uniform([size]))

    with pytest.raises(CanaryError, match="memory ran out while answering signature 'classify'"):
        judged(record(export(tmp_path, greedy)))


def test_folder_without_a_model_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    assert "SavedModel file does not exist" in refusal(tmp_path)


def test_request_with_other_inputs_than_the_signature_takes_is_refused(
    tmp_path: Path, refusal: Refusal
) -> None:
    model = record(export(tmp_path), ("classify",))
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "serving_default"
    log.predict_log.request.inputs["example"].CopyFrom(tf.make_tensor_proto([b""]))
    with tf.io.TFRecordWriter(str(model / WARMUP_REQUESTS)) as writer:
        writer.write(log.SerializeToString())
    assert refusal(model).startswith("signature 'serving_default': INVALID_ARGUMENT: ")


def test_tensor_that_cannot_be_read_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    model = record(export(tmp_path))
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["image"].dtype = 9999
    with tf.io.TFRecordWriter(str(model / WARMUP_REQUESTS)) as writer:
        writer.write(log.SerializeToString())
    assert refusal(model).startswith("TypeError: ")


def test_model_at_a_uri_is_copied_and_judged(tmp_path: Path, judged: Judge) -> None:
    uri = f"ram://{tmp_path.name}/Format-Serving"
    record(export(tmp_path / "model"))
    (tmp_path / "model/assets").rmdir()  # ram:// would find assets.extra's files in it
    io_utils.copy_dir(str(tmp_path / "model"), uri)
    assert judged(uri).ok


def test_store_that_cannot_be_read_is_no_verdict(judged: Judge) -> None:
    with pytest.raises(CanaryError, match="nowhere://models/m: cannot be copied: "):
        judged("nowhere://models/m")


@pytest.mark.parametrize("location", ["model", "file://{folder}/model"])
def test_local_model_is_found_by_relative_path_and_by_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judged: Judge, location: str
) -> None:
    record(export(tmp_path / "model"))
    monkeypatch.chdir(tmp_path)
    assert judged(location.format(folder=tmp_path)).ok


# In a process of its own.


def aborting(exit_without_error: bool) -> Compute:
    def compute(image: Any) -> Any:
        abort = tf.raw_ops.Abort(error_msg="crashed on purpose", exit_without_error=exit_without_error)
        with tf.control_dependencies([abort]):
            return tf.nn.softmax(image)

    return compute


def artifact(kind: type[Artifact], folder: Path, **properties: int) -> Artifact:
    folder.mkdir(parents=True, exist_ok=True)
    made = kind()
    made.uri = str(folder)
    for name, value in properties.items():
        made.set_int_custom_property(name, value)
    return made


def judge(tmp_path: Path, **model_blessing: int) -> tuple[dict[str, Any], Artifact]:
    """Runs the executor on the model in tmp_path/model; returns canary.json and the blessing."""
    inputs = {"model": [artifact(standard_artifacts.Model, tmp_path / "model")]}
    if model_blessing:
        folder = tmp_path / "model_blessing"
        inputs["model_blessing"] = [artifact(standard_artifacts.ModelBlessing, folder, **model_blessing)]
    blessing = artifact(standard_artifacts.InfraBlessing, tmp_path / "blessing")
    settings = {"absolute_tolerance": 1e-5, "differing_share": 0.0, "timeout_s": 120.0}
    Executor().Do(inputs, {"blessing": [blessing]}, settings)
    return json.loads((tmp_path / "blessing/canary.json").read_text()), blessing


@pytest.mark.slow
def test_model_that_crashes_its_process_is_refused_and_the_run_goes_on(tmp_path: Path) -> None:
    record(export(tmp_path / "model/Format-Serving", aborting(False)))
    report, blessing = judge(tmp_path, blessed=1)
    assert not report["ok"]
    assert report["reason"].startswith("the process ended with SIGABRT while answering signature 'classify'")
    assert report["reason"].endswith("crashed on purpose")
    assert blessing.get_int_custom_property("blessed") == 0
    assert sorted(os.listdir(tmp_path / "blessing")) == ["INFRA_NOT_BLESSED", "canary.json"]


@pytest.mark.slow
def test_model_that_ends_its_process_quietly_is_refused(tmp_path: Path) -> None:
    report = probe(str(record(export(tmp_path, aborting(True)))), Tolerance(1e-5), 120.0)
    assert not report.ok
    assert report.reason == "the process ended with exit code 0 while answering signature 'classify'"


def test_model_that_the_evaluator_refused_is_not_loaded(tmp_path: Path) -> None:
    report, blessing = judge(tmp_path, blessed=0)  # there is no model at all
    assert report == {"ok": False, "reason": "not tried: the Evaluator did not bless it", "signatures": {}}
    assert blessing.get_int_custom_property("blessed") == 0


def test_no_verdict_in_time_is_a_failure(tmp_path: Path) -> None:
    before = children()
    with pytest.raises(Failure, match="no verdict within 1 s, still starting"):
        probe(str(tmp_path), Tolerance(1e-5), 1.0)
    assert children() == before


@pytest.mark.slow
def test_model_that_never_answers_is_a_failure(tmp_path: Path) -> None:
    def endless(image: Any) -> Any:
        return tf.while_loop(lambda x: tf.reduce_all(tf.math.is_finite(x)), tf.identity, [image])[0]

    before = children()
    with model_server() as own:
        own.connect(time.monotonic() + 120)
        with pytest.raises(CanaryError, match="no verdict within 3 s, still answering signature 'classify'"):
            check(own, str(record(export(tmp_path, endless))), Tolerance(1e-5), 3.0)
        # Without the client, the server has nothing to wait for.
        os.kill((children() - before).pop(), signal.SIGTERM)
        with pytest.raises(CanaryError, match="killed by a signal while loading the model"):
            check(own, str(tmp_path), Tolerance(1e-5), 120.0)
    assert children() == before


def test_process_killed_from_outside_is_a_failure(tmp_path: Path) -> None:
    before = children()

    def kill() -> None:
        while not (found := children() - before):
            time.sleep(0.05)
        os.kill(found.pop(), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(Failure, match="killed by SIGKILL while starting; is memory short"):
        probe(str(tmp_path), Tolerance(1e-5), 120.0)
    killer.join()


def test_server_ends_with_the_process_that_started_it() -> None:
    command = [sys.executable, "-m", "components.canary.child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[3]) as process:
        process.stdin.close()  # as the kernel does for a process that is killed
        assert process.wait(60) == 1


def test_environment_in_which_the_check_cannot_start_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorflow.py").write_text("raise ImportError('broken installation')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(Failure, match="the check could not start: ImportError: broken installation"):
        probe(str(tmp_path), Tolerance(1e-5), 120.0)


def children() -> set[int]:
    """Returns the servers that this process has started and that still run."""

    def servers() -> Iterator[int]:
        for process in Path("/proc").iterdir():
            try:
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == os.getpid() and b"components.canary.child" in (process / "cmdline").read_bytes():
                    yield int(process.name)
            except (OSError, IndexError):
                continue

    return set(servers())


def test_a_server_that_was_started_ahead_is_taken_once_and_ended_either_way() -> None:
    before = children()
    with started_ahead():
        (ahead,) = children() - before
        with model_server() as first:
            assert children() - before == {ahead}
            first.connect(time.monotonic() + 120)
            with model_server():
                assert len(children() - before) == 2
        assert not children() - before
    with started_ahead():
        assert len(children() - before) == 1
    assert children() == before


# In a DAG.


@pytest.mark.slow
def test_dag_tries_a_model_and_pushes_it(tmp_path: Path, judged: Judge) -> None:
    record(export(tmp_path / "model/Format-Serving"))
    (tmp_path / "judgement").mkdir()
    (tmp_path / "judgement/metrics.json").write_text('{"metrics": {"accuracy": 0.98}}')
    model, blessing, evaluation = (
        tfx.dsl.Importer(str(tmp_path / folder), kind, custom_properties=properties).with_id(folder + name)
        for name, folder, kind, properties in (
            ("", "model", standard_artifacts.Model, {}),
            ("_blessing", "judgement", standard_artifacts.ModelBlessing, {"blessed": 1}),
            ("_evaluation", "judgement", standard_artifacts.ModelEvaluation, {}),
        )
    )
    canary = Canary(model.outputs["result"], 1e-5, 120.0, model_blessing=blessing.outputs["result"])
    pusher = Pusher(
        model.outputs["result"],
        str(tmp_path / "base"),
        "mnist",
        model_blessing=blessing.outputs["result"],
        infra_blessing=canary.outputs["blessing"],
        evaluation=evaluation.outputs["result"],
    )
    metadata = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db"))
    pipeline = tfx.dsl.Pipeline(
        pipeline_name="publish",
        pipeline_root=str(tmp_path / "root"),
        metadata_connection_config=metadata,
        components=[model, blessing, evaluation, canary, pusher],
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)

    report = json.loads(next(tmp_path.glob("root/Canary/blessing/*/canary.json")).read_text())
    assert report["ok"], report["reason"]
    assert report["signatures"]["serving_default"]["requests"] == 1
    assert [path.name for path in tmp_path.glob("root/Canary/blessing/*/*_BLESSED")] == ["INFRA_BLESSED"]
    version = registry.live(str(tmp_path / "base"), "mnist")
    assert version is not None
    assert version.metrics == {"accuracy": 0.98}
    assert set(version.source) == {"model_uri", "pipeline", "run_id"}
    assert judged(version.path).ok


def test_component_declares_one_blessing(tmp_path: Path) -> None:
    model = channel_utils.as_channel([artifact(standard_artifacts.Model, tmp_path)])
    canary = Canary(model, timeout_s=60.0)
    assert canary.outputs["blessing"].type is standard_artifacts.InfraBlessing
    assert canary.exec_properties == {"absolute_tolerance": 1e-4, "differing_share": 1e-3, "timeout_s": 60.0}
