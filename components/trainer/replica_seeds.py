"""Random numbers of a model's layers, such as dropout's masks, that differ from replica to replica."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class _OfReplica(keras.random.SeedGenerator):
    """Adds the replica's number to the seed; its state stays equal on all replicas."""

    def next(self, ordered: bool = True) -> Any:
        seed = super().next(ordered)
        context = tf.distribute.get_replica_context()
        if context is None:
            return seed
        replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        return seed + tf.stack([replica, tf.zeros_like(replica)])


def draw_by_replica(model: keras.Model) -> None:
    """Makes every replica draw numbers of its own; those of the first one are as they were."""
    for layer in model._flatten_layers():
        for generator in layer._seed_generators:
            # Layers make their generators themselves, and Keras asks for no other kind.
            generator.__class__ = _OfReplica
