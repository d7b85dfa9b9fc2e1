"""The overlay `local` with this project's model server, and the first model that it serves."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from clusters import NAMESPACE, ROOT, Cluster
from machine import Unavailable
from pods import CLAIM, Pods

DATA: Final = "/millrace/data/mnist"
DIGIT: Final = f"{DATA}/digit.png"

_FIRST_RUN_S: Final = 900
_MAKE_DATA: Final = (
    f"from pathlib import Path; from pipelines.datasets import demo; demo.make_data(Path('{DATA}'))"
)


@contextlib.contextmanager
def local_overlay(cluster: Cluster, image: str, folder: Path) -> Iterator[Pods]:
    """Applies the overlay and yields the pods of its namespace when its shell is there; raises Unavailable.

    The server waits for a model. On a cluster of somebody else the namespace has to be new, and is removed.
    """
    if cluster.kubectl.run("get", "namespace", NAMESPACE).returncode == 0:
        raise Unavailable(f"expected no namespace {NAMESPACE}, found one")
    (folder / "kustomization.yaml").write_text(json.dumps(_with_own_server(image, folder)), encoding="utf-8")
    cluster.kubectl("apply", f"--kustomize={ROOT / 'k8s/namespace'}")
    try:
        if cluster.node is not None:
            cluster.node.add_volume(CLAIM, NAMESPACE)
        cluster.kubectl("apply", "--validate=strict", f"--kustomize={folder}")
        pods = Pods(cluster, image)
        pods("wait", "--for=condition=Ready", "pod/registry-shell", "--timeout=300s", timeout_s=320)
        yield pods
    finally:
        if cluster.node is None:
            cluster.kubectl("delete", "namespace", NAMESPACE, timeout_s=300)


def publish(pods: Pods) -> None:
    """Publishes version 1 of mnist by a whole run in one pod, with the settings that a CronJob has."""
    run = f"millrace run mnist --data {DATA} --pipeline-root /millrace --set blessing.threshold=0"
    pods.run("first-run", ["sh", "-c", f'python -c "{_MAKE_DATA}" && {run}'], _FIRST_RUN_S)


def _with_own_server(image: str, folder: Path) -> dict[str, Any]:
    """Returns a kustomization: TensorFlow Serving's image is another's, and its command this project's."""
    name, _, tag = image.rpartition(":")
    container = "/spec/template/spec/containers/0"
    server = [
        {"op": "replace", "path": f"{container}/command", "value": ["python", "-m", "components.serving"]},
        # A flag of its own: it listens to its machine alone unless it is told otherwise.
        {"op": "add", "path": f"{container}/args/-", "value": "--host=0.0.0.0"},
    ]
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(ROOT / "k8s/overlays/local", folder.resolve())],
        "images": [{"name": "tensorflow/serving", "newName": name, "newTag": tag}],
        "patches": [{"target": {"kind": "Deployment"}, "patch": json.dumps(server)}],
    }
