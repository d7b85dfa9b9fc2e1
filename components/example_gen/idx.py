"""ExampleGen for the idx files of MNIST."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components.example_gen.base import BaseExecutor
from components.example_gen.shards import Part
from components.formats.idx import IdxSource
from components.task import Split


class Executor(BaseExecutor):
    """Labelled images to tf.Examples {"image": bytes, "label": int64}."""

    source_class = IdxSource

    def parts(self, source: IdxSource, directory: Path, split: Split) -> Sequence[Part]:
        return source.ranges(directory, split)
