"""Fingerprints of what an execution depends on beside its inputs, so that caching never goes stale."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.config import Config

_ROOT = Path(__file__).resolve().parents[1]


def fingerprint(sections: Mapping[str, Config], *code: str) -> str:
    """Returns a digest of settings and of the source files of packages such as "components/models"."""
    digest = hashlib.sha256()
    settings = {name: section.model_dump(mode="json") for name, section in sections.items()}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for package in code:
        for file in sorted((_ROOT / package).rglob("*.py")):
            digest.update(str(file.relative_to(_ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def class_name(value: Any) -> str:
    """Returns the dotted name of a value's class."""
    return f"{type(value).__module__}.{type(value).__qualname__}"
