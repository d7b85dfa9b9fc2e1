"""A Kubernetes of one node on this machine, in namespaces and control groups of its own.

One process holds the namespaces of processes, mounts and network. It ends when the pipe to it closes,
whatever ends this program, and the kernel then ends all that is in them. Pods are 10.244.0.0/24, services
10.96.0.0/16, the node is 10.88.0.1; nothing leads out.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import settings
from images import USER_ID
from kubectl import Kubectl, KubectlError, until
from machine import CGROUPS, CONTROLLERS, Unavailable, last_line
from programs import Programs

# What containerd, the kubelet and CNI write to whatever they are told.
_HOST_FOLDERS: Final = ("/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers")
_START_S: Final = 120.0
# A group counts as one process of the machine's, whatever is in it, unless it has more shares than one.
_CPU_SHARES: Final = 6 * 1024
_LAST_LINES: Final = 5

# Ends, and with it all that its namespace of processes holds, when its standard input does.
_HOLD: Final = f"""
set -eu
mount --make-rshared /
for folder in {" ".join(_HOST_FOLDERS)}; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
ip link set lo up
ip link add node0 type bridge
ip addr add {settings.ADDRESS}/24 dev node0
ip link set node0 up
ip route add default dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
echo ready
cat >/dev/null
"""


class Node:
    """The cluster while it runs: `kubectl`, a folder for volumes, and what only its own machine can do."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._group = folder.name
        self._logs = folder / "logs"
        self._components: dict[str, subprocess.Popen[bytes]] = {}
        self._inside: list[str] = []
        self.volumes = folder / "volumes"

    @property
    def kubectl(self) -> Kubectl:
        kubeconfig = str(self._folder / "pki/admin.kubeconfig")
        return Kubectl([*self._inside, str(self._programs.path("kubectl")), f"--kubeconfig={kubeconfig}"])

    def start(self, init: int) -> None:
        """Starts everything in the namespaces of the process `init`; raises Unavailable."""
        self._inside = ["nsenter", f"--target={init}", "--net", "--mount", "--pid", "--"]
        for folder in (self._logs, self.volumes, self._folder / "cni"):
            folder.mkdir()
        settings.sign(self._folder / "pki")
        self._write_settings()
        self._start_control_plane()
        self._run("containerd", "/usr/bin/containerd", f"--config={self._folder}/containerd.toml")
        self._wait("containerd", lambda: self._ctr("version").returncode == 0)
        for archive in sorted(self._programs.images.glob("*.tar")):
            self.load(archive.open("rb"))
        self._run("kubelet", *self._kubelet())
        self._run("kube-proxy", "kube-proxy", f"--config={self._folder}/kube-proxy.json")
        condition = ["wait", "--for=condition=Ready", f"node/{settings.NODE}", "--timeout=1s"]
        self._wait("kubelet", lambda: self.kubectl.run(*condition).returncode == 0)
        self._start_dns()

    def load(self, archive: IO[bytes]) -> None:
        """Takes the images of an archive, as `docker save` writes it; raises Unavailable."""
        done = self._ctr("--namespace=k8s.io", "images", "import", "-", archive=archive)
        if done.returncode:
            raise Unavailable(f"images: {last_line(done.stderr.decode(errors='replace'))}")

    def add_volume(self, claim: str, namespace: str) -> Path:
        """Makes the volume of a claim, which the project's user may write to, and returns its folder."""
        folder = self.volumes / claim
        folder.mkdir()
        os.chown(folder, USER_ID, USER_ID)
        self.kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": claim},
                "spec": {
                    "capacity": {"storage": "20Gi"},
                    "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "claimRef": {"namespace": namespace, "name": claim},
                    "hostPath": {"path": str(folder)},
                },
            }
        )
        return folder

    def kill(self, pod: str, namespace: str, program: str) -> None:
        """Kills the processes of a pod with `program` in their command line, as for want of memory."""
        uid = self.kubectl.get("pod", pod, f"--namespace={namespace}")["metadata"]["uid"]
        found = [process for process in _processes() if _is_of(process, uid, program)]
        if not found:
            raise LookupError(f"{namespace}/{pod}: expected a process of {program!r}, found none")
        for process in found:
            os.kill(process, signal.SIGKILL)

    def _start_control_plane(self) -> None:
        pki = self._folder / "pki"
        self._run("etcd", *settings.etcd(self._folder))
        self._run("kube-apiserver", *settings.api_server(pki))
        self._wait(
            "kube-apiserver",
            lambda: self.kubectl.run("get", "--raw=/readyz", "--request-timeout=5s").returncode == 0,
        )
        for name, more in (("kube-controller-manager", settings.controllers(pki)), ("kube-scheduler", [])):
            config = pki / f"{name}.kubeconfig"
            given = [f"--{flag}={config}" for flag in ("kubeconfig", "authentication-kubeconfig",
                                                       "authorization-kubeconfig")]  # fmt: skip
            self._run(name, name, *given, "--leader-elect=false", "--bind-address=127.0.0.1", *more)

    def _start_dns(self) -> None:
        path = Path(__file__).with_name("dns.yaml")
        self.kubectl("apply", f"--filename={path}")
        self.kubectl("--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s",
                     timeout_s=90)  # fmt: skip

    def _kubelet(self) -> list[str]:
        return [
            "kubelet", f"--config={self._folder}/kubelet.json", f"--root-dir={self._folder}/kubelet",
            f"--kubeconfig={self._folder}/pki/kubelet.kubeconfig", f"--cert-dir={self._folder}/pki/kubelet",
            f"--hostname-override={settings.NODE}", f"--node-ip={settings.ADDRESS}",
        ]  # fmt: skip

    def _write_settings(self) -> None:
        (self._folder / "resolv.conf").touch()
        (self._folder / "containerd.toml").write_text(settings.containerd(self._folder), encoding="utf-8")
        for name, content in (
            ("cni/10-pods.conflist", settings.pod_network(self._folder)),
            ("kubelet.json", settings.kubelet_settings(self._folder, self._group)),
            ("kube-proxy.json", settings.proxy_settings(self._folder)),
        ):
            (self._folder / name).write_text(json.dumps(content), encoding="utf-8")

    def _run(self, name: str, program: str, *arguments: str) -> None:
        path = program if program.startswith("/") else str(self._programs.path(program))
        search = f"PATH={self._programs.path('')}:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        with (self._logs / f"{name}.log").open("wb") as log:
            self._components[name] = subprocess.Popen(
                [*self._inside, "env", search, path, *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _wait(self, name: str, is_up: Any) -> None:
        def is_up_or_over() -> bool:
            return self._over() is not None or bool(is_up())

        with contextlib.suppress(TimeoutError, KubectlError):
            until(is_up_or_over, name, _START_S)
            if self._over() is None:
                return
        over = self._over() or name
        raise Unavailable(f"{over}: {'; '.join(self.last_lines(over)) or 'did not start'}")

    def _over(self) -> str | None:
        """Returns a component that has ended, which none should."""
        return next((name for name, process in self._components.items() if process.poll() is not None), None)

    def last_lines(self, component: str) -> list[str]:
        """Returns what a component said last."""
        log = (self._logs / f"{component}.log").read_text(encoding="utf-8", errors="replace")
        return log.splitlines()[-_LAST_LINES:]

    def _ctr(self, *arguments: str, archive: IO[bytes] | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self._inside, "ctr", f"--address={self._folder}/containerd.sock", *arguments],
            stdin=archive or subprocess.DEVNULL, capture_output=True, timeout=900,
        )  # fmt: skip


@contextlib.contextmanager
def running_node(programs: Programs, cache: Path) -> Iterator[Node]:
    """Yields a cluster whose node is ready; raises Unavailable. Nothing of it but empty folders is left."""
    cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="millrace-", dir=cache))
    for path in _HOST_FOLDERS:
        # They stay: another cluster that runs at the same time has mounted its own there.
        os.makedirs(path, exist_ok=True)
    holder: subprocess.Popen[bytes] | None = None
    try:
        _make_groups(folder.name)
        holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", _HOLD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        node = Node(programs, folder)
        node.start(_init_of(holder))
        yield node
    finally:
        if holder is not None:
            _end(holder)
        _keep_logs(folder, cache)
        _remove(folder)


