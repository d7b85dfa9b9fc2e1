"""Which run is using a pipeline root: two at once would write the same checkpoints and the same database.

A lock of the open file (fcntl(2), F_OFD_SETLK), of which others can ask whether it is held without taking
it; the kernel gives it back when the run ends, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from components.errors import UserError

_FILE: Final = ".lock"
# struct flock of 64-bit Linux: type, whence, start, length (0: to the end), pid (0: the open file's lock).
_FLOCK: Final = struct.Struct("hhqqi4x")


@contextmanager
def held(pipeline_root: str) -> Iterator[None]:
    """Holds a root's lock; raises UserError where another run does."""
    Path(pipeline_root).mkdir(parents=True, exist_ok=True)
    with open(os.path.join(pipeline_root, _FILE), "w") as file:
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, _whole_file())
        except BlockingIOError as error:
            raise UserError(f"{pipeline_root}: another run is using this pipeline root") from error
        yield


def is_held(pipeline_root: str) -> bool:
    """Whether a run holds a root's lock; takes none, so that a run may start in this very moment."""
    try:
        descriptor = os.open(os.path.join(pipeline_root, _FILE), os.O_RDONLY)
    except OSError:
        return False
    try:
        kind, *_ = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _whole_file()))
        return bool(kind != fcntl.F_UNLCK)
    finally:
        os.close(descriptor)


def _whole_file() -> bytes:
    return _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
