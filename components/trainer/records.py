"""Training examples unpacked once, so that each can be read by its number and none has to stay in memory."""

from __future__ import annotations

import array
import gzip
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from components import files
from components.trainer.errors import TrainingFailure

# A uint64 length and its checksum, the record, its checksum (tensorflow.org/tutorials/load_data/tfrecord).
_LENGTH = struct.Struct("<Q")
_HEADER_BYTES, _FOOTER_BYTES = 12, 4
_CHUNK_BYTES = 1 << 20


class Records:
    """Serialized examples in a file, by number."""

    def __init__(self, file: IO[bytes], starts: NDArray[np.int64]) -> None:
        self._file = file
        # Of each record; a last one is where another record would start.
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def read(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Returns records by their numbers, int64[n], as an array of n bytes objects."""
        starts = self._starts[numbers]
        lengths = self._starts[numbers + 1] - starts - (_HEADER_BYTES + _FOOTER_BYTES)
        # Not a memory map: its pages would count as memory of the process.
        file = self._file.fileno()
        read = [os.pread(file, *where) for where in zip(lengths.tolist(), starts.tolist(), strict=True)]
        return np.array(read, object)


@contextmanager
def unpacked(names: Sequence[str], num_examples: int) -> Iterator[Records]:
    """Yields the records of GZIP TFRecord files, in a file without a name that goes with the process.

    TrainingFailure for a damaged file, for a full disk, and unless there are `num_examples` records.
    """
    with tempfile.TemporaryFile() as file:
        starts = array.array("q")
        for name in sorted(names):
            begin = file.tell()
            _append(name, file)
            _index(name, file, begin, starts)
        if len(starts) != num_examples:
            raise TrainingFailure(
                f"{', '.join(names)}: expected {num_examples} training examples, got {len(starts)}"
            )
        starts.append(file.tell() + _HEADER_BYTES)
        yield Records(file, np.frombuffer(starts, np.int64))


def _append(name: str, file: IO[bytes]) -> None:
    """Appends what a GZIP file holds, whose own checksum is verified."""
    try:
        with files.reading(name) as packed, gzip.GzipFile(fileobj=packed) as content:
            shutil.copyfileobj(content, file, _CHUNK_BYTES)
            file.flush()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TrainingFailure(f"{name}: expected a GZIP file, got: {error}") from error
    except OSError as error:
        where = error.filename or tempfile.gettempdir()
        raise TrainingFailure(f"{where}: cannot unpack the training examples: {error.strerror}") from error


def _index(name: str, file: IO[bytes], begin: int, starts: array.array[int]) -> None:
    """Adds where each record that was appended from `begin` on starts."""
    position, end = begin, file.tell()
    while position + _HEADER_BYTES <= end:
        starts.append(position + _HEADER_BYTES)
        (length,) = _LENGTH.unpack(os.pread(file.fileno(), _LENGTH.size, position))
        position += _HEADER_BYTES + length + _FOOTER_BYTES
    if position != end:
        raise TrainingFailure(f"{name}: expected TFRecords of {end - begin} bytes, got {position - begin}")
