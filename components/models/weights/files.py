"""Files of checkpoints, by path or URI. Local ones are read without TensorFlow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from components.models.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def exists(path: str) -> bool:
    """Whether there is a file or folder."""
    return bool(_gfile().exists(path)) if is_uri(path) else os.path.exists(path)


def list_folder(path: str) -> list[str]:
    """Returns the sorted names in a folder; none where there is no such folder."""
    if is_uri(path):
        return sorted(_gfile().listdir(path)) if _gfile().isdir(path) else []
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def read_text(path: str) -> str:
    """Returns the text of a small UTF-8 file; ModelError where there is none."""
    try:
        return bytes(read_bytes(path)).decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: expected UTF-8, got byte 0x{error.object[error.start]:02x}") from error


def read_bytes(path: str) -> NDArray[Any]:
    """Returns uint8[size]: a local file is mapped, not read, so that only what is used takes memory."""
    import numpy as np

    try:
        if is_uri(path):
            with _gfile().GFile(path, "rb") as file:
                return np.frombuffer(file.read(), np.uint8)
        if not os.path.getsize(path):
            return np.empty(0, np.uint8)
        return np.memmap(path, np.uint8, mode="r")
    except OSError as error:
        raise ModelError(f"{path}: expected a readable file, got: {error.strerror or error}") from error


def move_folder(source: str, target: str) -> None:
    """Moves a local folder of files, all at once, or copies it, file by file, where the target is a URI."""
    if not is_uri(target):
        os.rename(source, target)
        return
    _gfile().makedirs(target)
    for name in os.listdir(source):
        _gfile().copy(os.path.join(source, name), f"{target}/{name}")


def is_uri(path: str) -> bool:
    """Whether a location is not a local path."""
    return "://" in path


def _gfile() -> Any:
    from tensorflow.io import gfile

    return gfile
