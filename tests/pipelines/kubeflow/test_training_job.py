"""Training on several hosts: a server takes the TFJob and starts its pods, which are processes here."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp_server import serving

from pipelines.dag.cluster import ClusterConfig, TrainerNodeConfig
from pipelines.kubeflow import platform, training_job
from pipelines.kubeflow.node import NodeSpec

JOBS = "namespaces/team/tfjobs"
# Stands where the container's command does: TensorFlow in two more processes would take half a minute.
WORKER = """
import json, os, pathlib, sys, time
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
given, node = json.loads(arguments["--executor_input"]), json.loads(arguments["--node"])
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
(examples,), (model,) = (given[side]["artifacts"][key]["artifacts"] for side, key in
                         (("inputs", "examples"), ("outputs", "model")))
if node["exec_properties"].get("fails"):
    sys.exit(3)
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


class Operator:
    """An API server that knows TFJobs, with the training operator behind it."""

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}
        self.bodies: list[Any] = []
        self.deleted: list[str] = []
        self.refuse = False
        self.answers_after_s: float = 0

    def answer(self, method: str, path: str, query: Any, body: bytes, headers: Message) -> tuple[int, Any]:
        name = path.removeprefix(f"{JOBS}/")
        if method == "POST" and path == JOBS:
            return self._create(json.loads(body))
        if name not in self.jobs:
            return 404, {"kind": "Status", "message": f'tfjobs.kubeflow.org "{name}" not found'}
        if method == "DELETE":
            self.deleted.append(name)
            return 200, {"kind": "Status", "status": "Success"}
        return 200, {"metadata": {"name": name}, "status": self._status(self.jobs[name])}

    def _create(self, body: Any) -> tuple[int, Any]:
        if self.refuse:
            return 403, {
                "kind": "Status",
                "message": 'tfjobs.kubeflow.org is forbidden: User "x" cannot create',
            }
        name = body["metadata"]["name"]
        worker = body["spec"]["tfReplicaSpecs"]["Worker"]
        (container,) = worker["template"]["spec"]["containers"]
        self.bodies.append(body)
        self.jobs[name] = [
            subprocess.Popen(
                [*container["command"], *container["args"]],
                env={**os.environ, "TF_CONFIG": json.dumps({"task": {"type": "worker", "index": index}})},
            )
            for index in range(worker["replicas"])
        ]
        time.sleep(self.answers_after_s)
        return 201, {"metadata": {"name": name}}

    def _status(self, pods: list[subprocess.Popen[bytes]]) -> Any:
        codes = [pod.poll() for pod in pods]
        conditions = [{"type": "Created", "status": "True"}]
        if any(codes):
            conditions.append(
                {"type": "Failed", "status": "True", "message": "TFJob has failed: worker exited"}
            )
        elif all(code == 0 for code in codes):
            conditions.append({"type": "Succeeded", "status": "True"})
        return {"conditions": conditions, "replicaStatuses": {"Worker": {"active": codes.count(None)}}}


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    operator = Operator()
    with serving(operator, prefix="/apis/kubeflow.org/v1/") as url:
        named = (
            [{"name": "c", "cluster": {"server": url}}],
            [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        )
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": named[0],
                  "contexts": named[1], "users": [{"name": "u", "user": {}}]}  # fmt: skip
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setattr(
            "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig")
        )
        monkeypatch.setenv("KFP_NAMESPACE", "team")
        monkeypatch.setenv("KFP_POD_NAME", "mnist-trainer-1")
        monkeypatch.setenv("KFP_POD_UID", "0-1")
        yield operator


def trainer(tmp_path: Path, **properties: int) -> NodeSpec:
    cluster = ClusterConfig(trainer=TrainerNodeConfig(workers=2, cpu="1"))
    return NodeSpec(
        id="Trainer",
        executor="components.trainer.component.Executor",
        inputs={},
        outputs={},
        exec_properties=dict(properties),
        stage_dir=str(tmp_path / "stage"),
        job=platform.training_job("image:1", cluster, [sys.executable, "-c", WORKER]),
    )


def executor_input(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "data.txt").write_text("raw")
    artifacts = {key: {"artifacts": [{"uri": str(tmp_path / key)}]} for key in ("examples", "model")}
    return {
        "inputs": {"artifacts": {"examples": artifacts["examples"]}},
        "outputs": {
            "artifacts": {"model": artifacts["model"]},
            "outputFile": str(tmp_path / "out" / "output.json"),
        },
    }


def test_what_the_workers_leave_becomes_the_nodes_output(operator: Operator, tmp_path: Path) -> None:
    given = executor_input(tmp_path)
    training_job.run(trainer(tmp_path), given, "run-1", poll_s=0.1)
    assert (tmp_path / "model" / "inner" / "model.txt").read_text() == "RAW"
    report = json.loads(Path(given["outputs"]["outputFile"]).read_text())
    (model,) = report["artifacts"]["model"]["artifacts"]
    assert model["uri"] == str(tmp_path / "model")
    assert model["metadata"]["at"] == str(tmp_path / "model" / "inner")
    assert operator.deleted == list(operator.jobs)
    assert not list((tmp_path / "stage" / "run-1").iterdir())


def test_the_job_belongs_to_the_pod_and_asks_for_no_privilege(operator: Operator, tmp_path: Path) -> None:
    training_job.run(trainer(tmp_path), executor_input(tmp_path), "run-1", poll_s=0.1)
    (body,) = operator.bodies
    (owner,) = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", "mnist-trainer-1", "0-1")
    pod = body["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_workers_that_fail_fail_the_node_and_leave_nothing(operator: Operator, tmp_path: Path) -> None:
    given = executor_input(tmp_path)
    with pytest.raises(training_job.JobFailed, match=r"TFJob team/millrace-trainer-\w+: TFJob has failed"):
        training_job.run(trainer(tmp_path, fails=1), given, "run-1", poll_s=0.1)
    assert not Path(given["outputs"]["outputFile"]).exists()
    assert not (tmp_path / "model").exists()
    assert operator.deleted == list(operator.jobs)


@pytest.mark.slow
# The other one is ended while the API server answers.
@pytest.mark.parametrize("answers_after_s", [0, 3])
def test_a_pod_that_kubernetes_ends_ends_the_job(
    operator: Operator, tmp_path: Path, answers_after_s: float
) -> None:
    operator.answers_after_s = answers_after_s
    node = trainer(tmp_path, seconds=60)
    given = json.dumps(executor_input(tmp_path))
    entrypoint = [sys.executable, "-m", "pipelines.kubeflow.entrypoint", "--run_id=run-1"]
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
    (name,) = operator.jobs
    assert operator.deleted == [name]
    for pod in operator.jobs[name]:
        pod.kill()
        pod.wait()


def test_a_role_that_is_missing_is_one_line(operator: Operator, tmp_path: Path) -> None:
    operator.refuse = True
    with pytest.raises(training_job.JobFailed, match=r"TFJob in team: cannot be created: 403 .*is forbidden"):
        training_job.run(trainer(tmp_path), executor_input(tmp_path), "run-1", poll_s=0.1)
