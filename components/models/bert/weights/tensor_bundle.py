"""What a TensorFlow checkpoint holds, read from its index without TensorFlow.

The index is a table of sorted keys, as in LevelDB (github.com/google/leveldb, doc/table_format.md), whose
values are protocol buffers (tensorflow/core/protobuf/tensor_bundle.proto).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from components import files
from components.formats.stand_ins import HEAD_SIZE, told_by_its_head
from components.models.errors import ModelError

_MAGIC: Final = bytes.fromhex("57fb808b247547db")
_FOOTER_SIZE: Final = 48
_UNCOMPRESSED: Final = 0
# DataType of tensorflow/core/framework/types.proto, by the names of safetensors.
_DTYPES: Final = {1: "F32", 2: "F64", 3: "I32", 7: "string", 9: "I64", 10: "BOOL", 14: "BF16", 19: "F16"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class BundleEntry(NamedTuple):
    """A tensor's shape, its dtype as safetensors calls it, its file, and where it ends in that."""

    shape: tuple[int, ...]
    dtype: str
    shard: int
    end: int


def read_bundle_index(prefix: str) -> dict[str, BundleEntry]:
    """Returns the tensors that `prefix`.index describes, by name; `prefix` is a path or URI.

    Raises:
      ModelError: the index cannot be read, or a file of data is not there or too short.
    """
    path = f"{prefix}.index"
    content = _read(path)
    try:
        values = dict(_table(content))
        num_shards = int(dict(_fields(values.pop(b""))).get(1, 0))
        # Parts of tensors have keys of their own, which are no text.
        entries = {
            name.decode(): _entry(value) for name, value in values.items() if not name.startswith(b"\0")
        }
    except (IndexError, KeyError, TypeError, ValueError) as error:
        told = told_by_its_head(content[:HEAD_SIZE], "TensorFlow checkpoint", binary=True)
        raise ModelError(f"{path}: {told or 'expected the index of a TensorFlow checkpoint'}") from error
    for shard in range(num_shards):
        ends = [entry.end for entry in entries.values() if entry.shard == shard]
        _check_data(f"{prefix}.data-{shard:05d}-of-{num_shards:05d}", max(ends, default=0))
    return entries


def _read(path: str) -> bytes:
    try:
        return files.read_bytes(path)
    except OSError as error:
        raise ModelError(f"{path}: expected a readable file, got: {error.strerror or error}") from error


def _check_data(path: str, least_size: int) -> None:
    try:
        with files.reading(path) as file:
            head = bytes(file.read(HEAD_SIZE))
            size = file.seek(0, os.SEEK_END) or file.tell()
    except OSError as error:
        raise ModelError(f"{path}: expected a readable file, got: {error.strerror or error}") from error
    if size < least_size:
        told = told_by_its_head(head, "TensorFlow checkpoint", binary=True)
        raise ModelError(f"{path}: {told or f'expected {least_size} bytes, got {size}'}")


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the keys and values of a table."""
    footer = content[-_FOOTER_SIZE:]
    if not footer.endswith(_MAGIC):
        raise ValueError("no table")
    at = 0
    for _ in range(2):
        _, at = _varint(footer, at)
    for _, handle in _block(content, footer[at:]):
        yield from _block(content, handle)


def _block(content: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the keys and values of the block at an offset and of a size, both in `handle`."""
    offset, at = _varint(handle, 0)
    size, _ = _varint(handle, at)
    if content[offset + size] != _UNCOMPRESSED:
        raise ValueError("compressed")
    block = content[offset : offset + size]
    num_restarts = int.from_bytes(block[-4:], "little")
    end, at, key = size - 4 * (num_restarts + 1), 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        at += own + length
        yield key, block[at - length : at]


def _entry(message: bytes) -> BundleEntry:
    """Returns what a BundleEntryProto says."""
    fields = dict(_fields(message))
    dims = [dict(_fields(_bytes(dim))) for number, dim in _fields(_bytes(fields.get(2, b""))) if number == 2]
    dtype = int(fields[1])
    return BundleEntry(
        shape=tuple(int(dim.get(1, 0)) for dim in dims),
        dtype=_DTYPES.get(dtype, f"number {dtype} of TensorFlow"),
        shard=int(fields.get(3, 0)),
        end=int(fields.get(4, 0)) + int(fields.get(5, 0)),
    )


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise TypeError("expected a message")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yields the numbers and values of a protocol buffer's fields."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        length = {_FIXED32: 4, _FIXED64: 8}.get(kind)
        if kind == _BYTES:
            length, at = _varint(message, at)
        if length is None:
            raise ValueError("unknown wire type")
        yield number, message[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Returns a number of 7 bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
