"""Raw records to shards of tf.Examples: what runs in the workers, and therefore does not import TFX."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import tensorflow as tf

from components import files
from components.errors import Failure
from components.formats.errors import FormatError
from components.protocols import Part, Record, Value

# Compression takes most of the time; level 1 takes a third of level 6's, for files a tenth larger.
_COMPRESSION_LEVEL: Final = 1


class Shard(NamedTuple):
    """A part, and the files that it is written to."""

    part: Part
    # Files by split: one; or two, the second for the records that `is_held_out` selects.
    outputs: Mapping[str, str]
    validation_fraction: float
    # A directory for what is not complete yet.
    attempts: str


def write_shard(shard: Shard) -> list[tuple[str, int]]:
    """Writes GZIP TFRecords, each file appearing only complete; returns the number of records by split.

    The same part always gives the same files, so a worker may repeat it. Raises FormatError, and
    Failure where a file cannot be written.
    """
    splits = list(shard.outputs)
    counts = dict.fromkeys(splits, 0)
    try:
        with contextlib.ExitStack() as stack:
            writers = {
                split: stack.enter_context(_replacing(path, shard.attempts))
                for split, path in shard.outputs.items()
            }
            for record in shard.part.records():
                serialized = to_example(record).SerializeToString(deterministic=True)
                split = splits[is_held_out(serialized, shard.validation_fraction)]
                writers[split].write(serialized)
                counts[split] += 1
    except (OSError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())
        raise Failure(f"examples cannot be written: {reason}") from error
    return list(counts.items())


def write_counts(counts: Sequence[tuple[str, int]], path: str) -> None:
    """Writes the number of records by split as JSON; a split of none is a FormatError."""
    for split, count in counts:
        if count == 0:
            # No later node could use it.
            raise FormatError(f"split {split!r}: expected at least one record, got none")
    files.write_text(path, json.dumps(dict(sorted(counts))))


def is_held_out(serialized: bytes, fraction: float) -> bool:
    """Returns whether a record is among the `fraction` chosen by their hash; equal records fare alike."""
    digest = hashlib.blake2b(serialized, digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2.0**64


def to_example(record: Record) -> tf.train.Example:
    """Returns {"label": 7} as a tf.Example; a feature is one value or a sequence of one type."""
    features = {key: _to_feature(value) for key, value in record.items()}
    return tf.train.Example(features=tf.train.Features(feature=features))


def _to_feature(value: Value | Sequence[Value]) -> tf.train.Feature:
    values = [value] if isinstance(value, (bytes, int, float)) else value
    if not values:
        return tf.train.Feature()
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


@contextlib.contextmanager
def _replacing(path: str, attempts: str) -> Iterator[tf.io.TFRecordWriter]:
    """Yields a writer of a file that gets its name when it is complete."""
    attempt = f"{attempts}/{uuid.uuid4().hex}"
    options = tf.io.TFRecordOptions("GZIP", compression_level=_COMPRESSION_LEVEL)
    with tf.io.TFRecordWriter(attempt, options) as writer:
        yield writer
    tf.io.gfile.rename(attempt, path, overwrite=True)
