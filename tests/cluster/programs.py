"""What the tests run of others', from Kubernetes to Beam's Prism: built from Go modules, kept in a folder.

A change of a module's files is another folder, so that what is kept is what the modules say.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from images import Image, write_archive
from machine import BUSYBOX, Unavailable, last_line, left_s

_MODULES: Final = Path(__file__).with_name("modules")
_KUBERNETES: Final = "kubernetes"
_COMMANDS: Final = (
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl",
)  # fmt: skip
_OPERATOR: Final = "github.com/kubeflow/training-operator"
_BEAM: Final = "github.com/apache/beam/sdks/v2"
# Module, then the package of its program.
_PACKAGES: Final[Mapping[str, str]] = {
    _KUBERNETES: ".",
    "etcd": "go.etcd.io/etcd/server/v3",
    "coredns": ".",
    "training-operator": f"{_OPERATOR}/cmd/training-operator.v1",
    "prism": f"{_BEAM}/go/cmd/prism",
}
# The definitions of what the overlays `gpu` and `kserve` have besides Kubernetes' own objects.
_DEFINITIONS: Final[Mapping[str, str]] = {
    "github.com/kserve/kserve@v0.20.0": "config/crd/full/serving.kserve.io_inferenceservices.yaml",
    "github.com/prometheus-operator/prometheus-operator@v0.92.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"
    ),
}
# Of one program; Kubernetes takes seven minutes on two idle cores.
_BUILD_TIMEOUT_S: Final = 1200.0
# To end in order, when a build has taken all the time that there was.
_ENDING_S: Final = 120.0


class Programs:
    """The programs of a cluster beneath a folder, and what else comes with their modules."""

    def __init__(self, cache: Path) -> None:
        self.folder = cache / _digest()
        self.images = self.folder / "images"
        self.definitions = self.folder / "definitions"
        self.operator_manifests = self.folder / "training-operator"
        self._whole = self.folder / "whole"

    @property
    def are_built(self) -> bool:
        """Whether all that is needed is there."""
        return self._whole.is_file()

    def build(self) -> None:
        """Builds what is missing: many minutes the first time; raises Unavailable."""
        if self.are_built:
            return
        for folder in (self.folder / "bin", self.images, self.definitions):
            folder.mkdir(parents=True, exist_ok=True)
        for module, package in _PACKAGES.items():
            self._build_program(module, package)
        for command in _COMMANDS:
            link = self.path(command)
            link.unlink(missing_ok=True)
            link.symlink_to(_KUBERNETES)
        self._copy_manifests()
        self._make_images()
        self._whole.touch()

    def path(self, name: str) -> Path:
        """Returns where a program is."""
        return self.folder / "bin" / name

    def _build_program(self, module: str, package: str) -> None:
        target = self.path(module)
        if target.is_file():
            return
        part = target.with_suffix(".part")
        flags = f"-s -w {_version_flags() if module == _KUBERNETES else ''}"
        _go(module, "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", str(part), package)
        part.rename(target)

    def _copy_manifests(self) -> None:
        source = Path(_go("training-operator", "list", "-m", "-f", "{{.Dir}}", _OPERATOR).strip())
        shutil.rmtree(self.operator_manifests, ignore_errors=True)
        shutil.copytree(source / "manifests/base", self.operator_manifests, copy_function=shutil.copyfile)
        # Go's cache is read-only.
        for path in (self.operator_manifests, *self.operator_manifests.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        for module, file in _DEFINITIONS.items():
            found = json.loads(_go("etcd", "mod", "download", "-json", module))
            shutil.copyfile(Path(found["Dir"], file), self.definitions / Path(file).name)

    def _make_images(self) -> None:
        for image in (
            Image("pause", {"bin/busybox": BUSYBOX}, ("/bin/busybox", "sleep", "infinity")),
            Image("coredns", {"bin/coredns": self.path("coredns")}, ("/bin/coredns",)),
            Image("training-operator", {"manager": self.path("training-operator")}, ("/manager",)),
        ):
            write_archive(image, self.images / f"{image.name}.tar")


def version_of(module: str) -> str:
    """Returns the version of a program, as its module names it: "v1.36.3"."""
    names = {_KUBERNETES: "k8s.io/kubernetes", "etcd": "go.etcd.io/etcd/server/v3",
             "coredns": "github.com/coredns/coredns", "training-operator": _OPERATOR,
             "prism": _BEAM}  # fmt: skip
    text = (_MODULES / module / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^(?:require|\t)\s*{re.escape(names[module])} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"modules/{module}/go.mod: expected {names[module]}, found none")
    return found[1]


def _version_flags() -> str:
    """Returns what tells Kubernetes its version, which its own build does: others ask for it."""
    version = version_of(_KUBERNETES)
    major, minor, _ = version.removeprefix("v").split(".")
    server, client = "k8s.io/component-base/version", "k8s.io/client-go/pkg/version"
    values = {f"{server}.gitVersion": version}
    for package in (server, client):
        values |= {f"{package}.gitMajor": major, f"{package}.gitMinor": minor}
    return " ".join(f"-X {name}={value}" for name, value in values.items())


def _go(module: str, *arguments: str) -> str:
    """Returns what a command of Go prints in the folder of a module; raises Unavailable."""
    timeout_s = min(_BUILD_TIMEOUT_S, max(0.0, left_s() - _ENDING_S))
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run(
            ["go", *arguments], cwd=_MODULES / module, env=environment, capture_output=True, text=True,
            timeout=timeout_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{module}: go {arguments[0]} took more than {timeout_s:.0f} s") from error
    if done.returncode:
        raise Unavailable(f"{module}: go {arguments[0]}: {last_line(done.stderr)}")
    return done.stdout


def _digest() -> str:
    files = [path for path in sorted(_MODULES.rglob("*")) if path.is_file()]
    content = hashlib.sha256()
    for path in (*files, Path(__file__), Path(__file__).with_name("images.py")):
        content.update(path.name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:16]
