"""What a machine needs to have a Kubernetes of its own, and how what Debian brings is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

# Of control groups of version 1, which a kubelet in a group of its own asks for.
CONTROLLERS: Final = (
    "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd",
)  # fmt: skip
CGROUPS: Final = Path("/sys/fs/cgroup")
BUSYBOX: Final = Path("/bin/busybox")
# The variable that says how many seconds all may take.
LIMIT_S: Final = "MILLRACE_CLUSTER_LIMIT_S"
CNI_PLUGINS: Final = Path("/usr/lib/cni")

_GO: Final = (1, 26)
# Go's caches, the programs, and what a running cluster writes; and the project's image, twice.
_BUILD_GB: Final = 8
_RUN_GB: Final = 8
# Building takes 10 minutes on two idle cores; what is left then is for tests, of which some may not begin.
_BUILD_MIN: Final = 40
_STARTED_S: Final = time.monotonic()
_PACKAGES: Final = {
    "/usr/bin/containerd": "containerd",
    "/usr/sbin/runc": "runc",
    str(CNI_PLUGINS / "bridge"): "containernetworking-plugins",
    "/usr/sbin/iptables": "iptables",
    "/usr/sbin/ip": "iproute2",
    "/usr/sbin/conntrack": "conntrack",
    str(BUSYBOX): "busybox-static",
}
_APT_TIMEOUT_S: Final = 600


class Unavailable(Exception):
    """What keeps a cluster from being made here, in one line: its tests count as not run."""


def cache() -> Path:
    """Returns the folder that keeps programs: MILLRACE_CLUSTER_CACHE, or one in the user's cache."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MILLRACE_CLUSTER_CACHE") or Path(user, "millrace-cluster")).absolute()


def left_s() -> float:
    """Returns how many seconds of those that all may take are left."""
    return float(os.environ.get(LIMIT_S, "inf")) - (time.monotonic() - _STARTED_S)


def check(is_built: bool) -> None:
    """Raises Unavailable for what can be seen without installing anything."""
    if os.geteuid() != 0:
        raise Unavailable("expected root, to make namespaces and mounts")
    missing = [name for name in CONTROLLERS if not (CGROUPS / name / "cgroup.procs").is_file()]
    if missing:
        raise Unavailable(f"expected control groups of version 1, found no {', '.join(missing)} in {CGROUPS}")
    if not is_built:
        _check_go()
        _check_time()
    needed_gb = _RUN_GB + (0 if is_built else _BUILD_GB)
    free_gb = shutil.disk_usage(_existing(cache())).free / 1e9
    if free_gb < needed_gb:
        raise Unavailable(f"expected {needed_gb} GB free in {cache()}, got {free_gb:.0f}")
    if _missing_packages() and not shutil.which("apt-get"):
        raise Unavailable(f"expected {', '.join(_missing_packages())}, or apt-get to install them")


def install() -> None:
    """Installs Debian's packages that are missing; raises Unavailable."""
    packages = _missing_packages()
    if not packages:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", *command], env=environment, capture_output=True, text=True, timeout=_APT_TIMEOUT_S
        )
        if done.returncode:
            raise Unavailable(f"apt-get {command[0]}: {last_line(done.stderr)}")


def last_line(text: str) -> str:
    """Returns the last line that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no word")


def _check_go() -> None:
    program = shutil.which("go")
    if program is None:
        raise Unavailable("expected Go, to build Kubernetes with; found no go on PATH")
    version = subprocess.run([program, "version"], capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"go(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < _GO:
        raise Unavailable(f"expected Go {_GO[0]}.{_GO[1]} or newer, got {version.strip()!r}")


def _check_time() -> None:
    if left_s() < 60 * _BUILD_MIN:
        raise Unavailable(
            f"expected {_BUILD_MIN} minutes, to build Kubernetes and to use it, "
            f"{left_s() / 60:.0f} are left; `make cluster` keeps what it builds in {cache()}"
        )


def _missing_packages() -> list[str]:
    return [package for path, package in _PACKAGES.items() if not os.path.exists(path)]


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_dir())
