"""Which devices JAX sees, and how batches of patches lie on them."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Final

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from components.trainer.errors import TrainConfigError

# Of a batch of patches; in 2D without the depth.
_AXES: Final = ("batch", "depth", "height", "width")

logger = logging.getLogger(__name__)


class Grid:
    """Devices by the parts of a batch that they have."""

    def __init__(self, partition: tuple[int, ...]) -> None:
        """`partition`: parts along each axis, the channels' last; TrainConfigError for too few devices."""
        parts = partition[:-1]
        self._axes = (_AXES[0], *_AXES[1 - len(parts) :])
        self._mesh = Mesh(np.array(_found(math.prod(parts))).reshape(parts), self._axes)
        # Of what each device has as a whole, such as weights.
        self.whole = NamedSharding(self._mesh, PartitionSpec())

    def place(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a batch's features, [batch, *patch] or [batch, …] of fewer axes, each on its devices."""
        return {name: jax.device_put(value, self._sharding(value.ndim)) for name, value in batch.items()}

    def _sharding(self, dims: int) -> NamedSharding:
        axes = self._axes if dims == len(self._axes) else self._axes[:1]
        return NamedSharding(self._mesh, PartitionSpec(*axes))


def _found(count: int) -> list[Any]:
    devices = jax.devices()
    kind = devices[0].device_kind
    if len(devices) < count:
        raise TrainConfigError(f"train.partition: expected {count} devices, got {len(devices)} ({kind})")
    if devices[0].platform == "cpu":
        logger.info("JAX sees no accelerator: %d virtual devices of this CPU", count)
    else:
        logger.info("volumes are split over %d × %s", count, kind)
    return devices[:count]
