"""The Beam executor of every ExampleGen: input splits to GZIP TFRecord shards of tf.Examples."""

from __future__ import annotations

import abc
import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
import tensorflow as tf
from google.protobuf import json_format, struct_pb2
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, artifact_utils, standard_component_specs
from tfx.utils import proto_utils

from components.config import Config
from components.errors import Failure, UserError
from components.example_gen.digests import data_digests
from components.example_gen.shards import Shard, write_counts, write_shard
from components.formats.errors import FormatError
from components.protocols import COUNTS, DATA_DIGESTS, Part, Split

Artifacts = Mapping[str, list[Artifact]]

# What workers raise, by the name that it has in the text of another process's traceback.
_WORKER_ERRORS = {"FormatError": FormatError, "Failure": Failure}


class BaseExecutor(BaseBeamExecutor, abc.ABC):
    """Checks the data, writes the shards aside in the workers, and moves them where the next node looks.

    The i-th part of an input split becomes the i-th shard, so the same files always give the same shards,
    whatever the runner and the number of workers.
    """

    source_class: ClassVar[type[Config]]

    @abc.abstractmethod
    def parts(self, source: Any, directory: Path, split: Split) -> Sequence[Part]:
        """Returns the split's records in parts, each of which one worker reads."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Converts `input_base` as the source in `custom_config` tells; raises FormatError or Failure."""
        source: Any = self.source_class(**_source_fields(exec_properties))
        directory = Path(exec_properties[standard_component_specs.INPUT_BASE_KEY])
        source.check(directory)
        # Before the files are read: one that changes meanwhile will be found to differ.
        digests = data_digests(source.input_splits, str(directory))
        examples = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        names = [name for split in source.input_splits for name in split.names]
        with _aside(examples.uri, names) as aside:
            shards = [
                shard
                for split in source.input_splits
                for shard in _shards(self.parts(source, directory, split), split, aside)
            ]
            self._write(shards, f"{aside}/{COUNTS}")
            with tf.io.gfile.GFile(f"{aside}/{DATA_DIGESTS}", "w") as file:
                file.write(json.dumps(digests, indent=2))
        _describe(examples, names)

    def _write(self, shards: list[Shard], counts_file: str) -> None:
        try:
            with self._make_beam_pipeline() as pipeline:
                _ = (
                    pipeline
                    | "Shards" >> beam.Create(shards)
                    | "WriteShard" >> beam.FlatMap(write_shard)
                    | "CountRecords" >> beam.CombinePerKey(sum)
                    | "ListCounts" >> beam.combiners.ToList()
                    | "WriteCounts" >> beam.Map(write_counts, counts_file)
                )
        except (UserError, Failure, RuntimeError) as error:
            known = _worker_error(error)
            if known is None:
                raise
            raise known from error


def _shards(parts: Sequence[Part], split: Split, directory: str) -> Iterator[Shard]:
    for index, part in enumerate(parts):
        file = f"data_tfrecord-{index:05d}-of-{len(parts):05d}.gz"
        outputs = {name: f"{directory}/Split-{name}/{file}" for name in split.names}
        yield Shard(part, outputs, split.validation_fraction, f"{directory}/attempts")


@contextlib.contextmanager
def _aside(uri: str, split_names: Sequence[str]) -> Iterator[str]:
    """Yields a directory for what is not finished; on success it moves to `uri`, on failure it goes."""
    aside = f"{uri}/.unfinished"
    folders = [f"Split-{name}" for name in split_names]
    try:
        for folder in ("attempts", *folders):
            tf.io.gfile.makedirs(f"{aside}/{folder}")
        yield aside
        for name in (*folders, DATA_DIGESTS, COUNTS):
            tf.io.gfile.rename(f"{aside}/{name}", f"{uri}/{name}")
    except tf.errors.OpError as error:
        raise Failure(f"{uri}: cannot be written: {error.message}") from error
    finally:
        with contextlib.suppress(tf.errors.OpError):
            tf.io.gfile.rmtree(aside)


def _describe(examples: Artifact, split_names: Sequence[str]) -> None:
    examples.split_names = artifact_utils.encode_split_names(list(split_names))
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(examples, "tfrecords_gzip")


def _source_fields(exec_properties: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that `component.example_gen` put into `custom_config`."""
    config = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], config)
    struct = struct_pb2.Struct()
    config.custom_config.Unpack(struct)
    return json_format.MessageToDict(struct)["source"]


def _worker_error(error: Exception) -> Exception | None:
    """Returns the worker's own error: Beam adds the step's name to it, and may know nothing but its text."""
    text = f"{type(error).__name__}: {error}"
    found = re.search(r"\b(FormatError|Failure): (.*?)( \[while running .*)?$", text, re.MULTILINE)
    return _WORKER_ERRORS[found[1]](found[2]) if found else None
