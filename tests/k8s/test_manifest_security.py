"""What no pod of the manifests may have or lack, as plain rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from manifests import OVERLAYS, Object, Pod, Rendered, render

IMAGE = r"[a-z0-9./-]+:\d+\.\d+\.\d+(-gpu)?(@sha256:[0-9a-f]{64})?"


@pytest.fixture(params=OVERLAYS)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return render(request.param)


def problems(pod: Pod) -> Iterator[str]:
    """Yields what Kubernetes' restricted profile forbids, and what these manifests forbid beyond it.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    """
    for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if pod.spec.get(name):
            yield name
    yield from ("hostPath" for volume in pod.spec.get("volumes", ()) if "hostPath" in volume)
    for container in pod.containers:
        yield from container_problems(container, pod.spec.get("securityContext", {}))


def container_problems(container: Object, of_pod: Object) -> Iterator[str]:
    context = {**of_pod, **container.get("securityContext", {})}
    if context.get("privileged") or context.get("allowPrivilegeEscalation") is not False:
        yield "privileges"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield "capabilities"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "writable root"
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "seccomp"
    resources = container.get("resources", {})
    if not all({"cpu", "memory"} <= set(resources.get(part, ())) for part in ("requests", "limits")):
        yield "resources"
    if any("hostPort" in port for port in container.get("ports", ())):
        yield "hostPort"


def test_pods_are_confined(rendered: Rendered) -> None:
    found = {pod.owner: list(problems(pod)) for pod in rendered.pods}
    assert not any(found.values()), found


def test_a_careless_pod_breaks_every_rule() -> None:
    container = {"name": "c", "ports": [{"hostPort": 80}], "securityContext": {"runAsUser": 0}}
    spec = {"hostNetwork": True, "volumes": [{"hostPath": {"path": "/"}}], "containers": [container]}
    of_container = ["privileges", "capabilities", "writable root", "root", "seccomp", "resources", "hostPort"]
    assert list(problems(Pod("Pod/careless", {}, spec))) == ["hostNetwork", "hostPath", *of_container]


def test_images_have_a_version(rendered: Rendered) -> None:
    for container in (container for pod in rendered.pods for container in pod.containers):
        if "modelFormat" in container:  # the image is KServe's choice, its version is not
            assert re.fullmatch(r"\d+\.\d+\.\d+", container["runtimeVersion"])
        else:
            assert re.fullmatch(IMAGE, container["image"])


def test_no_pod_has_a_token_of_the_cluster(rendered: Rendered) -> None:
    assert all(account["automountServiceAccountToken"] is False for account in rendered.of("ServiceAccount"))
    for pod in rendered.pods:
        assert pod.spec["serviceAccountName"] in rendered.names("ServiceAccount")
        assert pod.spec.get("automountServiceAccountToken", False) is False


def test_a_projected_token_is_good_for_kubeflow_pipelines_alone(rendered: Rendered) -> None:
    projected = [
        v["projected"] for pod in rendered.pods for v in pod.spec.get("volumes", ()) if "projected" in v
    ]
    tokens = [source["serviceAccountToken"] for volume in projected for source in volume["sources"]]
    assert {token["audience"] for token in tokens} <= {"pipelines.kubeflow.org"}


def test_accounts_may_start_runs_and_training_jobs_and_nothing_else(rendered: Rendered) -> None:
    rules = [(role["metadata"]["name"], rule) for role in rendered.of("Role") for rule in role["rules"]]
    granted = [(name, *rule["apiGroups"], rule["resources"], rule["verbs"]) for name, rule in rules]
    pipelines = ["pipelines", "pipelines/versions", "experiments", "runs"]
    assert rendered.of("ClusterRole", "ClusterRoleBinding") == []
    assert granted in (
        [],
        [
            ("multi-host-training", "kubeflow.org", ["tfjobs"], ["create", "get", "delete"]),
            ("multi-host-training", "", ["pods"], ["list"]),
            ("multi-host-training", "", ["pods/log"], ["get"]),
            ("retraining", "pipelines.kubeflow.org", pipelines, ["get", "list", "create"]),
        ],
    )


def test_no_secret_is_in_the_manifests(rendered: Rendered) -> None:
    assert rendered.of("Secret") == []
