"""The safetensors format (huggingface.co/docs/safetensors): a JSON header, then the raw data of the tensors.

8 bytes     header size, little-endian
header      {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …, "__metadata__": {…}}
data        little-endian, row-major; without gaps or overlaps
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeGuard

from components import files
from components.models.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of the reference implementation.
_MAX_HEADER_BYTES: Final = 100_000_000
_ITEM_BYTES: Final = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip


class _Entry(NamedTuple):
    """Where a tensor lies in the data; offsets in bytes."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class SafeTensors:
    """The tensors of one file, read one by one.

    Raises:
      ModelError: no such file, truncated or too long, or a header that breaks the format's rules.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        content = _mapped(path)
        header_bytes = int.from_bytes(content[:8].tobytes(), "little")
        if len(content) < 8 or header_bytes > min(len(content) - 8, _MAX_HEADER_BYTES):
            raise ModelError(
                f"{path}: expected a header of at most {max(0, len(content) - 8)} bytes, got {header_bytes}"
            )
        self._data = content[8 + header_bytes :]
        self._entries = self._parse(content[8 : 8 + header_bytes].tobytes())
        self._check_layout()

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each tensor."""
        return {name: entry.shape for name, entry in self._entries.items()}

    def read(self, name: str) -> NDArray[Any]:
        """Returns a tensor of F32, F16 or BF16 as float32."""
        import numpy as np

        entry = self._entries[name]
        data = self._data[entry.begin : entry.end]
        if entry.dtype == "BF16":
            # The upper half of a float32.
            values = (data.view("<u2").astype(np.uint32) << 16).view(np.float32)
        elif entry.dtype in ("F32", "F16"):
            values = data.view("<f4" if entry.dtype == "F32" else "<f2").astype(np.float32)
        else:
            raise ModelError(f"{self._path}: {name}: expected dtype F32, F16 or BF16, got {entry.dtype}")
        return values.reshape(entry.shape)

    def _parse(self, header: bytes) -> dict[str, _Entry]:
        try:
            values = json.loads(header, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{self._path}: expected a JSON header, got: {error}") from error
        if not isinstance(values, dict):
            raise ModelError(f"{self._path}: expected a JSON object as header, got {header[:40]!r}")
        values.pop("__metadata__", None)
        return {name: self._parse_entry(name, value) for name, value in values.items()}

    def _parse_entry(self, name: str, value: Any) -> _Entry:
        fields = value if isinstance(value, dict) else {}
        dtype, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
        if (
            not isinstance(dtype, str)
            or dtype not in _ITEM_BYTES
            or not _are_sizes(shape)
            or not _are_sizes(offsets)
            or len(offsets) != 2
        ):
            raise ModelError(
                f"{self._path}: {name}: expected dtype, shape and data_offsets, got {json.dumps(value)[:80]}"
            )
        entry = _Entry(dtype, tuple(shape), *offsets)
        expected = math.prod(entry.shape) * _ITEM_BYTES[entry.dtype]
        if entry.end - entry.begin != expected:
            raise ModelError(
                f"{self._path}: {name}: expected {expected} bytes for {dtype} {shape}, got offsets {offsets}"
            )
        return entry

    def _check_layout(self) -> None:
        position = 0
        for name, entry in sorted(self._entries.items(), key=lambda item: item[1][2:]):
            if entry.begin != position:
                raise ModelError(
                    f"{self._path}: {name}: expected offsets from {position} on, got {entry.begin}"
                )
            position = entry.end
        if position != len(self._data):
            raise ModelError(f"{self._path}: expected {position} bytes of data, got {len(self._data)}")


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Writes float32 tensors in the order of their names."""
    import numpy as np

    arrays = {name: np.ascontiguousarray(tensors[name], "<f4") for name in sorted(tensors)}
    # Without the format's name, `transformers` refuses the file.
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, array in arrays.items():
        offsets = [position, position + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        position += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    # Padded, so that the data is aligned where the file is mapped.
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.data)


def _mapped(path: str) -> NDArray[Any]:
    """Returns uint8[size]: a local file is mapped, not read, so that only what is used takes memory."""
    import numpy as np

    try:
        if files.is_uri(path):
            return np.frombuffer(files.read_bytes(path), np.uint8)
        return np.memmap(path, np.uint8, mode="r") if os.path.getsize(path) else np.empty(0, np.uint8)
    except OSError as error:
        raise ModelError(f"{path}: expected a readable file, got: {error.strerror or error}") from error


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key twice in one object")
    return values


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
