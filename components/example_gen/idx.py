"""ExampleGen for the idx files of MNIST."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components.example_gen.executor import BaseExecutor
from components.protocols import Part, Split
from components.sources.idx import IdxSource


class Executor(BaseExecutor):
    """Labelled images to tf.Examples {"image": bytes, "label": int64}."""

    source_class = IdxSource

    def parts(self, source: IdxSource, directory: Path, split: Split) -> Sequence[Part]:
        return source.ranges(directory, split)
