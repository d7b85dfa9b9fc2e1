"""What projects of classifiers have in common: settings in Python's words, and how good is good enough."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
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


def classified(labels: Sequence[str], counts: Collection[int]) -> dict[str, str]:
    """Returns what templates say of classes, of which each has so many examples."""
    majority = max(counts) / sum(counts)
    return {
        "num_classes": str(len(labels)),
        "labels": tuple_of(labels),
        "majority": f"{majority:.2f}",
        "threshold": f"{majority + BETTER * (1 - majority):.2f}",
    }


def tuple_of(texts: Sequence[str]) -> str:
    """Returns texts as Python writes them: ("a", "b")."""
    return f"({', '.join(map(quoted, texts))})"
