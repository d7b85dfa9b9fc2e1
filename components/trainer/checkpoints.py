"""Atomic checkpoints of everything that training depends on, kept to the last few."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

from components.trainer import hosts


class Checkpoints:
    """Saves and restores variables by name.

    A checkpoint counts only once TensorFlow has renamed its index file and then, atomically, the file
    `checkpoint` that names it; a process killed before that leaves the previous one in place.
    """

    def __init__(
        self,
        directory: str,
        variables: dict[str, Any],
        keep: int,
    ) -> None:
        checkpoint = tf.train.Checkpoint(variables=variables)
        self._shared = tf.train.CheckpointManager(checkpoint, directory, max_to_keep=keep)
        self._own = self._shared
        if not hosts.is_chief():
            # All workers have to take part in saving, but only the chief's files are kept.
            aside = os.path.join(directory, f".{hosts.name()}")
            self._own = tf.train.CheckpointManager(checkpoint, aside, max_to_keep=1)
        self._checkpoint = checkpoint

    def restore(self) -> bool:
        """Restores the latest checkpoint; returns whether there was one."""
        latest = tf.train.latest_checkpoint(self._shared.directory)
        if latest is None:
            return False
        self._checkpoint.restore(latest).assert_consumed()
        return True

    def save(self, step: int) -> None:
        """Saves the state after optimizer step `step`."""
        self._own.save(checkpoint_number=step)
