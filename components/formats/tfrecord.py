"""Files of TFRecords, read without TensorFlow: a length, its CRC, the content, and that one's CRC, each."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("<QI")
_CRC_BYTES: Final = 4
# Of one record; more is no length.
_MOST_BYTES: Final = 1 << 30


def whole_records(path: Path) -> Iterator[bytes]:
    """Yields the records of a file, whose last one may not be whole yet; sums are not compared."""
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, _ = _HEAD.unpack(head)
            content = file.read(min(length, _MOST_BYTES) + _CRC_BYTES)
            if len(content) != length + _CRC_BYTES:
                return
            yield content[:length]
