"""What a node asks of a Kubernetes cluster: processors, memory, accelerators, volumes, secrets."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from components.config import Config


def _cpu(text: str) -> str:
    """Returns processors as Kubernetes writes them: "4", "0.5", "500m"."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?|[0-9]+m", text.strip()):
        raise ValueError("expected processors, such as 4, 0.5 or 500m")
    return text.strip()


def _bytes(text: str) -> str:
    """Returns an amount of memory as Kubernetes writes it: "16GiB", "16 Gi" and "16gi" are "16Gi"."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([kmgt]?)(i?)(b?)", text.strip(), re.IGNORECASE)
    # To Kubernetes, 500m of memory is half a byte.
    if found is None or (found[2] == "m" and not (found[3] or found[4])) or (found[3] and not found[2]):
        raise ValueError("expected an amount of memory, such as 16Gi, 16GB or 500M")
    number, unit, binary, _ = (part.lower() for part in found.groups())
    return number + (unit if unit == "k" and not binary else unit.upper()) + binary


def _volume(claim: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", claim):
        raise ValueError(
            "expected at most 63 small letters, digits and hyphens: Kubeflow Pipelines calls a volume like "
            "its claim, and volumes have no dots in their names"
        )
    return claim


CpuQuantity = Annotated[str, AfterValidator(_cpu)]
ByteQuantity = Annotated[str, AfterValidator(_bytes)]

# Where a resource of the cluster is known by the name of the product, on GKE.
_TPU_PREFIX = "tpu"
GPU_RESOURCE = "nvidia.com/gpu"
TPU_RESOURCE = "google.com/tpu"


class Toleration(Config):
    """A Kubernetes toleration: which tainted machines a pod may run on."""

    key: str
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute", ""] = "NoSchedule"


class NodeConfig(Config):
    """What one node of the DAG asks of the cluster."""

    cpu: CpuQuantity | None = Field(None, description="Such as 4 or 500m.")
    memory: ByteQuantity | None = Field(None, description="Such as 16Gi.")
    # `nvidia.com/gpu` on any cluster; a GKE label such as nvidia-h100-80gb or tpu-v5-lite-podslice picks the
    # node pool, too.
    accelerator: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9./-]*$")
    count: int = Field(1, ge=1, description="Accelerators of one worker.")
    topology: str | None = Field(None, pattern=r"^[0-9]+(x[0-9]+)+$", description="Of a TPU slice: 2x4.")
    # Size of /dev/shm, a memory-backed volume.
    shm: ByteQuantity | None = None
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    retries: int = Field(0, ge=0, description="More attempts after a failed one.")
    timeout_s: int | None = Field(None, ge=1, description="The pod ends then.")

    @model_validator(mode="after")
    def _whole_tpu(self) -> NodeConfig:
        if self.is_tpu != (self.topology is not None):
            raise ValueError(
                "a TPU needs accelerator=tpu-… and topology, such as 2x4; nothing else has a topology"
            )
        return self

    @property
    def is_tpu(self) -> bool:
        """Whether the accelerator is a TPU slice of GKE."""
        return self.accelerator is not None and self.accelerator.startswith(_TPU_PREFIX)

    @property
    def resource(self) -> str | None:
        """The name under which Kubernetes counts the accelerator."""
        if self.accelerator is None:
            return None
        if "/" in self.accelerator:
            return self.accelerator
        return TPU_RESOURCE if self.is_tpu else GPU_RESOURCE

    @property
    def labels(self) -> dict[str, str]:
        """The labels that a machine must have."""
        if self.accelerator is None or "/" in self.accelerator:
            return self.node_selector
        if self.is_tpu:
            gke = {"gke-tpu-accelerator": self.accelerator, "gke-tpu-topology": self.topology or ""}
        else:
            gke = {"gke-accelerator": self.accelerator}
        return {**{f"cloud.google.com/{name}": value for name, value in gke.items()}, **self.node_selector}

    @property
    def all_tolerations(self) -> tuple[Toleration, ...]:
        """Those that were asked for, and the one that machines with accelerators ask for."""
        resource = self.resource
        if resource is None or any(t.key == resource for t in self.tolerations):
            return self.tolerations
        return (*self.tolerations, Toleration(key=resource))


class TrainerNodeConfig(NodeConfig):
    """The Trainer may run on several hosts."""

    # With more than one, the node starts a TFJob of that many pods, and ends as that does.
    workers: int = Field(1, ge=1, description="Hosts; each has `count` accelerators.")
    start_timeout_s: int = Field(3600, ge=1, description="The hosts' pods have to have a place by then.")

    @model_validator(mode="after")
    def _single_host_tpu(self) -> TrainerNodeConfig:
        if self.is_tpu and self.workers > 1:
            raise ValueError(
                "a TPU slice of several hosts cannot be one task; use a single-host topology and workers=1"
            )
        return self


class VolumeConfig(Config):
    """A persistent volume claim that every node mounts."""

    claim: Annotated[str, AfterValidator(_volume)] | None = "millrace"
    mount_path: str = Field("/millrace", pattern=r"^/[^:]+$")


class ClusterConfig(Config):
    """How the DAG runs on a cluster; `node` holds for nodes that have no section of their own."""

    node: NodeConfig = NodeConfig(cpu="2", memory="8Gi")
    trainer: TrainerNodeConfig = TrainerNodeConfig(cpu="4", memory="16Gi")
    volume: VolumeConfig = VolumeConfig()
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secret: str | None = None
    # Environment variables from secrets: {"AWS_SECRET_ACCESS_KEY": "s3-credentials/secret-key"}.
    secret_env: dict[str, Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")]] = Field(default_factory=dict)
