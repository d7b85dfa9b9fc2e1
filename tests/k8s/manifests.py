"""The manifests as kustomize renders them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OVERLAYS = ("base", *sorted(f"overlays/{path.name}" for path in (ROOT / "k8s/overlays").iterdir()))
# KServe makes the Deployment and its company by itself.
WITH_SERVER = tuple(overlay for overlay in OVERLAYS if overlay != "overlays/kserve")
SERVED_ON = {"grpc": 8500, "rest": 8501}

_TEMPLATES = {"Deployment": ("spec",), "CronJob": ("spec", "jobTemplate", "spec")}

Object = dict[str, Any]


class Pod(NamedTuple):
    """A pod as some object makes it."""

    owner: str
    labels: dict[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def claims(self) -> dict[str, str]:
        """Names of claims by name of the volume."""
        volumes = self.spec.get("volumes", ())
        return {
            v["name"]: v["persistentVolumeClaim"]["claimName"]
            for v in volumes
            if "persistentVolumeClaim" in v
        }


class Rendered(NamedTuple):
    """The objects of an overlay."""

    objects: list[Object]

    def of(self, *kinds: str) -> list[Object]:
        return [found for found in self.objects if found["kind"] in kinds]

    def names(self, kind: str) -> set[str]:
        return {found["metadata"]["name"] for found in self.of(kind)}

    def named(self, kind: str, name: str) -> Object:
        return next(found for found in self.of(kind) if found["metadata"]["name"] == name)

    @property
    def pods(self) -> list[Pod]:
        return [pod for found in self.objects for pod in pods_of(found)]

    def pod(self, owner: str) -> Pod:
        return next(pod for pod in self.pods if pod.owner == owner)

    def settings(self, name: str) -> dict[str, str]:
        """The data of a ConfigMap whose name kustomize ends with a hash."""
        (found,) = (
            o for o in self.of("ConfigMap") if re.fullmatch(rf"{name}-[a-z0-9]+", o["metadata"]["name"])
        )
        return dict(found["data"])


def pods_of(found: Object) -> Iterator[Pod]:
    kind, owner = found["kind"], f"{found['kind']}/{found['metadata']['name']}"
    if kind == "Pod":
        yield Pod(owner, found["metadata"].get("labels", {}), found["spec"])
    elif kind == "InferenceService":
        predictor = found["spec"]["predictor"]
        yield Pod(owner, {}, {**predictor, "containers": [predictor["model"]]})
    elif kind in _TEMPLATES:
        for key in _TEMPLATES[kind]:
            found = found[key]
        yield Pod(owner, found["template"]["metadata"]["labels"], found["template"]["spec"])


@cache
def render(overlay: str) -> Rendered:
    commands = (["kubectl", "kustomize"], ["kustomize", "build"])
    command = next((command for command in commands if shutil.which(command[0])), None)
    if command is None:
        pytest.skip("neither kubectl nor kustomize is on PATH")
    built = subprocess.run([*command, f"k8s/{overlay}"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (built.returncode, built.stderr) == (0, "")
    return Rendered(list(yaml.safe_load_all(built.stdout)))
