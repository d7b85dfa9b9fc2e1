"""Where training runs: one device, several, several hosts, or a TPU."""

from __future__ import annotations

import functools
import json
import os

import tensorflow as tf

from components.trainer.errors import TrainConfigError


def choose_strategy_name() -> str:
    """Returns the name that `auto` stands for, from TF_CONFIG and the visible devices."""
    if len(_cluster().get("worker", [])) + len(_cluster().get("chief", [])) > 1:
        return "multi_worker_mirrored"
    if tf.config.list_physical_devices("TPU") or "TPU_NAME" in os.environ:
        return "tpu"
    return "mirrored" if len(tf.config.list_logical_devices("GPU")) > 1 else "one_device"


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Returns the strategy; `multi_worker_mirrored` has to come before any other work of TensorFlow."""
    if name == "auto":
        name = choose_strategy_name()
    if name == "multi_worker_mirrored":
        return _multi_worker_strategy()
    if name == "mirrored":
        return _mirrored_strategy(tuple(_accelerators()))
    if name == "tpu":
        return _tpu_strategy()
    return tf.distribute.OneDeviceStrategy(_accelerators()[0])


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes what all workers share."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or not resolver.task_type:
        return True
    if "chief" in resolver.cluster_spec().jobs:
        return bool(resolver.task_type == "chief")
    return bool(resolver.task_id == 0)


def worker_name(strategy: tf.distribute.Strategy) -> str:
    """Returns a name of this process among the workers: "worker-1"; "chief" for a process alone."""
    if is_chief(strategy):
        return "chief"
    return f"{strategy.cluster_resolver.task_type}-{strategy.cluster_resolver.task_id}"


@functools.cache
def _multi_worker_strategy() -> tf.distribute.MultiWorkerMirroredStrategy:
    """Returns the process's only one: TensorFlow starts the collectives of its workers once."""
    return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def _mirrored_strategy(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """Returns the process's only one: a second one would number its collectives like the first."""
    return tf.distribute.MirroredStrategy(list(devices))


def _accelerators() -> list[str]:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in devices]


def _cluster() -> dict[str, list[str]]:
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        return dict(json.loads(text).get("cluster", {}))
    except (ValueError, AttributeError) as error:
        raise TrainConfigError(f"TF_CONFIG: expected a JSON object with a cluster, got {text!r}") from error


@functools.cache
def _tpu_strategy() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, tf.errors.OpError) as error:
        raise TrainConfigError(f"train.strategy=tpu: no TPU found: {error}") from error
    return tf.distribute.TPUStrategy(resolver)
