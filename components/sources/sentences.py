"""Made sentences, which stand in for people's own where a model is to be warmed up."""

from __future__ import annotations

import random
from typing import Final

_WORDS: Final = (
    *("the", "a", "her", "his", "every", "no", "this", "old", "quiet", "green", "seven", "many"),
    *("teacher", "river", "house", "letter", "garden", "winter", "children", "bridge", "music", "question"),
    *("sees", "answered", "carries", "is", "was", "knows", "finds", "opened", "never", "often", "because"),
    *("and", "but", "that", "of", "in", "under", "without", "slowly", "unbelievable", "understanding"),
)
# Short and long sentences are equally many.
_LENGTHS: Final = (1, 3, 6, 12, 24, 48)


def made_sentence(generator: random.Random) -> str:
    """Returns a sentence of 1 to 48 English words without a meaning: "Winter of slowly no."."""
    words = [generator.choice(_WORDS) for _ in range(generator.choice(_LENGTHS))]
    return f"{' '.join(words).capitalize()}."
