"""A task with a user's settings, compiled for a cluster."""

from __future__ import annotations

import graphlib
import posixpath
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import yaml

from components import files
from components.config import ConfigError
from components.task import Task
from pipelines.dag.cluster import ClusterConfig
from pipelines.dag.settings import Overrides, RunConfig, apply_overrides
from pipelines.kubeflow.run_state import PlannedTask

# Where KFP keeps artifacts, unless its administrator says otherwise.
_ARTIFACT_ROOT: Final = "minio://mlpipeline/v2/artifacts"
# Where KFP looks for the way into another bucket than its own. On AWS a role of the pods' account does, too.
_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
_ENVIRONMENT: Final = {"s3": _KEYS, "minio": (*_KEYS, "AWS_ENDPOINT_URL")}
# What nodes open themselves: by TensorFlow, and by the registry's own clients. Data is fetched by KFP.
_STORES: Final = {"pipeline_root": ("gs://",), "models_dir": ("gs://", "s3://")}


class Compiled(NamedTuple):
    """A pipeline for Kubeflow Pipelines, and the values of this run's parameters."""

    name: str
    yaml: str
    parameters: dict[str, Any]

    @property
    def tasks(self) -> tuple[PlannedTask, ...]:
        """The tasks in an order in which they may run, and how long each may take."""
        specification, platforms = yaml.safe_load_all(self.yaml)
        tasks = specification["root"]["dag"]["tasks"]
        pods = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        before = {name: task.get("dependentTasks", ()) for name, task in tasks.items()}
        return tuple(
            PlannedTask(name, _seconds(pods.get(f"exec-{name}", {})))
            for name in graphlib.TopologicalSorter(before).static_order()
        )


def cluster_config(
    task: Task,
    overrides: Overrides,
    *,
    data_dir: str | None = None,
    models_dir: str | None = None,
    pipeline_root: str | None = None,
    artifact_root: str | None = None,
    **more: Any,
) -> RunConfig:
    """Returns the settings of a run on a cluster.

    What is not given lies in the volume that all nodes mount, which is a pipeline root: data in
    `data/<task>`, published models in `models`. `artifact_root` is where Kubeflow Pipelines is told
    to keep artifacts.
    """
    cluster = _cluster(overrides)
    volume = cluster.volume
    root = pipeline_root or volume.mount_path
    chosen = {
        "data_dir": data_dir or posixpath.join(volume.mount_path, "data", task.name),
        "models_dir": models_dir or posixpath.join(root, "models"),
        "pipeline_root": root,
    }
    for name, location in chosen.items():
        if not files.is_uri(location) and volume.claim is None:
            raise ConfigError(f"{name} {location}: expected a URI, since there is no cluster.volume.claim")
        known = _STORES.get(name, ())
        if files.is_uri(location) and known and not location.startswith(known):
            expected = f"a path in the volume, or one of {', '.join(known)}"
            raise ConfigError(f"{name} {location}: expected {expected}")
    _check_bucket(chosen["data_dir"], artifact_root or _ARTIFACT_ROOT, cluster.secret_env)
    return RunConfig(**chosen, **more)


def _cluster(overrides: Overrides) -> ClusterConfig:
    return ClusterConfig().override(overrides.get("cluster", {}), "cluster")


def unopened(overrides: Overrides) -> list[str]:
    """Returns the settings that name a file in the volume which is not here: "model.init_checkpoint".

    Pods open it, and take from it what other settings follow, such as a checkpoint's vocabulary.
    """
    volume = f"{_cluster(overrides).volume.mount_path.rstrip('/')}/"
    return [
        f"{section}.{key}"
        for section, values in overrides.items()
        for key, value in values.items()
        if section != "cluster" and str(value).startswith(volume) and not _is_begun(str(value))
    ]


def _is_begun(path: str) -> bool:
    """Whether there is a file or folder, or one whose name begins so, as those of a checkpoint do."""
    folder, name = posixpath.split(path.rstrip("/"))
    return any(found.startswith(name) for found in files.list_folder(folder))


def _check_bucket(data_dir: str, artifact_root: str, secret_env: Mapping[str, str]) -> None:
    """Raises ConfigError for data in a bucket that KFP has no way into: it has that into its own alone."""
    scheme = data_dir.partition("://")[0]
    needed = () if _bucket(data_dir) == _bucket(artifact_root) else _ENVIRONMENT.get(scheme, ())
    missing = [name for name in needed if name not in secret_env]
    by_role = scheme == "s3" and len(missing) == len(needed)
    if missing and not by_role:
        raise ConfigError(
            f"data_dir {data_dir}: expected the bucket of the artifact root, {artifact_root}, or also "
            f"{', '.join(missing)} in cluster.secret_env"
        )


def _bucket(uri: str) -> str:
    """Returns "s3://bucket" of "s3://bucket/folder"."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def compile_task(
    task: Task,
    config: RunConfig,
    overrides: Overrides,
    image: str,
    *,
    share: bool = False,
    if_news: bool = False,
) -> Compiled:
    """Returns a task's pipeline for a cluster; ConfigError for settings that do not hold.

    With `share`, what a run may change is told in `parameters` alone, so that runs that differ in nothing
    else share one pipeline; without, it becomes the parameters' defaults. With `if_news`, a run does nothing
    where the live model is what it would make, or equal training was refused.
    """
    opened = not unopened(overrides)
    # All of them, before anything heavy is loaded.
    resolved, _ = apply_overrides(task, config, overrides, opened)
    from pipelines.dag.pipeline import make_pipeline
    from pipelines.kubeflow import runner

    fixed: Overrides = {}
    parameters = {}
    for section, values in overrides.items():
        for key, value in values.items():
            if share and key in runner.RUN_SETTINGS.get(section, ()):
                chosen = getattr(getattr(resolved, section), key)
                parameters[runner.run_parameter(section, key)] = 0 if chosen is None else chosen
            else:
                fixed.setdefault(section, {})[key] = value
    task, config = apply_overrides(task, config, fixed, opened)
    text = runner.compile_pipeline(make_pipeline(task, config), image, config.cluster, if_news=if_news)
    return Compiled(task.name, text, parameters)


def _seconds(pod: dict[str, Any]) -> int | None:
    seconds = pod.get("activeDeadlineSeconds")
    return int(seconds) if seconds else None
