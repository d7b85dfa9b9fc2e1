"""Tensors in safetensors files (huggingface.co/docs/safetensors): in one, or in several with an index."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError, safe_open

from components import files
from components.formats.stand_ins import HEAD_SIZE, told_by_its_head
from components.models.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# That the package accepts.
_MAX_HEADER_SIZE: Final = 100_000_000
# What is read as float32; the first one loses digits.
FLOATS: Final = ("F64", "F32", "F16", "BF16")
KNOWN_DTYPES: Final = f"{', '.join(FLOATS[:-1])} or {FLOATS[-1]}"


class SafeTensors:
    """The tensors of one file, a path or URI, read one by one; with `header_only` none can be read.

    Raises:
      ModelError: no such file, or one that breaks the format's rules.
    """

    def __init__(self, path: str, *, header_only: bool = False) -> None:
        self._path = path
        try:
            self._file = _opened(path, header_only)
        except SafetensorError as error:
            told = told_by_its_head(_head(path), "safetensors file", binary=True)
            reason = " ".join(str(error).split())
            raise ModelError(f"{path}: {told or f'expected a safetensors file, got: {reason}'}") from error
        except OSError as error:
            raise ModelError(f"{path}: expected a readable file, got: {error.strerror or error}") from error

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each tensor."""
        return {name: tuple(self._file.get_slice(name).get_shape()) for name in self._file.keys()}  # noqa: SIM118

    @property
    def dtypes(self) -> Mapping[str, str]:
        """The dtype of each tensor, as the format calls it."""
        return {name: self._file.get_slice(name).get_dtype() for name in self._file.keys()}  # noqa: SIM118

    def read(self, name: str) -> NDArray[Any]:
        """Returns a tensor of one of FLOATS as float32."""
        # Makes bfloat16 known to NumPy.
        import ml_dtypes  # noqa: F401
        import numpy as np

        dtype = self._file.get_slice(name).get_dtype()
        if dtype not in FLOATS:
            raise ModelError(f"{self._path}: {name}: expected dtype {KNOWN_DTYPES}, got {dtype}")
        return np.asarray(self._file.get_tensor(name), np.float32)


class ShardedSafeTensors:
    """The tensors of all files that an index names, as `transformers` splits large models.

    {"weight_map": {"pooler.dense.bias": "model-00002-of-00002.safetensors", …}}

    Raises:
      ModelError: as for one file, or an index that does not fit its files.
    """

    def __init__(self, index: str, *, header_only: bool = False) -> None:
        folder = os.path.dirname(index)
        self._shard_of = read_index(index)
        self._shards = {
            name: SafeTensors(os.path.join(folder, name), header_only=header_only)
            for name in sorted({*self._shard_of.values()})
        }
        shapes = {name: shard.shapes for name, shard in self._shards.items()}
        dtypes = {name: shard.dtypes for name, shard in self._shards.items()}
        for tensor, shard in self._shard_of.items():
            if tensor not in shapes[shard]:
                raise ModelError(f"{index}: {tensor}: expected it in {shard}, which has no such tensor")
        self._shapes = {tensor: shapes[shard][tensor] for tensor, shard in self._shard_of.items()}
        self._dtypes = {tensor: dtypes[shard][tensor] for tensor, shard in self._shard_of.items()}

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each tensor."""
        return self._shapes

    @property
    def dtypes(self) -> Mapping[str, str]:
        """The dtype of each tensor, as the format calls it."""
        return self._dtypes

    def read(self, name: str) -> NDArray[Any]:
        """Returns a tensor of one of FLOATS as float32."""
        return self._shards[self._shard_of[name]].read(name)


def read_index(path: str) -> dict[str, str]:
    """Returns the name of the file, which lies beside the index, of each tensor; raises ModelError."""
    try:
        found = json.loads(files.read_text(path))["weight_map"]
    except OSError as error:
        raise ModelError(f"{path}: expected a readable file, got: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"expected JSON with 'weight_map', got: {error!r}"
        raise ModelError(f"{path}: {told_by_its_head(_head(path), 'JSON') or reason}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: weight_map: expected an object, got {json.dumps(found)[:80]}")
    for tensor, name in found.items():
        if not isinstance(name, str) or os.path.basename(name) != name or not name.endswith(".safetensors"):
            raise ModelError(
                f"{path}: {tensor}: expected a .safetensors file beside it, got {json.dumps(name)[:80]}"
            )
    return found


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Writes float32 tensors; raises OSError."""
    import numpy as np
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}
    # The package's files are their owner's alone.
    path.touch()
    mode = path.stat().st_mode
    try:
        # Without the format's name, `transformers` refuses the file.
        save_file(arrays, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(errno.EIO, " ".join(str(error).split()), str(path)) from error
    path.chmod(mode)


def _opened(path: str, header_only: bool) -> Any:
    """Returns a file that is mapped, not read, so that only what is used takes memory."""
    if not files.is_uri(path):
        # The package says of a folder: No such device.
        with files.reading(path):
            return safe_open(path, "np")
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy")
        if header_only:
            _copy_header(path, copy)
        else:
            files.copy_file(path, copy)
        # The mapping outlives the name.
        return safe_open(copy, "np")


def _copy_header(source: str, target: str) -> None:
    """Writes a file as long as the source, of which only the header takes up space."""
    with files.reading(source) as file, open(target, "wb") as copy:
        size = file.read(8)
        copy.write(size + file.read(min(int.from_bytes(size, "little"), _MAX_HEADER_SIZE)))
        file.seek(0, os.SEEK_END)
        copy.truncate(file.tell())


def _head(path: str) -> bytes:
    with files.reading(path) as file:
        return bytes(file.read(HEAD_SIZE))
