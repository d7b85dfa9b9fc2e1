"""How many cores of a TPU each replica has; TensorFlow computes that without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.errors import TrainConfigError
from components.trainer.strategies import _assignment


@pytest.fixture
def topology() -> Any:
    """A host with four chips of two cores."""
    cores = [[x, y, 0, core] for x in range(2) for y in range(2) for core in range(2)]
    return tf.tpu.experimental.Topology(
        mesh_shape=[2, 2, 1, 2], device_coordinates=np.array([cores], np.int32)
    )


def test_replicas_have_as_many_cores_as_a_volume_has_parts(topology: Any) -> None:
    assignment = _assignment(topology, (2, 4, 1, 1, 1))
    assert (assignment.num_replicas, assignment.num_cores_per_replica) == (2, 4)
    cores = {tuple(core) for replica in assignment.core_assignment for core in replica}
    assert len(cores) == 8


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        ((2, 8, 1, 1, 1), "expected 16 devices, got 8 TPU cores"),
        ((1, 3, 1, 1, 1), "expected 1, 2, 4, 8, 16 parts of a volume, got 3"),
    ],
)
def test_cores_that_do_not_suffice_are_refused(
    topology: Any, partition: tuple[int, ...], message: str
) -> None:
    with pytest.raises(TrainConfigError, match=rf"^train\.partition: {message}$"):
        _assignment(topology, partition)
