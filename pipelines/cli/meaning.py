"""What settings mean: their descriptions, or else the comments beside them in the code that declares them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Sequence

from components.config import Config


def meanings(settings: type[Config]) -> dict[str, str]:
    """Returns a sentence for each setting of a section that has one, by name."""
    told: dict[str, str] = {}
    # A class that inherits a setting may declare it anew.
    for declared in reversed(settings.__mro__):
        if issubclass(declared, Config) and declared is not Config:
            told |= _comments(declared)
    described = {name: field.description for name, field in settings.model_fields.items()}
    return {**told, **{name: text for name, text in described.items() if text}}


def _comments(declared: type[Config]) -> dict[str, str]:
    """Returns the comment above each setting that a class declares itself, or behind it; both as one line."""
    try:
        source = textwrap.dedent(inspect.getsource(declared))
    except (OSError, TypeError):
        # Typed in, and nowhere a file.
        return {}
    lines = source.splitlines()
    found = {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = _above(lines, node.lineno - 1) or _behind(
                lines[(node.end_lineno or node.lineno) - 1], node
            )
            found[node.target.id] = text
    return {name: text for name, text in found.items() if text}


def _above(lines: Sequence[str], place: int) -> str:
    first = place
    while lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return " ".join(line.strip().removeprefix("#").strip() for line in lines[first:place])


def _behind(line: str, node: ast.AnnAssign) -> str:
    rest = line.encode()[node.end_col_offset or 0 :].decode()
    return rest.strip().removeprefix("#").strip()