def _init_of(holder: subprocess.Popen[bytes]) -> int:
    """Returns the first process of the namespaces, when they are ready; raises Unavailable."""
    assert holder.stdout is not None
    assert holder.stderr is not None
    if holder.stdout.readline() != b"ready\n":
        raise Unavailable(f"namespaces: {last_line(holder.stderr.read().decode(errors='replace'))}")
    children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text(encoding="ascii")
    return int(children.split()[0])


def _end(holder: subprocess.Popen[bytes]) -> None:
    assert holder.stdin is not None
    holder.stdin.close()
    try:
        holder.wait(30)
    except subprocess.TimeoutExpired:
        holder.kill()
        holder.wait()


def _keep_logs(folder: Path, cache: Path) -> None:
    """Keeps what the components of the last cluster said."""
    kept = cache / "logs"
    shutil.rmtree(kept, ignore_errors=True)
    with contextlib.suppress(OSError):
        shutil.copytree(folder / "logs", kept)


def _remove(folder: Path) -> None:
    """Removes the groups, which take a moment to empty, and the folder."""
    end = time.monotonic() + 30
    while _groups(folder.name) and time.monotonic() < end:
        for group in reversed(_groups(folder.name)):
            with contextlib.suppress(OSError):
                group.rmdir()
        time.sleep(0.2)
    shutil.rmtree(folder, ignore_errors=True)


def _make_groups(name: str) -> None:
    for controller in CONTROLLERS:
        (CGROUPS / controller / name).mkdir()
    (CGROUPS / "cpu" / name / "cpu.shares").write_text(str(_CPU_SHARES))
    for setting in ("cpuset.cpus", "cpuset.mems"):
        (CGROUPS / "cpuset" / name / setting).write_text((CGROUPS / "cpuset" / setting).read_text())


def _groups(name: str) -> list[Path]:
    """Returns the control groups of a cluster, outer ones first."""
    tops = [path for path in CGROUPS.glob(f"*/{name}") if path.is_dir()]
    return [group for top in tops for group in (top, *sorted(p for p in top.rglob("*") if p.is_dir()))]


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _is_of(process: int, pod: str, program: str) -> bool:
    try:
        groups = Path(f"/proc/{process}/cgroup").read_text(encoding="ascii")
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        # It has ended meanwhile.
        return False
    return f"pod{pod}" in groups and program.encode() in command


def start_training_operator(node: Node, programs: Programs, folder: Path) -> None:
    """Starts Kubeflow's training operator, by the manifests of its own module, for TFJobs alone."""
    shutil.copytree(programs.operator_manifests, folder / "base")
    settings = Path(__file__).with_name("training-operator.yaml")
    shutil.copyfile(settings, folder / "kustomization.yaml")
    node.kubectl("create", "namespace", "kubeflow")
    node.kubectl("apply", "--server-side", f"--kustomize={folder}", timeout_s=120)
    rollout = ["rollout", "status", "deployment/training-operator", "--timeout=180s"]
    node.kubectl("--namespace=kubeflow", *rollout, timeout_s=200)
