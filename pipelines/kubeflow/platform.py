"""What a node asks of the cluster, in the words of Kubeflow Pipelines and of Kubernetes.

Fields that newer backends renamed are written in both spellings. Formats: "PipelineContainerSpec" of
pipeline_spec.proto, and kubernetes_platform/proto/kubernetes_executor_config.proto of kubeflow/pipelines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pipelines.dag.cluster import ClusterConfig, NodeConfig, Toleration

Json = dict[str, Any]

# Of a training job that sets none; a job without any would outlive whoever follows it.
_DEADLINE_S: Final = 7 * 24 * 3600
# In which the pod that follows a job makes it, and tells how it ended.
_AROUND_JOB_S: Final = 2 * 3600

_BACKOFF: Final = {"backoffDuration": "10s", "backoffFactor": 2.0, "backoffMaxDuration": "600s"}


def resources(config: NodeConfig) -> Json:
    """Returns the fields of a container: limits, which are requests, too."""
    found: Json = {}
    if config.cpu:
        found |= {"cpuLimit": _number(config.cpu), "resourceCpuLimit": config.cpu}
        found |= {"cpuRequest": _number(config.cpu), "resourceCpuRequest": config.cpu}
    if config.memory:
        found |= {"memoryLimit": _gigabytes(config.memory), "resourceMemoryLimit": config.memory}
        found |= {"memoryRequest": _gigabytes(config.memory), "resourceMemoryRequest": config.memory}
    if config.resource:
        found["accelerator"] = {
            "type": config.resource,
            "resourceType": config.resource,
            "count": str(config.count),
            "resourceCount": str(config.count),
        }
    return {"resources": found} if found else {}


def follower(cluster: ClusterConfig) -> NodeConfig:
    """Returns what the pod asks for that follows a training job: it is tried again as the Trainer is."""
    deadline_s = _deadline_s(cluster.trainer) + cluster.trainer.start_timeout_s + _AROUND_JOB_S
    return cluster.node.model_copy(update={"retries": cluster.trainer.retries, "timeout_s": deadline_s})


def follower_resources(config: NodeConfig) -> Json:
    """Returns the fields of a container that mostly waits, but copies and imports as any other does."""
    found: Json = resources(config).get("resources", {})
    return {"resources": {**found, "cpuRequest": 0.1, "resourceCpuRequest": "100m"}}


def retry_policy(config: NodeConfig) -> Json:
    """Returns the fields of a task's retries; nothing without any."""
    return {"maxRetryCount": config.retries, **_BACKOFF} if config.retries else {}


def pod(config: NodeConfig, cluster: ClusterConfig) -> Json:
    """Returns a KubernetesExecutorConfig."""
    found: Json = {"imagePullPolicy": cluster.image_pull_policy}
    if config.labels:
        found["nodeSelector"] = {"labels": config.labels}
    if config.all_tolerations:
        found["tolerations"] = [_toleration(toleration) for toleration in config.all_tolerations]
    if config.timeout_s:
        found["activeDeadlineSeconds"] = str(config.timeout_s)
    if config.shm:
        found["emptyDirMounts"] = [
            {"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": config.shm}
        ]
    if cluster.volume.claim:
        found["pvcMount"] = [
            {
                "constant": cluster.volume.claim,
                "pvcNameParameter": _constant(cluster.volume.claim),
                "mountPath": cluster.volume.mount_path,
            }
        ]
    if cluster.image_pull_secret:
        name = cluster.image_pull_secret
        found["imagePullSecret"] = [{"secretName": name, "secretNameParameter": _constant(name)}]
    if cluster.secret_env:
        found["secretAsEnv"] = [_secret(variable, source) for variable, source in cluster.secret_env.items()]
    return found


def training_job(image: str, cluster: ClusterConfig, command: Sequence[str]) -> Json:
    """Returns a TFJob (kubeflow.org/v1) of `trainer.workers` pods; its name and arguments come later.

    The operator sets TF_CONFIG in every pod. See github.com/kubeflow/training-operator.
    """
    config = cluster.trainer
    container: Json = {
        # The name by which the operator finds the container.
        "name": "tensorflow",
        "image": image,
        "imagePullPolicy": cluster.image_pull_policy,
        "command": list(command),
        "resources": {"limits": _quantities(config), "requests": _quantities(config)},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "env": [_env_from_secret(*item) for item in cluster.secret_env.items()],
        "volumeMounts": [],
    }
    volumes: list[Json] = []
    if cluster.volume.claim:
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": cluster.volume.claim}})
        container["volumeMounts"].append({"name": "data", "mountPath": cluster.volume.mount_path})
    if config.shm:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": config.shm}})
        container["volumeMounts"].append({"name": "shm", "mountPath": "/dev/shm"})
    secret = cluster.image_pull_secret
    pod_spec: Json = {
        "containers": [container],
        "volumes": volumes,
        "nodeSelector": config.labels,
        "tolerations": [_toleration(toleration) for toleration in config.all_tolerations],
        "imagePullSecrets": [{"name": secret}] if secret else [],
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    template = {
        # A mesh's sidecar would keep the pods alive, and block gRPC between them.
        "metadata": {kind: {"sidecar.istio.io/inject": "false"} for kind in ("annotations", "labels")},
        "spec": {key: value for key, value in pod_spec.items() if value != [] and value != {}},
    }
    run_policy: Json = {
        "cleanPodPolicy": "Running",
        # The operator counts the restarts of all workers, of whom one takes the others with it, and fails the
        # job as soon as they are that many.
        "backoffLimit": config.retries * config.workers + 1,
        "activeDeadlineSeconds": _deadline_s(config),
    }
    replicas = {"replicas": config.workers, "restartPolicy": "OnFailure", "template": template}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {},
        "spec": {"runPolicy": run_policy, "tfReplicaSpecs": {"Worker": replicas}},
    }


def _deadline_s(config: NodeConfig) -> int:
    return config.timeout_s or _DEADLINE_S


def _quantities(config: NodeConfig) -> Json:
    found = {"cpu": config.cpu, "memory": config.memory}
    if config.resource:
        found[config.resource] = str(config.count)
    return {name: quantity for name, quantity in found.items() if quantity}


def _toleration(toleration: Toleration) -> Json:
    return {key: value for key, value in toleration.model_dump().items() if value}


def _secret(variable: str, source: str) -> Json:
    name, key = source.split("/")
    return {
        "secretName": name,
        "secretNameParameter": _constant(name),
        "keyToEnv": [{"secretKey": key, "envVar": variable}],
    }


def _env_from_secret(variable: str, source: str) -> Json:
    name, key = source.split("/")
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def _constant(value: str) -> Json:
    return {"runtimeValue": {"constant": value}}


def _number(quantity: str) -> float:
    return float(quantity.removesuffix("m")) / 1000 if quantity.endswith("m") else float(quantity)


def _gigabytes(quantity: str) -> float:
    """Returns a quantity in units of 10^9 bytes, as the older fields want it."""
    from kubernetes.utils.quantity import parse_quantity

    return float(parse_quantity(quantity)) / 1e9
