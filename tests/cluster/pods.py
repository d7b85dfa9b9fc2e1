"""Pods of the pipeline image, with the claim at /millrace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from clusters import NAMESPACE, Cluster
from images import USER_ID
from kubectl import Json, Kubectl, until

CLAIM: Final = "millrace"

_LAST_LINES: Final = 5
_OVER: Final = ("Succeeded", "Failed")


def pod(
    name: str, image: str, command: Sequence[str], account: str = "default", namespace: str = NAMESPACE
) -> Json:
    """Returns a pod that runs a command once, as strict as `restricted` wants it."""
    container: Json = {
        "name": "main",
        "image": image,
        "command": list(command),
        "env": [_from_field("KFP_POD_NAME", "metadata.name"), _from_field("KFP_POD_UID", "metadata.uid")],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "registry", "mountPath": "/millrace"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    spec = {
        "restartPolicy": "Never",
        "serviceAccountName": account,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "registry", "persistentVolumeClaim": {"claimName": CLAIM}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _from_field(variable: str, path: str) -> Json:
    return {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}}


class Pods:
    """The pods of a namespace."""

    def __init__(self, cluster: Cluster, image: str, namespace: str = NAMESPACE) -> None:
        self.image = image
        self.namespace = namespace
        self._kubectl = cluster.kubectl

    @property
    def kubectl(self) -> Kubectl:
        return self._kubectl

    def start(self, name: str, command: Sequence[str], account: str = "default") -> None:
        self.kubectl.apply(pod(name, self.image, command, account, self.namespace))

    def run(self, name: str, command: Sequence[str], timeout_s: float) -> str:
        """Returns what a command prints, run in a pod that is removed then; AssertionError where it fails."""
        self.start(name, command)
        phase = self.end_of(name, timeout_s)
        said = self.log(name)
        self.remove(name)
        assert phase == "Succeeded", f"{name}: {phase}: {'; '.join(said.splitlines()[-_LAST_LINES:])}"
        return said

    def end_of(self, name: str, timeout_s: float) -> str:
        """Returns "Succeeded" or "Failed", once a pod is that."""
        phase = until(
            lambda: next((p for p in [self.phase(name)] if p in _OVER), ""),
            f"the end of {name}",
            timeout_s,
            lambda: f"it is {self.phase(name)}: {'; '.join(self.log(name).splitlines()[-_LAST_LINES:])}",
        )
        return str(phase)

    def phase(self, name: str) -> str:
        return str(self.get("pod", name)["status"]["phase"])

    def log(self, name: str) -> str:
        """Returns what a pod has said; nothing before it begins."""
        return self.kubectl.run(f"--namespace={self.namespace}", "logs", name).stdout

    def get(self, *what: str) -> Json:
        return self.kubectl.get(*what, f"--namespace={self.namespace}")

    def names(self, selector: str) -> list[str]:
        """Returns the names of the pods with a label, but for those that are leaving."""
        items = self.get("pods", f"--selector={selector}")["items"]
        return [p["metadata"]["name"] for p in items if "deletionTimestamp" not in p["metadata"]]

    def remove(self, name: str, *more: str) -> None:
        self("delete", "pod", name, "--ignore-not-found", *more, timeout_s=120)

    def evict(self, name: str) -> None:
        """Has a pod leave as when its node is drained."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
        self.kubectl("create", f"--raw={path}", "--filename=-", given=json.dumps(eviction))

    def shell(self, *command: str) -> str:
        """Returns what a command prints in `registry-shell`, which sees the claim."""
        return self("exec", "registry-shell", "--", *command)

    def __call__(self, *arguments: str, **more: Any) -> str:
        """Returns what kubectl prints in the namespace."""
        return self.kubectl(f"--namespace={self.namespace}", *arguments, **more)


def line_with(word: str, said: str) -> str:
    """Returns the last line of a log that has a word; the log has what went to stderr, too."""
    found = [line for line in said.splitlines() if word in line]
    assert found, f"expected a line with {word!r}, got: {said[-500:]}"
    return found[-1]
