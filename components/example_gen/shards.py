"""Raw records to shards of tf.Examples: what runs in the workers, and therefore does not import TFX."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import tensorflow as tf

from components import files
from components.errors import Failure
from components.example_gen.found import ShardFound, Tally
from components.examples import to_example
from components.progress import BOARD
from components.protocols import Part, Record, Source, Split

# Compression takes most of the time; level 1 takes a third of level 6's, for files a tenth larger.
_COMPRESSION_LEVEL: Final = 1


class Shard(NamedTuple):
    """A part, and the files that it is written to."""

    part: Part
    # The place of the part among all parts.
    number: int
    # Files by split: one; or two, the second for the records that `is_held_out` selects.
    outputs: Mapping[str, str]
    validation_fraction: float
    group_key: str | None
    counted_by: str | None
    # A directory for what is not complete yet.
    attempts: str


def shards_of(source: Source, splits: Iterable[Split], directory: Path, aside: str) -> Iterator[Shard]:
    """Yields the parts of some input splits of a source; the i-th of a split becomes its i-th shard."""
    numbers = itertools.count()
    for split in splits:
        parts = source.parts(directory, split)
        for index, part in enumerate(parts):
            file = f"data_tfrecord-{index:05d}-of-{len(parts):05d}.gz"
            yield Shard(
                part=part,
                number=next(numbers),
                outputs={name: f"{aside}/Split-{name}/{file}" for name in split.names},
                validation_fraction=split.validation_fraction,
                group_key=source.group_key,
                counted_by=source.counted_by,
                attempts=f"{aside}/attempts",
            )


def write_shard(shard: Shard) -> ShardFound:
    """Writes GZIP TFRecords, each file appearing only complete; returns what the part held.

    The same part always gives the same files, so a worker may repeat it. Raises FormatError, and
    Failure where a file cannot be written.
    """
    splits = list(shard.outputs)
    counts = dict.fromkeys(splits, 0)
    tally = Tally(shard.counted_by)
    with _failing("examples"), contextlib.ExitStack() as stack:
        writers = {
            split: stack.enter_context(_replacing(path, shard.attempts))
            for split, path in shard.outputs.items()
        }
        for record in tally.pass_on(shard.part.records()):
            serialized = _serialized(record)
            key = shard.group_key
            group = serialized if key is None else _serialized({key: record[key]})
            split = splits[is_held_out(group, shard.validation_fraction)]
            writers[split].write(serialized)
            counts[split] += 1
            BOARD.count("examples")
    return ShardFound(shard.number, shard.part.file, tally.found, counts)


def write_json(content: Any, location: str) -> None:
    """Writes JSON with sorted keys; raises Failure."""
    with _failing(location):
        files.write_text(location, json.dumps(content, sort_keys=True, indent=2))


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    """Turns the errors of files into a Failure: "examples cannot be written: …"."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise Failure(f"{what} cannot be written: {' '.join(str(error).split())}") from error


def is_held_out(group: bytes, fraction: float) -> bool:
    """Returns whether a group is among the `fraction` chosen by their hash; equal ones fare alike."""
    digest = hashlib.blake2b(group, digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2.0**64


def _serialized(record: Record) -> bytes:
    content: bytes = to_example(record).SerializeToString(deterministic=True)
    return content


@contextlib.contextmanager
def _replacing(path: str, attempts: str) -> Iterator[tf.io.TFRecordWriter]:
    """Yields a writer of a file that gets its name when it is complete."""
    attempt = f"{attempts}/{uuid.uuid4().hex}"
    options = tf.io.TFRecordOptions("GZIP", compression_level=_COMPRESSION_LEVEL)
    with tf.io.TFRecordWriter(attempt, options) as writer:
        yield writer
    tf.io.gfile.rename(attempt, path, overwrite=True)
