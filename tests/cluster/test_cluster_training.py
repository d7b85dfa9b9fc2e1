"""The Trainer's node on two workers of the training operator, and what kills one of its pods in the middle.

The test stands where Kubeflow Pipelines does: it makes the node's pod by the compiled pipeline, with paths in
the claim in place of an object store's, and tries the task again where that says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from clusters import NAMESPACE, ROOT, Cluster
from kubectl import Json, until
from node import start_training_operator
from pods import Pods, line_with
from registry import DATA

pytestmark = pytest.mark.takes(7)

ACCOUNT = "pipeline-runner"
ENTRYPOINT = "pipelines.kubeflow.entrypoint"
TRAINING_S = 600
# Small, and many steps: the longest part of a run is training, and checkpoints come every few seconds.
SETTINGS = (
    "model.filters=[4,4]", "model.hidden_dim=16", "train.num_epochs=30", "train.steps_per_loop=50",
    "cluster.trainer.workers=2", "cluster.trainer.retries=2", "cluster.trainer.cpu=700m",
    "cluster.trainer.memory=4Gi",
)  # fmt: skip
# Trainings that are equal would go on where another one ended.
SEEDS = {"whole": 1.0, "killed": 2.0, "drained": 3.0, "orphaned": 4.0}
# What the Trainer of the first run was given.
INPUTS = """
import json
from pipelines.runs import history
trainer = history.find_run("/millrace", history.LATEST).node("Trainer")
print("inputs", json.dumps([artifact.to_json() for artifact in trainer.inputs]))
"""


class Task(NamedTuple):
    """The Trainer's task as compiled, and the artifacts that its node reads."""

    pods: Pods
    container: Json
    retries: int
    inputs: dict[str, Json]

    def executor_input(self, run: str) -> Json:
        """Returns what the launcher tells the node of a run."""
        folder = f"/millrace/artifacts/mnist/{run}/trainer/1"
        outputs = {key: {"name": "1", "uri": f"{folder}/{key}"} for key in ("model", "model_run")}
        inputs = {key: {"artifacts": [found]} for key, found in self.inputs.items()}
        return {
            "inputs": {"artifacts": inputs, "parameterValues": {"train_seed": SEEDS[run]}},
            "outputs": {
                "artifacts": {key: {"artifacts": [found]} for key, found in outputs.items()},
                "outputFile": f"{folder}/output_metadata.json",
            },
        }

    def start(self, run: str, attempt: int = 0) -> str:
        """Starts an attempt of the task in a run, and returns its pod's name."""
        name = f"{run}-trainer-{attempt}"
        # Checkpoints of the run are newer than this.
        self.pods.shell("touch", f"/millrace/{run}")
        given = json.dumps(self.executor_input(run))
        arguments = [argument.replace("{{$}}", given) for argument in self.container["args"]]
        self.pods.start(name, [*self.container["command"], *arguments], ACCOUNT)
        return name

    def await_checkpoint(self, run: str) -> None:
        """Returns when a run has trained for some steps, and both of its workers go on."""
        found = ["find", "/millrace/unfinished/mnist", "-name", "*.index", "-newer", f"/millrace/{run}"]
        until(
            lambda: (
                self.pods.kubectl.run(
                    f"--namespace={NAMESPACE}", "exec", "registry-shell", "--", *found
                ).stdout
            ),
            "a checkpoint",
            TRAINING_S,
            lambda: "; ".join(self.pods.log(f"{run}-trainer-0").splitlines()[-3:]),
        )

    def try_again(self, run: str) -> str:
        """Returns the uid of the second attempt's job, which goes on at a checkpoint and ends in a model."""
        assert self.retries >= 1
        again = self.start(run, 1)
        until(lambda: "resumed at step" in self.pods.log(self.worker(run, 0)), "a resumption", TRAINING_S)
        job = self.job_uid(run)
        assert self.pods.end_of(again, TRAINING_S) == "Succeeded"
        self.check(run)
        return job

    def job_uid(self, run: str) -> str:
        return str(self.pods.get("tfjob", f"trainer-{run}")["metadata"]["uid"])

    def worker(self, run: str, index: int) -> str:
        return f"trainer-{run}-worker-{index}"

    def restarts(self, run: str) -> int:
        """Returns how often the containers of a run's workers were started again."""
        pods = self.pods.get("pods", f"--selector=training.kubeflow.org/job-name=trainer-{run}")["items"]
        statuses = [status for pod in pods for status in pod["status"].get("containerStatuses", ())]
        return sum(status["restartCount"] for status in statuses)

    def check(self, run: str) -> None:
        """Checks that a run has left its model, and nothing else."""
        folder = f"/millrace/artifacts/mnist/{run}/trainer/1"
        report = json.loads(self.pods.shell("cat", f"{folder}/output_metadata.json"))
        assert report["artifacts"].keys() == {"model", "model_run"}
        self.pods.shell("test", "-f", f"{folder}/model/Format-Serving/saved_model.pb")
        assert self.pods.shell("ls", "/millrace/artifacts/mnist/stage").split() == []
        assert not self.pods.names(f"training.kubeflow.org/job-name=trainer-{run}")


