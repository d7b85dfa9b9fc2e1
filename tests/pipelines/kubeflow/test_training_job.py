"""Training on several hosts: a server takes the TFJob and starts its pods, which are processes here."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from training_operator import Operator, operating

from pipelines.dag.cluster import ClusterConfig, TrainerNodeConfig
from pipelines.kubeflow import platform, training_job
from pipelines.kubeflow.node import NodeSpec

# Stands where the container's command does: TensorFlow in two more processes would take half a minute.
WORKER = """
import json, os, pathlib, sys, time
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
given, node = json.loads(arguments["--executor_input"]), json.loads(arguments["--node"])
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
(examples,), (model,) = (given[side]["artifacts"][key]["artifacts"] for side, key in
                         (("inputs", "examples"), ("outputs", "model")))
attempts = pathlib.Path(given["outputs"]["outputFile"] + f".attempts-{index}")
attempts.touch()
attempts.write_text(attempts.read_text() + "x")
if len(attempts.read_text()) <= node["exec_properties"].get("failures", 0):
    print("loading", index)
    sys.exit(f"millrace: error: data.txt: expected better, got RAW in {index}")
time.sleep(node["exec_properties"].get("seconds", 0))
if index == 0:
    folder = pathlib.Path(model["uri"], "inner")
    folder.mkdir(parents=True)
    text = pathlib.Path(examples["uri"], "data.txt").read_text()
    (folder / "model.txt").write_text(text.upper())
    done = {"uri": model["uri"], "metadata": {"at": model["uri"] + "/inner"}}
    report = {"artifacts": {"model": {"artifacts": [done]}}}
    pathlib.Path(given["outputs"]["outputFile"]).write_text(json.dumps(report))
