"""The Beam executor of every ExampleGen: input splits to GZIP TFRecord shards of tf.Examples."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, artifact_utils, standard_component_specs

from components import files
from components.beam_errors import worker_error
from components.errors import Failure, UserError
from components.example_gen.digests import named_digest, raw_files
from components.example_gen.driver import source_of
from components.example_gen.found import AllFound, accept
from components.example_gen.shards import Shard, shards_of, write_json, write_shard
from components.protocols import COUNTS, DATA_DIGESTS

Artifacts = Mapping[str, list[Artifact]]

# Beside the shards while they are written: what the raw files turned out to hold.
_FOUND: Final = "found.json"


class Executor(BaseBeamExecutor):
    """Checks the data, writes the shards aside in the workers, and moves them where the next node looks.

    The i-th part of an input split becomes the i-th shard, so the same files always give the same shards,
    whatever the runner and the number of workers.
    """

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Converts `input_base` as the source in `custom_config` tells; raises FormatError or Failure."""
        source = source_of(exec_properties)
        directory = Path(exec_properties[standard_component_specs.INPUT_BASE_KEY])
        source.check(directory)
        raw = raw_files(source, str(directory))
        examples = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        names = [name for split in source.input_splits for name in split.names]
        with _aside(examples.uri, names) as aside:
            self._write(str(directory), raw, shards_of(source, source.input_splits, directory, aside), aside)
            found = AllFound.from_json(json.loads(files.read_text(f"{aside}/{_FOUND}")))
            accept(source, found, names)
            write_json(found.splits, f"{aside}/{COUNTS}")
        describe(examples, names)

    def _write(self, directory: str, raw: Sequence[str], shards: Iterable[Shard], aside: str) -> None:
        """Reads every file twice: for its digest, then, part by part, for its records."""
        with _errors_of_workers(), self._make_beam_pipeline() as pipeline:
            digests = (
                pipeline
                | "Files" >> beam.Create(raw)
                | "Digest" >> beam.Map(named_digest, directory)
                | "ListDigests" >> beam.combiners.ToDict()
                | "WriteDigests" >> beam.Map(write_json, f"{aside}/{DATA_DIGESTS}")
            )
            _ = (
                pipeline
                | "Shards" >> beam.Create(shards)
                # A file that changes meanwhile will then be found to differ.
                | "AfterDigests" >> beam.WaitOn(digests)
                | "WriteShard" >> beam.Map(write_shard)
                | "ListFound" >> beam.combiners.ToList()
                | "MergeFound" >> beam.Map(lambda shards: AllFound.of(shards).to_json())
                | "WriteFound" >> beam.Map(write_json, f"{aside}/{_FOUND}")
            )


@contextlib.contextmanager
def _errors_of_workers() -> Iterator[None]:
    try:
        yield
    except (UserError, Failure, RuntimeError) as error:
        known = worker_error(error)
        if known is None:
            raise
        raise known from error


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


def describe(examples: Artifact, split_names: Sequence[str]) -> None:
    """Sets the properties of Examples by which TFX knows what such shards are."""
    examples.split_names = artifact_utils.encode_split_names(list(split_names))
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(examples, "tfrecords_gzip")