@pytest.fixture(scope="module")
def task(published: Pods, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Task:
    start_training_operator(cluster.own, cluster.programs, tmp_path_factory.mktemp("operator"))
    account = {"name": ACCOUNT, "namespace": NAMESPACE}
    published.kubectl.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    published("apply", f"--filename={ROOT / 'k8s/retraining/rbac.yaml'}")
    container, policy = compiled(published.image, tmp_path_factory.mktemp("compiled") / "mnist.yaml")
    said = published.run("find-inputs", ["python", "-c", INPUTS], 300)
    found = json.loads(line_with("inputs ", said).partition(" ")[2])
    inputs = {
        artifact["key"]: {"name": "1", "uri": artifact["uri"], "metadata": artifact["properties"]}
        for artifact in found
    }
    return Task(published, container, policy["maxRetryCount"], inputs)


def compiled(image: str, file: Path) -> tuple[Json, Json]:
    """Returns the Trainer's container and its policy of retries, as `millrace compile` writes them."""
    settings = [f"--set={setting}" for setting in SETTINGS]
    command = [str(Path(sys.executable).with_name("millrace")), "compile", "mnist", f"--image={image}",
               f"--data={DATA}", f"--out={file}", *settings]  # fmt: skip
    subprocess.run(command, check=True, timeout=300)
    specification: Any = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    executor = specification["deploymentSpec"]["executors"]["exec-trainer"]
    return executor["container"], specification["root"]["dag"]["tasks"]["trainer"]["retryPolicy"]


def test_two_workers_train_a_model(task: Task) -> None:
    follower = task.start("whole")
    assert task.pods.end_of(follower, TRAINING_S) == "Succeeded"
    task.check("whole")


def test_a_killed_worker_is_started_again_and_the_job_goes_on(task: Task, cluster: Cluster) -> None:
    follower = task.start("killed")
    task.await_checkpoint("killed")
    cluster.own.kill(task.worker("killed", 1), NAMESPACE, ENTRYPOINT)
    until(lambda: task.restarts("killed"), "a restart", 120)
    assert task.pods.end_of(follower, TRAINING_S) == "Succeeded"
    task.check("killed")


def test_a_task_whose_workers_pod_is_evicted_is_tried_again_and_goes_on_at_a_checkpoint(task: Task) -> None:
    first = task.start("drained")
    task.await_checkpoint("drained")
    task.pods.evict(task.worker("drained", 1))
    assert task.pods.end_of(first, TRAINING_S) == "Failed"
    assert "TFJob millrace/trainer-drained" in task.pods.log(first).splitlines()[-1]
    task.try_again("drained")


def test_a_killed_follower_leaves_its_job_to_the_next_attempt_which_makes_it_anew(
    task: Task, cluster: Cluster
) -> None:
    first = task.start("orphaned")
    task.await_checkpoint("orphaned")
    job = task.job_uid("orphaned")
    cluster.own.kill(first, NAMESPACE, ENTRYPOINT)
    assert task.pods.end_of(first, 120) == "Failed"
    assert task.try_again("orphaned") != job
