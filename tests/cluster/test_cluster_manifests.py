"""The manifests on a real API server: its strict validation, and applying them twice."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from clusters import NAMESPACE, ROOT, Cluster
from kubectl import Kubectl, until

pytestmark = pytest.mark.takes(3)

K8S = ROOT / "k8s"
# A pod needs its account, which a dry run does not make.
WITH_A_POD = "overlays/local"
OVERLAYS = sorted({f"overlays/{path.name}" for path in (K8S / "overlays").iterdir()} - {WITH_A_POD})
PARTS = ("namespace", "base", "monitoring", "registry", "retraining")


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster) -> Iterator[Kubectl]:
    """With what others bring that the overlays ask for, and the namespace, by the part that makes it."""
    cluster.own.kubectl("apply", "--server-side", f"--filename={cluster.programs.definitions}", timeout_s=120)
    kubectl = cluster.kubectl
    until(lambda: are_established(kubectl), "the definitions", 60)
    kubectl("apply", "--validate=strict", f"--kustomize={K8S / 'namespace'}")
    yield kubectl
    kubectl("delete", "namespace", NAMESPACE, "--timeout=120s", timeout_s=150)


def are_established(kubectl: Kubectl) -> bool:
    """Asked again and again, since `wait` fails where there are no conditions yet."""
    condition = ["wait", "--for=condition=Established", "customresourcedefinition", "--all", "--timeout=1s"]
    return kubectl.run(*condition).returncode == 0


@pytest.mark.parametrize("part", [*PARTS, *OVERLAYS])
def test_a_server_takes_each_part_strictly(kubectl: Kubectl, part: str) -> None:
    done = apply(kubectl, part, "--dry-run=server")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.endswith("(server dry run)") for line in done.stdout.splitlines())


@pytest.mark.parametrize("overlay", [*OVERLAYS, WITH_A_POD])
def test_applying_an_overlay_again_changes_nothing(kubectl: Kubectl, overlay: str) -> None:
    kustomization = f"--kustomize={K8S / overlay}"
    try:
        first = apply(kubectl, overlay)
        assert (first.returncode, first.stderr) == (0, "")
        # What `apply` calls configured is often what it is: the server says what would become of it.
        difference = kubectl.run("diff", kustomization)
        assert (difference.returncode, difference.stdout) == (0, "")
        assert apply(kubectl, overlay).returncode == 0
    finally:
        kubectl("delete", kustomization, "--ignore-not-found", "--timeout=120s", timeout_s=150)
        kubectl("apply", f"--kustomize={K8S / 'namespace'}")


def apply(kubectl: Kubectl, part: str, *more: str) -> subprocess.CompletedProcess[str]:
    namespace = [] if part == "namespace" else [f"--namespace={NAMESPACE}"]
    return kubectl.run("apply", *namespace, "--validate=strict", *more, f"--kustomize={K8S / part}")
