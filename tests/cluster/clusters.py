"""The cluster of the tests: one of its own, or the one that KUBECONFIG names."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from kubectl import Kubectl
from machine import Unavailable, cache, check, install, last_line
from node import Node, running_node
from programs import Programs

ROOT: Final = Path(__file__).parents[2]
NAMESPACE: Final = "millrace"

_IMAGE: Final = "localhost/millrace:test"
_IMAGE_LIMIT_S: Final = 1800


class Cluster(NamedTuple):
    """A cluster, and the node that it consists of where it is one of our own."""

    kubectl: Kubectl
    programs: Programs
    node: Node | None

    @property
    def own(self) -> Node:
        """The node; skips the test where the cluster is somebody else's."""
        if self.node is None:
            pytest.skip("expected a cluster of its own, not one of KUBECONFIG")
        return self.node


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Yields a cluster; raises Unavailable."""
    if os.environ.get("KUBECONFIG"):
        yield Cluster(Kubectl(["kubectl"]), Programs(cache()), None)
        return
    programs = built_programs()
    with running_node(programs, cache()) as node:
        yield Cluster(node.kubectl, programs, node)


def built_programs() -> Programs:
    """Returns the programs of a cluster, once they are there; raises Unavailable."""
    programs = Programs(cache())
    check(programs.are_built)
    install()
    programs.build()
    return programs


def pipeline_image(cluster: Cluster) -> str:
    """Returns the name of the pipeline image, once the cluster has it; raises Unavailable."""
    if cluster.node is None:
        if image := os.environ.get("MILLRACE_CLUSTER_IMAGE"):
            return image
        raise Unavailable("expected MILLRACE_CLUSTER_IMAGE, an image that the cluster can pull")
    script = str(Path(__file__).with_name("image.sh"))
    with subprocess.Popen([script, _IMAGE], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as built:
        _load(cluster.node, built)
    return _IMAGE


def _load(node: Node, built: subprocess.Popen[bytes]) -> None:
    """Has a node take the archive that a process writes; raises Unavailable where it writes none."""
    assert built.stdout is not None
    assert built.stderr is not None
    refused = None
    try:
        node.load(built.stdout)
    except Unavailable as error:
        refused = error
    said = last_line(built.stderr.read().decode(errors="replace"))
    if built.wait(_IMAGE_LIMIT_S):
        raise RuntimeError(f"the pipeline image: {said}")
    if refused:
        raise Unavailable(said) if "skipped" in said else refused
