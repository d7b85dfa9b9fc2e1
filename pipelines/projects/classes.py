"""What projects of classifiers have in common: settings in Python's words, and how good is good enough."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from components.config import Config
from pipelines.projects.writing import quoted

# How far from the most frequent class's share to all answers a model has to come at least.
BETTER: Final = 0.2


def arguments(settings: Config, *but: str) -> Iterator[str]:
    """Yields the settings that are not their defaults, but some, as lines of Python."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if value != field.default and name not in but:
            shown = tuple_of(value) if isinstance(value, tuple) else json.dumps(value, ensure_ascii=False)
            yield f"        {name}={shown},"


def tuple_of(texts: Sequence[str]) -> str:
    """Returns texts as Python writes them: ("a", "b")."""
    return f"({', '.join(map(quoted, texts))})"
