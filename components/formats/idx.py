"""idx files, the format of MNIST: a header with the array's shape, then its bytes, plain or gzipped.

Format: yann.lecun.com/exdb/mnist ("The IDX file format").
"""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.formats.errors import FormatError, unreadable
from components.formats.stand_ins import HEAD_SIZE, told_by_its_head

# Codes of the types of elements.
UINT8: Final = 0x08
INT32: Final = 0x0C
_DTYPES: Final[dict[int, np.dtype[Any]]] = {UINT8: np.dtype(np.uint8), INT32: np.dtype(">i4")}
# As many axes as every NumPy can hold.
_MAX_RANK: Final = 32
_GZIP_MAGIC: Final = b"\x1f\x8b"
# Deflate cannot shrink data further than this (zlib.net/zlib_tech.html).
_MAX_DEFLATE_RATIO: Final = 1032
_CHUNK_BYTES: Final = 1 << 22

_Stream = BinaryIO | gzip.GzipFile


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def item_bytes(self) -> int:
        """The bytes of all that has one index on the first axis."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def data_bytes(self) -> int:
        """The bytes of all elements."""
        return self.shape[0] * self.item_bytes


def read_idx(path: Path, rank: int | None = None) -> NDArray[Any]:
    """Returns the array, of the file's own shape: uint8, or int32 of any rank; raises FormatError.

    With a `rank`, another one is refused, and so is int32.
    """
    with _open(path, rank) as (stream, header):
        data = bytearray()
        while chunk := stream.read(_CHUNK_BYTES):
            data += chunk
            # A gzip stream may go on for ever.
            if len(data) > header.data_bytes:
                break
    _check_size(path, header, len(data))
    return np.frombuffer(data, header.dtype).reshape(header.shape)


def read_batches(
    path: Path, batch_size: int, start: int = 0, stop: int | None = None
) -> Iterator[NDArray[Any]]:
    """Yields uint8 or int32[batch, …] of the items start ≤ i < stop, holding one batch in memory.

    A plain file is read from `start` on; a gzip file has to be decompressed up to there. The checksum
    of a gzip file is only checked when its last item is read.
    """
    with _open(path) as (stream, header):
        num_items, item_bytes = header.shape[0], header.item_bytes
        stop = num_items if stop is None else min(stop, num_items)
        header_bytes = stream.tell()
        stream.seek(start * item_bytes, os.SEEK_CUR)
        for first in range(start, stop, batch_size):
            size = min(batch_size, stop - first)
            data = stream.read(size * item_bytes)
            if len(data) < size * item_bytes:
                _check_size(path, header, stream.tell() - header_bytes)
            yield np.frombuffer(data, header.dtype).reshape(size, *header.shape[1:])
        if stop == num_items and stream.read(1):
            _check_size(path, header, header.data_bytes + 1)


def read_shape(path: Path, rank: int | None = None, code: int = UINT8) -> tuple[int, ...]:
    """Returns the shape that the header gives; a plain file's size is checked against it.

    With a `rank`, another one and another type of elements than that of the code are refused.
    """
    with _open(path, rank, code) as (_, header):
        return header.shape


def is_gzip(path: Path) -> bool:
    """Whether a file is gzipped, by its content; raises FormatError."""
    with _open(path) as (stream, _):
        return isinstance(stream, gzip.GzipFile)


def check_whole(path: Path) -> None:
    """Raises FormatError for a gzip file that is cut off, or holds less or more than its header says.

    Zeros behind the last member are padding, as for gzip itself.

    Its last four bytes tell the size of what was compressed (RFC 1952, ISIZE); only where they say another
    one, as those of a file of several members do, is everything read.
    """
    with _open(path) as (stream, header):
        expected = 4 + 4 * len(header.shape) + header.data_bytes
        is_right = not isinstance(stream, gzip.GzipFile) or _compressed_size(path) == expected % 2**32
    if not is_right:
        for _ in read_batches(path, max(1, _CHUNK_BYTES // max(1, header.item_bytes))):
            pass


def packed(array: NDArray[np.uint8]) -> bytes:
    """Returns what a file of uint8 with 1 to 32 axes holds."""
    header = struct.pack(f">I{array.ndim}I", _magic(array.ndim, UINT8), *array.shape)
    return header + array.tobytes()


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Writes uint8 with 1 to 32 axes, gzipped if the name ends in .gz: aside, then renamed."""
    if array.dtype != np.uint8 or not 1 <= array.ndim <= _MAX_RANK:
        raise FormatError(f"{path}: expected uint8 with axes, got {array.dtype}{list(array.shape)}")
    content = packed(array)
    if path.suffix == ".gz":
        # No time stamp: the same array gives the same bytes.
        content = gzip.compress(content, mtime=0)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def _open(path: Path, rank: int | None = None, code: int = UINT8) -> Iterator[tuple[_Stream, _Header]]:
    """Opens plain or gzip by content; yields the stream behind the header, and the header."""
    try:
        with path.open("rb") as file, contextlib.ExitStack() as stack:
            size = os.fstat(file.fileno()).st_size
            zipped = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            stream = stack.enter_context(gzip.GzipFile(fileobj=file)) if zipped else file
            header = _read_header(path, stream, rank, code)
            _check_plausible(path, header, size, zipped)
            yield stream, header
    except EOFError as error:
        raise FormatError(f"{path}: expected a whole gzip file, got one that ends early") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(f"{path}: expected intact gzip data, got: {error}") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _read_header(path: Path, stream: _Stream, rank: int | None, code: int) -> _Header:
    (magic,) = _unpack(path, stream, ">I")
    got_code, got_rank = magic >> 8, magic & 0xFF
    is_right = (got_rank, got_code) == (rank, code) if rank else got_code in _DTYPES
    if not is_right or not 1 <= got_rank <= _MAX_RANK:
        expected = f"0x{_magic(rank or 0, code):08x}" + ("" if rank else " + number of axes")
        told = told_by_its_head(magic.to_bytes(4, "big") + stream.read(HEAD_SIZE), "idx file")
        raise FormatError(f"{path}: {told or f'expected magic {expected}, got 0x{magic:08x}'}")
    return _Header(_unpack(path, stream, f">{got_rank}I"), _DTYPES[got_code])


