"""What an answer hangs on: how much less probable it is without a part of the input.

M. D. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, 2014, section 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from components.protocols import Occlusion, Question, Reply

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Of a picture, so many squares along each side.
SQUARES: Final = 7
# Of a longer text, several words at a time are left out.
_MOST_PARTS: Final = 64
_WORD: Final = re.compile(r"\s*\S+")


def of_texts(question: Question, keys: Sequence[str]) -> Occlusion:
    """Returns a question about the texts of one row, and without some of the words of one of them each."""
    import numpy as np

    texts = {key: question.inputs[key][0].decode() for key in keys}
    cut = {key: _parts(text) for key, text in texts.items()}
    rows = [texts, *({**texts, key: rest} for key in keys for rest in _without_one(cut[key]))]
    inputs = {key: np.array([row[key].encode() for row in rows], object) for key in keys}
    parts = [part for key in keys for part in cut[key]]
    return Occlusion(Question(question.signature, inputs, [""] * len(rows)), parts)


def of_picture(pixels: NDArray[np.float32], signature: str, key: str) -> Occlusion:
    """Returns a question about a picture, float32[height, width, …], and without a square of it each."""
    import numpy as np

    rows = np.repeat(pixels[np.newaxis], 1 + SQUARES**2, axis=0)
    down, across = (np.linspace(0, size, SQUARES + 1).round().astype(int) for size in pixels.shape[:2])
    for number in range(SQUARES**2):
        row, column = divmod(number, SQUARES)
        rows[1 + number, down[row] : down[row + 1], across[column] : across[column + 1]] = 0.0
    return Occlusion(Question(signature, {key: rows}, [""] * len(rows)), ())


def drops(replies: Sequence[Reply]) -> list[float]:
    """Returns how much less probable the first reply's prediction is in each of the others; in [-1, 1]."""
    whole, *others = (reply.values for reply in replies)
    prediction, probability = whole["prediction"], whole["probability"]
    return [probability - other["probabilities"].get(prediction, 0.0) for other in others]


def _parts(text: str) -> list[str]:
    words = _WORD.findall(text)
    size = -(-len(words) // _MOST_PARTS) or 1
    return ["".join(words[start : start + size]) for start in range(0, len(words), size)]


def _without_one(parts: Sequence[str]) -> Iterator[str]:
    return ("".join([*parts[:left], *parts[left + 1 :]]) for left in range(len(parts)))
