"""Holds what `--json` prints against docs/json.schema.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "json.schema.json").read_text(encoding="utf-8"))


def document(name: str, text: str) -> Any:
    """Returns the document, which must be one of `$defs/name`, sorted by key."""
    value = json.loads(text)
    jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{name}"}).validate(value)
    assert text in (
        json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n",
        json.dumps(value) + "\n",
    )
    return value
