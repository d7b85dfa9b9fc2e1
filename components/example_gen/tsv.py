"""ExampleGen for TSV files of labelled sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components.example_gen.executor import BaseExecutor
from components.protocols import Part, Split
from components.sources.glue import MrpcSource, XnliSource
from components.sources.tsv import TsvSource


class Executor(BaseExecutor):
    """Rows to tf.Examples with the features that the source declares, text as UTF-8."""

    source_class = TsvSource

    def parts(self, source: TsvSource, directory: Path, split: Split) -> Sequence[Part]:
        return source.ranges(directory, split)


class MrpcExecutor(Executor):
    """The same with the settings of MRPC."""

    source_class = MrpcSource


class XnliExecutor(Executor):
    """The same with the settings of XNLI."""

    source_class = XnliSource
