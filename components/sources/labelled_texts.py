"""What sources of labelled texts, or pairs of them, have in common."""

from __future__ import annotations

import random
from collections.abc import Sequence

from components.features import LABEL, LENGTH, Feature
from components.protocols import Record
from components.sources.sentences import made_sentence


def features(texts: Sequence[str], labels: Sequence[str], slices: Sequence[str] = ()) -> dict[str, Feature]:
    """Returns the texts, label, and for slices alone: length and others. Without names, labels are numbers.

    `length` is the range of the number of characters of all texts, which means the same in every language:
    "1-32", "33-64", "65-128", "129-256", "257-512" or "513+".
    """
    classes = Feature(
        dtype="int64",
        minimum=0,
        maximum=len(labels) - 1,
        categorical=True,
        names=tuple(labels),
        served=False,
    )
    return {
        **{key: Feature(dtype="bytes") for key in texts},
        LABEL: classes if labels else Feature(dtype="float32", served=False),
        **{key: Feature(dtype="bytes", served=False) for key in (LENGTH, *slices)},
    }


def sample(texts: Sequence[str], count: int, seed: int) -> list[Record]:
    """Returns records of made sentences; the same for the same seed."""
    generator = random.Random(seed)
    return [{key: made_sentence(generator).encode() for key in texts} for _ in range(count)]
