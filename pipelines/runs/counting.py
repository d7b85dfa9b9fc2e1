"""How many records Beam has read in this process, which its runner tells only at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from apache_beam.io import tfrecordio

from components.progress import BOARD

READ: Final = "records read"


@contextmanager
def reads_counted() -> Iterator[None]:
    """Counts meanwhile each TFRecord as often as it is read; what other processes read is not seen."""
    reader: Any = tfrecordio._TFRecordUtil
    before = reader.read_record

    def read_record(file: Any) -> bytes | None:
        record: bytes | None = before(file)
        if record is not None:
            BOARD.count(READ)
        return record

    reader.read_record = read_record
    try:
        yield
    finally:
        reader.read_record = before
