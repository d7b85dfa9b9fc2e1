"""An API server that knows TFJobs, with the training operator and a kubelet behind it; pods are processes.

Written after pkg/controller.v1 of kubeflow/training-operator 1.9, and what a real one did: a container that
fails is started again; a job fails, and loses its pods, as soon as the restarts of all workers together are
`backoffLimit`; deleted jobs and pods take their time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp_server import serving

JOBS = "apis/kubeflow.org/v1/namespaces/team/tfjobs"
PODS = "api/v1/namespaces/team/pods"

# Between the end of a job, or of a process, and that of what hangs on it.
_BEHIND_S = 0.3


class Pod:
    """One worker: a process that is started again where it fails."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.name, self._command, self._folder = name, command, folder
        self._environment = environment
        self.restarts = 0
        self._start()

    def _start(self) -> None:
        self.log = self._folder / f"{self.name}-{self.restarts}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command, env={**os.environ, **self._environment}, stdout=log, stderr=log
            )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart_if_failed(self) -> None:
        if self.process.poll():
            self.restarts += 1
            self._start()

    def to_json(self, job: str) -> Any:
        phase = {None: "Running", 0: "Succeeded"}.get(self.process.poll(), "Running")
        return pod_json(self.name, job, {"phase": phase})


def pod_json(name: str, job: str, status: dict[str, Any]) -> Any:
    return {"metadata": {"name": name, "labels": {"training.kubeflow.org/job-name": job}}, "status": status}


class Operator:
    """What the server holds; tests set what is refused, slow, or without a place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: dict[str, Any] = {}
        self.pods: dict[str, list[Pod]] = {}
        self.bodies: list[Any] = []
        self.deleted: list[str] = []
        # Also those whose jobs are gone.
        self.all_pods: list[Pod] = []
        self.refuse = False
        self.answers_after_s: float = 0
        # What the scheduler says of pods that have no place.
        self.unschedulable = ""
        # Statuses of the next answers about a job; 0 breaks the connection.
        self.failures: list[int] = []
        self.token = ""
        # For which pods of a deleted job may go on.
        self.grace_s: float = 0
        # In place of the first words of a container's command.
        self.command: dict[str, list[str]] = {}

    def answer(self, method: str, path: str, query: Any, body: bytes, headers: Message) -> tuple[int, Any]:
        if self.token and headers["Authorization"] != f"Bearer {self.token}":
            return 401, _status("Unauthorized")
        if path == PODS:
            _, _, job = query["labelSelector"].partition("=")
            return 200, {"kind": "PodList", "items": self._list_pods(job)}
        if path.startswith(PODS):
            return self._log(path.split("/")[-2])
        if method == "POST":
            return self._create(json.loads(body))
        return self._about_job(method, path.removeprefix(f"{JOBS}/"))

    def _about_job(self, method: str, name: str) -> tuple[int, Any]:
        if self.failures:
            return self.failures.pop(0), _status("the server is away")
        if name not in self.jobs:
            return 404, _status(f'tfjobs.kubeflow.org "{name}" not found')
        if method == "DELETE":
            if not self.jobs[name]["metadata"].get("deletionTimestamp"):
                self.jobs[name]["metadata"]["deletionTimestamp"] = "now"
                self.deleted.append(name)
                threading.Thread(target=self._delete, args=[name]).start()
            return 200, {"kind": "Status", "status": "Success"}
        job = self.jobs[name]
        self._reconcile(job, self.pods.get(name, []))
        return 200, job

    def _create(self, body: Any) -> tuple[int, Any]:
        name = body["metadata"]["name"]
        if self.refuse:
            return 403, _status('tfjobs.kubeflow.org is forbidden: User "x" cannot create')
        if name in self.jobs:
            return 409, _status(f'tfjobs.kubeflow.org "{name}" already exists')
        self.bodies.append(body)
        self.jobs[name] = {**body, "status": {"conditions": [{"type": "Created", "status": "True"}]}}
        self.pods[name] = [] if self.unschedulable else self._start(name, body)
        time.sleep(self.answers_after_s)
        return 201, self.jobs[name]

    def _start(self, name: str, body: Any) -> list[Pod]:
        worker = body["spec"]["tfReplicaSpecs"]["Worker"]
        (container,) = worker["template"]["spec"]["containers"]
        command = self.command.get(container["command"][0], container["command"])
        hosts = [f"127.0.0.1:{port}" for port in free_ports(worker["replicas"])]
        pods = []
        for index in range(worker["replicas"]):
            config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            environment = {"TF_CONFIG": json.dumps(config)}
            name_of_pod = f"{name}-worker-{index}"
            pods.append(Pod(name_of_pod, [*command, *container["args"]], environment, self.folder))
        self.all_pods += pods
        return pods

    def _reconcile(self, job: Any, pods: list[Pod]) -> None:
        """Starts what failed again, and says how the job does."""
        name, conditions = job["metadata"]["name"], job["status"]["conditions"]
        if "deletionTimestamp" in job["metadata"] or conditions[-1]["type"] != "Created":
            return
        for pod in pods:
            pod.restart_if_failed()
        if sum(pod.restarts for pod in pods) >= job["spec"]["runPolicy"]["backoffLimit"]:
            self._end_pods(name)
            message = f"Job {name} has failed because it has reached the specified backoff limit"
            conditions.append({"type": "Failed", "status": "True", "message": message})
        elif pods and pods[0].process.poll() == 0:
            conditions.append({"type": "Succeeded", "status": "True"})

    def _end_pods(self, name: str) -> None:
        for pod in self.pods.pop(name, ()):
            pod.kill()
        self.pods[name] = []

    def _delete(self, name: str) -> None:
        time.sleep(_BEHIND_S)
        self.jobs.pop(name, None)
        time.sleep(_BEHIND_S)
        for pod in self.pods.get(name, ()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                pod.process.wait(self.grace_s)
        self._end_pods(name)

    def _list_pods(self, job: str) -> list[Any]:
        if self.unschedulable and job in self.jobs:
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                         "message": self.unschedulable}  # fmt: skip
            status = {"phase": "Pending", "conditions": [condition]}
            return [pod_json(f"{job}-worker-{index}", job, status) for index in range(2)]
        return [pod.to_json(job) for pod in self.pods.get(job, ())]

    def _log(self, name: str) -> tuple[int, Any]:
        """Answers as `follow` does: when the container that runs now has ended."""
        pod = next(pod for pod in self.all_pods if pod.name == name)
        process, log = pod.process, pod.log
        process.wait()
        return 200, log.read_text()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextlib.contextmanager
def operating(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Operator]:
    """Yields an operator whose cluster is that of this process; its account's token is in `token`."""
    operator = Operator(folder)
    kubeconfig, token = folder / "kubeconfig", folder / "token"
    token.write_text("first")
    with serving(operator, prefix="/") as url:
        user = {"tokenFile": str(token)}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": user}],
        }  # fmt: skip
        kubeconfig.write_text(yaml.safe_dump(config))
        patch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        patch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
        patch.setenv("KFP_NAMESPACE", "team")
        patch.setenv("KFP_POD_NAME", "mnist-trainer-1")
        patch.setenv("KFP_POD_UID", "0-1")
        try:
            yield operator
        finally:
            for pod in operator.all_pods:
                pod.kill()


def _status(message: str) -> Any:
    return {"kind": "Status", "message": message}