"""


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    with operating(tmp_path, monkeypatch) as operator:
        yield operator


def trainer(tmp_path: Path, retries: int = 0, **properties: int) -> NodeSpec:
    cluster = ClusterConfig(trainer=TrainerNodeConfig(workers=2, cpu="1", retries=retries))
    return NodeSpec(
        id="Trainer",
        executor="components.trainer.component.Executor",
        inputs={},
        outputs={},
        exec_properties=dict(properties),
        stage_dir=str(tmp_path / "stage"),
        job=platform.training_job("image:1", cluster, [sys.executable, "-c", WORKER]),
        start_timeout_s=60,
    )


def executor_input(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "data.txt").write_text("raw")
    artifacts = {key: {"artifacts": [{"uri": str(tmp_path / key)}]} for key in ("examples", "model")}
    return {
        "inputs": {"artifacts": {"examples": artifacts["examples"]}},
        "outputs": {
            "artifacts": {"model": artifacts["model"]},
            "outputFile": str(tmp_path / "mnist/run-1/trainer/salt/output_metadata.json"),
        },
    }


def run(node: NodeSpec, given: dict[str, Any]) -> None:
    training_job.run(node, given, poll_s=0.1)


def test_what_the_workers_leave_becomes_the_nodes_output(operator: Operator, tmp_path: Path) -> None:
    given = executor_input(tmp_path)
    run(trainer(tmp_path), given)
    assert (tmp_path / "model" / "inner" / "model.txt").read_text() == "RAW"
    report = json.loads(Path(given["outputs"]["outputFile"]).read_text())
    (model,) = report["artifacts"]["model"]["artifacts"]
    assert model["uri"] == str(tmp_path / "model")
    assert model["metadata"]["at"] == str(tmp_path / "model" / "inner")
    assert (set(operator.deleted), operator.jobs) == ({"trainer-run-1"}, {})
    assert not list((tmp_path / "stage").iterdir())


def test_stages_of_runs_that_are_long_over_are_removed(operator: Operator, tmp_path: Path) -> None:
    for name, days in (("run-0", 8), ("run-2", 6)):
        file = tmp_path / "stage" / name / "trainer/inputs/examples/0/data.txt"
        file.parent.mkdir(parents=True)
        file.touch()
        os.utime(file, (time.time() - days * 24 * 3600,) * 2)
    run(trainer(tmp_path), executor_input(tmp_path))
    assert [folder.name for folder in (tmp_path / "stage").iterdir()] == ["run-2"]


def test_the_job_belongs_to_the_pod_ends_some_day_and_asks_for_no_privilege(
    operator: Operator, tmp_path: Path
) -> None:
    run(trainer(tmp_path), executor_input(tmp_path))
    (body,) = operator.bodies
    (owner,) = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", "mnist-trainer-1", "0-1")
    assert body["spec"]["runPolicy"]["activeDeadlineSeconds"] == 7 * 24 * 3600
    pod = body["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_workers_that_fail_fail_the_node_with_their_last_words_and_leave_nothing(
    operator: Operator, tmp_path: Path
) -> None:
    given = executor_input(tmp_path)
    reason = r"worker-0: data.txt: expected better, got RAW in 0; worker-1: data.txt: .* in 1$"
    with pytest.raises(training_job.JobFailed, match=rf"TFJob team/trainer-run-1: .*backoff limit; {reason}"):
        run(trainer(tmp_path, failures=9), given)
    assert not Path(given["outputs"]["outputFile"]).exists()
    assert not (tmp_path / "model").exists()
    assert operator.jobs == {}
    assert not list((tmp_path / "stage").iterdir())


def test_each_worker_may_fail_as_often_as_the_node_may_be_tried_again(
    operator: Operator, tmp_path: Path
) -> None:
    run(trainer(tmp_path, retries=2, failures=2), executor_input(tmp_path))
    assert [pod.restarts for pod in operator.all_pods] == [2, 2]


def test_another_attempt_ends_the_job_of_a_killed_one_before_it_touches_its_files(
    operator: Operator, tmp_path: Path
) -> None:
    node, given = trainer(tmp_path), executor_input(tmp_path)
    left = trainer(tmp_path, seconds=60).job
    assert left is not None
    left["metadata"]["name"] = "trainer-run-1"
    (container,) = left["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    watched = tmp_path / "stage/run-1/trainer/inputs"
    watched.mkdir(parents=True)
    container["command"] = [sys.executable, "-c", "import time; time.sleep(60)"]
    container["args"] = []
    operator.answer("POST", "", {}, json.dumps(left).encode(), {})  # type: ignore[arg-type]
    pods = list(operator.all_pods)
    seen = []
    for pod in pods:
        kill = pod.kill
        pod.kill = lambda kill=kill: (seen.append(watched.exists()), kill())  # type: ignore[assignment]
    run(node, given)
    assert seen[:2] == [True, True]
    assert all(pod.process.poll() is not None for pod in pods)
    assert len(operator.bodies) == 2
    assert (tmp_path / "model" / "inner" / "model.txt").read_text() == "RAW"


def test_only_an_answer_ends_the_job(operator: Operator, tmp_path: Path) -> None:
    refuse_once_created(operator, [503, 403])
    run(trainer(tmp_path, seconds=1), executor_input(tmp_path))
    assert not operator.failures
    assert (tmp_path / "model" / "inner" / "model.txt").read_text() == "RAW"


def refuse_once_created(operator: Operator, failures: list[int]) -> None:
    create = operator._create

    def created(body: Any) -> tuple[int, Any]:
        answer = create(body)
        operator.failures = failures
        return answer

    operator._create = created  # type: ignore[method-assign]


def test_a_job_that_somebody_deletes_has_failed(operator: Operator, tmp_path: Path) -> None:
    refuse_once_created(operator, [404])
    with pytest.raises(training_job.JobFailed, match="was deleted"):
        run(trainer(tmp_path, seconds=60), executor_input(tmp_path))


def test_the_accounts_token_is_read_again(operator: Operator, tmp_path: Path) -> None:
    operator.token = "first"
    create = operator._create

    def created(body: Any) -> tuple[int, Any]:
        operator.token = "second"
        (tmp_path / "token").write_text("second")
        return create(body)

    operator._create = created  # type: ignore[method-assign]
    run(trainer(tmp_path), executor_input(tmp_path))
    assert (tmp_path / "model" / "inner" / "model.txt").read_text() == "RAW"


def test_workers_without_a_place_are_waited_for_no_longer_than_was_asked(
    operator: Operator, tmp_path: Path
) -> None:
    operator.unschedulable = (
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available: …"
    )
    node = trainer(tmp_path).model_copy(update={"start_timeout_s": 1})
    with pytest.raises(
        training_job.JobFailed, match=r"2 workers Pending for 0 min: Insufficient nvidia\.com/gpu$"
    ):
        run(node, executor_input(tmp_path))
    assert operator.jobs == {}


@pytest.mark.slow
# The other one is ended while the API server answers.
@pytest.mark.parametrize("answers_after_s", [0, 3])
def test_a_pod_that_kubernetes_ends_ends_the_job(
    operator: Operator, tmp_path: Path, answers_after_s: float
) -> None:
    operator.answers_after_s = answers_after_s
    node = trainer(tmp_path, seconds=60)
    given = json.dumps(executor_input(tmp_path))
    entrypoint = [sys.executable, "-m", "pipelines.kubeflow.entrypoint"]
    with subprocess.Popen(
        [*entrypoint, f"--node={node.model_dump_json()}", f"--executor_input={given}"],
        env={**os.environ, "KUBECONFIG": str(tmp_path / "kubeconfig")},
        cwd=Path(__file__).parents[3],
    ) as process:
        end = time.monotonic() + 60
        while not operator.jobs and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    assert set(operator.deleted) == {"trainer-run-1"}


def test_a_role_that_is_missing_is_one_line(operator: Operator, tmp_path: Path) -> None:
    operator.refuse = True
    with pytest.raises(training_job.JobFailed, match=r"trainer-run-1: cannot be created: 403 .*is forbidden"):
        run(trainer(tmp_path), executor_input(tmp_path))
