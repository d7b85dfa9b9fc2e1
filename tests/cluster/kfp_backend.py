"""A real Kubeflow Pipelines, and the claim that the pods of its runs mount."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

from clusters import Cluster
from kubectl import until
from machine import Unavailable
from pods import CLAIM, Pods

HOST: Final = os.environ.get("MILLRACE_KFP_HOST")

_SHELL: Final = "millrace-tests"
_SHELL_S: Final = 300
# What a node asks for keeps it waiting on a small cluster.
_SMALL: Final = (
    "cluster.node.cpu=none", "cluster.node.memory=none", "cluster.trainer.cpu=none",
    "cluster.trainer.memory=none",
)  # fmt: skip


class Ended(NamedTuple):
    """How a command ended: its exit code, and what it said."""

    code: int
    out: str
    said: str

    @property
    def last_line(self) -> str:
        return self.said.splitlines()[-1]

    @property
    def answer(self) -> Any:
        """What it told with --json."""
        return json.loads(self.out)


class Started:
    """A `millrace` that goes on; its output is in files."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._out, self._said = folder / "out", folder / "said"
        folder.mkdir()
        with self._out.open("wb") as out, self._said.open("wb") as said:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=said)

    def run_id(self) -> str:
        """Returns the id of the run that it has started."""
        found = until(lambda: re.search(r"started (\S+)", self._said.read_text()), "a run", 120)
        return str(found[1].rpartition("/")[2])

    def end(self, timeout_s: float) -> Ended:
        code = self._process.wait(timeout_s)
        return Ended(code, self._out.read_text(), self._said.read_text())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Kubeflow:
    """The server of MILLRACE_KFP_HOST, with a folder of the claim that is this test's own."""

    def __init__(self, pods: Pods, place: str, folder: Path) -> None:
        self.pods = pods
        self.place = place
        self.experiment = place.rpartition("/")[2]
        self._folder = folder
        self._started: list[Started] = []

    def start(self, verb: str, task: str, *settings: str, data: str | None = None, cron: str = "") -> Started:
        """Starts `millrace submit` or `schedule` of a task, with what lies in the folder of the claim."""
        assert HOST is not None
        given = [f"--set={setting}" for setting in (*_SMALL, *settings)]
        command = [
            verb, task, f"--host={HOST}", f"--image={self.pods.image}", f"--experiment={self.experiment}",
            f"--data={data or self.data(task)}", f"--pipeline-root={self.place}", "--json", *given,
        ]  # fmt: skip
        command += ["--wait"] if verb == "submit" else [f"--cron={cron}"]
        self._started.append(Started([_millrace(), *command], self._folder / f"{verb}-{uuid4().hex[:6]}"))
        return self._started[-1]

    def ask(self, *arguments: str) -> Ended:
        """Returns how another command of the server's ended."""
        command = [_millrace(), *arguments, f"--host={HOST}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        return Ended(done.returncode, done.stdout, done.stderr)

    def data(self, task: str) -> str:
        return f"{self.place}/data/{task}"

    def shell(self, *command: str, timeout_s: float = 600) -> str:
        """Returns what a command prints in a pod of the image that sees the claim."""
        return self.pods("exec", _SHELL, "--", *command, timeout_s=timeout_s)

    def python(self, program: str, timeout_s: float = 600) -> str:
        return self.shell("python", "-c", program, timeout_s=timeout_s)

    def node_pod(self, run_id: str, node: str) -> str:
        """Returns the pod in which a node of a run executes, once it does; "" before."""
        place = re.compile(rf"\.{node}(\(\d+\))?\.executor(\(\d+\))?$")
        for pod in self.pods.get("pods", f"--selector=pipeline/runid={run_id}")["items"]:
            name = pod["metadata"].get("annotations", {}).get("workflows.argoproj.io/node-name", "")
            if place.search(name) and pod["status"]["phase"] == "Running":
                return str(pod["metadata"]["name"])
        return ""

    def weights(self, model: str) -> str:
        """Returns the digest of the weights beneath a folder of the claim."""
        found = self.shell("find", model, "-name", "variables.data-*").split()
        assert len(found) == 1, found
        return self.shell("sha256sum", *found).split()[0]

    def kill(self) -> None:
        for started in self._started:
            started.kill()


@contextmanager
def pipelines_of(cluster: Cluster, image: str, folder: Path) -> Iterator[Kubeflow]:
    """Yields a server of Kubeflow Pipelines; raises Unavailable. The folder in the claim is removed."""
    if cluster.node is not None:
        raise Unavailable("expected KUBECONFIG of the cluster of MILLRACE_KFP_HOST")
    pods = Pods(cluster, image, os.environ.get("MILLRACE_KFP_NAMESPACE", "kubeflow"))
    if cluster.kubectl.run(f"--namespace={pods.namespace}", "get", "pvc", CLAIM).returncode:
        raise Unavailable(f"expected a claim {CLAIM} in the namespace {pods.namespace}")
    kubeflow = Kubeflow(pods, f"/millrace/tests-{uuid4().hex[:8]}", folder)
    pods.start(_SHELL, ["sleep", "86400"])
    try:
        pods("wait", "--for=condition=Ready", f"pod/{_SHELL}", f"--timeout={_SHELL_S}s", timeout_s=_SHELL_S)
        yield kubeflow
    finally:
        kubeflow.kill()
        kubeflow.shell("rm", "-rf", kubeflow.place)
        pods.remove(_SHELL, "--grace-period=1")


def _millrace() -> str:
    return str(Path(sys.executable).with_name("millrace"))
