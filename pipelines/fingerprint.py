"""Fingerprints of what an execution depends on beside its inputs, so that caching never goes stale."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from components.config import Config

_CHUNK_BYTES = 1 << 22
_ROOT = Path(__file__).resolve().parents[1]


def fingerprint(sections: Mapping[str, Config], *code: str) -> str:
    """Returns a digest of settings, the files that they name, and packages such as "components/models"."""
    digest = hashlib.sha256()
    settings = {name: section.model_dump(mode="json") for name, section in sections.items()}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for section in sections.values():
        for path in section.input_files():
            digest.update(_digest(path) + b"\0")
    for package in code:
        for file in sorted((_ROOT / package).rglob("*.py")):
            digest.update(str(file.relative_to(_ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _digest(path: str) -> bytes:
    """Returns the SHA-256 sum of a file; a path or a URI."""
    from tensorflow.io import gfile

    digest = hashlib.sha256()
    with gfile.GFile(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()