def _unpack(path: Path, stream: _Stream, layout: str) -> tuple[int, ...]:
    size = struct.calcsize(layout)
    data = stream.read(size)
    if len(data) < size:
        raise FormatError(f"{path}: expected an idx header, got a file that ends within it")
    return struct.unpack(layout, data)


def _compressed_size(path: Path) -> int:
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(), "little")


def _magic(rank: int, code: int) -> int:
    """Returns 0, 0, code of the element type, number of axes: _magic(3, UINT8) -> 0x00000803."""
    return code << 8 | rank


def _check_plausible(path: Path, header: _Header, file_size: int, zipped: bool) -> None:
    """Compares the header with the file's size, before memory is taken for what the header promises."""
    if not zipped:
        _check_size(path, header, file_size - 4 - 4 * len(header.shape))
    elif header.data_bytes > file_size * _MAX_DEFLATE_RATIO:
        raise FormatError(
            f"{path}: expected {header.data_bytes} bytes for shape {times(header.shape)}, "
            f"got a gzip file of {file_size} bytes, which cannot hold them"
        )


def _check_size(path: Path, header: _Header, size: int) -> None:
    expected = header.data_bytes
    if size == expected:
        return
    got = f"{size}: truncated" if size < expected else "more: trailing bytes"
    raise FormatError(f"{path}: expected {expected} bytes for shape {times(header.shape)}, got {got}")


def times(shape: tuple[int, ...] | list[int]) -> str:
    """Returns a shape as errors have it: (28, 28) -> "28×28"."""
    return "×".join(map(str, shape))
