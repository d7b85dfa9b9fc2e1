"""The CronJob's four answers: a run is started, nothing has changed, a mistake, a failure."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import NAMESPACE, ROOT
from kubectl import Json, until
from pods import Pods
from registry import DATA

pytestmark = pytest.mark.takes(4)

KUBEFLOW = "kubeflow-pipelines"
SERVER_FILE = ROOT / "tests/pipelines/kubeflow/kfp_server.py"
SERVER = """
import time
import kfp_server
with kfp_server.serving(kfp_server.KubeflowServer(), address=("", 8888)):
    time.sleep(3600)
"""
JOB_S = 300


@pytest.fixture(scope="module")
def cron_job(published: Pods, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """The part `retraining` with the pipeline image, which is asked for by hand alone."""
    folder = tmp_path_factory.mktemp("retraining")
    name, _, tag = published.image.rpartition(":")
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization(folder, name, tag)))
    published.kubectl("apply", "--validate=strict", f"--kustomize={folder}")
    yield published
    published.kubectl("delete", f"--kustomize={folder}", "--timeout=120s", timeout_s=150)


def kustomization(folder: Path, name: str, tag: str) -> Json:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": [os.path.relpath(ROOT / "k8s/retraining", folder.resolve())],
        "images": [{"name": "ghcr.io/example/millrace", "newName": name, "newTag": tag}],
    }


def start_job(pods: Pods, name: str, **settings: str) -> None:
    """Starts a job of the CronJob, with other settings than those of its ConfigMap."""
    made = pods("create", "job", name, "--from=cronjob/retraining", "--dry-run=client", "--output=json")
    job: Json = json.loads(made)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["env"] += [{"name": key, "value": value} for key, value in settings.items()]
    container["resources"]["requests"]["cpu"] = "200m"
    pods.kubectl.apply(job)


def condition(pods: Pods, name: str, kind: str) -> Any:
    """Returns what holds of a job, by kind: "Complete", "Failed"."""
    found = pods.get("job", name)["status"].get("conditions", ())
    return next((c for c in found if c["type"] == kind and c["status"] == "True"), None)


def exit_codes(pods: Pods, name: str) -> list[int]:
    items = pods.get("pods", f"--selector=batch.kubernetes.io/job-name={name}")["items"]
    states = [pod["status"]["containerStatuses"][0]["state"] for pod in items]
    return [state["terminated"]["exitCode"] for state in states if "terminated" in state]


def test_nothing_changed_is_as_good_as_a_run(cron_job: Pods) -> None:
    start_job(cron_job, "unchanged")
    until(lambda: condition(cron_job, "unchanged", "Complete"), "the job's end", JOB_S,
          lambda: cron_job.log("job/unchanged"))  # fmt: skip
    assert cron_job.log("job/unchanged").splitlines()[-1] == "nothing changed since version 1"


def test_a_mistake_is_not_tried_again(cron_job: Pods) -> None:
    start_job(cron_job, "mistaken", TASK="mnits")
    failed = until(lambda: condition(cron_job, "mistaken", "Failed"), "the job's end", JOB_S)
    assert failed["reason"] == "PodFailurePolicy"
    assert exit_codes(cron_job, "mistaken") == [2]


def test_a_failure_is_tried_again(cron_job: Pods) -> None:
    start_job(cron_job, "failing", DATA=changed_data(cron_job), KFP_HOST="http://nobody.millrace:8888")
    until(lambda: len(exit_codes(cron_job, "failing")) >= 2, "two attempts", JOB_S)
    assert set(exit_codes(cron_job, "failing")) == {1}
    assert "nobody.millrace" in cron_job.log("job/failing")
    cron_job("delete", "job", "failing", timeout_s=120)


def test_changed_data_starts_a_run(cron_job: Pods, kubeflow: None) -> None:
    start_job(cron_job, "changed", DATA=changed_data(cron_job))
    until(lambda: condition(cron_job, "changed", "Complete"), "the job's end", JOB_S,
          lambda: cron_job.log("job/changed"))  # fmt: skip
    said = cron_job.log("job/changed")
    assert "data: " in said
    assert said.splitlines()[-1] == "run runs-1: pending"


def changed_data(pods: Pods) -> str:
    """Makes the first digits be the only ones to test with, and returns the folder."""
    changed = "/millrace/data/changed"
    pods.shell("mkdir", "-p", changed)
    pods.shell("cp", "-r", f"{DATA}/.", changed)
    pods.shell("cp", f"{DATA}/t10k-images-idx3-ubyte.gz", f"{changed}/train-images-idx3-ubyte.gz")
    pods.shell("cp", f"{DATA}/t10k-labels-idx1-ubyte.gz", f"{changed}/train-labels-idx1-ubyte.gz")
    return changed


@pytest.fixture(scope="module")
def kubeflow(published: Pods) -> Iterator[None]:
    """Kubeflow Pipelines' API, as the tests without a cluster emulate it, where the CronJob looks for it."""
    kubectl = published.kubectl
    is_new = kubectl.run("create", "namespace", "kubeflow").returncode == 0
    in_kubeflow = "--namespace=kubeflow"
    kubectl(in_kubeflow, "create", "configmap", KUBEFLOW, f"--from-file={SERVER_FILE}")
    container = {
        "name": "main", "image": published.image, "command": ["python", "-c", SERVER],
        "env": [{"name": "PYTHONPATH", "value": "/server"}],
        "readinessProbe": {"tcpSocket": {"port": 8888}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "20m"}},
        "volumeMounts": [{"name": "server", "mountPath": "/server"}],
    }  # fmt: skip
    spec = {"containers": [container], "volumes": [{"name": "server", "configMap": {"name": KUBEFLOW}}]}
    metadata = {"namespace": "kubeflow", "labels": {"app": KUBEFLOW}}
    port = {"port": 8888, "targetPort": 8888}
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": KUBEFLOW, **metadata}, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ml-pipeline", **metadata},
         "spec": {"selector": {"app": KUBEFLOW}, "ports": [port]}},
    )  # fmt: skip
    kubectl(in_kubeflow, "wait", "--for=condition=Ready", f"pod/{KUBEFLOW}", "--timeout=120s", timeout_s=150)
    yield
    for kind, name in (("service", "ml-pipeline"), ("pod", KUBEFLOW), ("configmap", KUBEFLOW)):
        kubectl(in_kubeflow, "delete", kind, name, timeout_s=120)
    if is_new:
        kubectl("delete", "namespace", "kubeflow", timeout_s=120)
