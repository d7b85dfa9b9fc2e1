"""Where training runs: one device, several, several hosts, or a TPU."""

from __future__ import annotations

import functools
import logging
import math
import os
from typing import Any, Final

import tensorflow as tf

from components.trainer import hosts
from components.trainer.errors import TrainConfigError

logger = logging.getLogger(__name__)


def choose_strategy_name() -> str:
    """Returns the name that `auto` stands for, from TF_CONFIG and the visible devices."""
    if hosts.has_others():
        return "multi_worker_mirrored"
    if _has_tpu():
        return "tpu"
    return "mirrored" if len(tf.config.list_logical_devices("GPU")) > 1 else "one_device"


def is_tpu(name: str) -> bool:
    """Whether a strategy is TensorFlow's for TPUs."""
    return name == "tpu" or (name == "auto" and not hosts.has_others() and _has_tpu())


def leave_accelerators() -> tf.distribute.Strategy:
    """Returns a strategy on the CPU; TensorFlow leaves GPUs to a process beside this one."""
    if hosts.has_others():
        raise TrainConfigError("train.partition: expected one host, got several in TF_CONFIG")
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        logger.warning("train.partition: TensorFlow may hold the GPUs' memory, which it has begun to use")
    return tf.distribute.OneDeviceStrategy(tf.config.list_logical_devices("CPU")[0].name)


def make_strategy(name: str, partition: tuple[int, ...] | None = None) -> tf.distribute.Strategy:
    """Returns the strategy; `multi_worker_mirrored` has to come before any other work of TensorFlow.

    With a `partition`, each replica of a TPU has as many cores as that cuts volumes into.
    """
    if name == "auto":
        name = choose_strategy_name()
    if name == "multi_worker_mirrored":
        return _multi_worker_strategy()
    if name == "mirrored":
        return _mirrored_strategy(tuple(_accelerators()))
    if name == "tpu":
        return _tpu_strategy(partition)
    return tf.distribute.OneDeviceStrategy(_accelerators()[0])


def wait_for_all() -> None:
    """Returns when every process that trains together has come here; fails where one has ended before."""
    if not _multi_worker_strategy.cache_info().currsize:
        return
    strategy = _multi_worker_strategy()

    @tf.function
    def count() -> Any:
        ones = strategy.run(lambda: tf.constant(1.0))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, ones, axis=None)

    count()


@functools.cache
def _multi_worker_strategy() -> tf.distribute.MultiWorkerMirroredStrategy:
    """Returns the process's only one: TensorFlow starts the collectives of its workers once."""
    return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def _mirrored_strategy(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """Returns the process's only one: a second one would number its collectives like the first."""
    return tf.distribute.MirroredStrategy(list(devices))


def _has_tpu() -> bool:
    return bool(tf.config.list_physical_devices("TPU")) or "TPU_NAME" in os.environ


def _accelerators() -> list[str]:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in devices]


# Cores of neighbouring chips by their number: [x, y, z, core of a chip], as TPUEstimator has them.
_COMPUTATION_SHAPES: Final = {
    1: (1, 1, 1, 1), 2: (1, 1, 1, 2), 4: (1, 2, 1, 2), 8: (2, 2, 1, 2), 16: (4, 2, 1, 2)
}  # fmt: skip


@functools.cache
def _tpu_strategy(partition: tuple[int, ...] | None) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, tf.errors.OpError) as error:
        raise TrainConfigError(f"train.strategy=tpu: no TPU found: {error}") from error
    if partition is None:
        return tf.distribute.TPUStrategy(resolver)
    topology = tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(
        resolver, experimental_device_assignment=_assignment(topology, partition)
    )


def _assignment(topology: Any, partition: tuple[int, ...]) -> Any:
    """Returns which cores each replica has; TrainConfigError for too few of them."""
    replicas, cores = partition[0], math.prod(partition[1:])
    total = int(topology.num_tasks * topology.num_tpus_per_task)
    if cores not in _COMPUTATION_SHAPES:
        known = ", ".join(map(str, _COMPUTATION_SHAPES))
        raise TrainConfigError(f"train.partition: expected {known} parts of a volume, got {cores}")
    if replicas * cores > total:
        raise TrainConfigError(f"train.partition: expected {replicas * cores} devices, got {total} TPU cores")
    return tf.tpu.experimental.DeviceAssignment.build(
        topology, computation_shape=_COMPUTATION_SHAPES[cores], num_replicas=replicas
    )
