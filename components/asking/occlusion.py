"""What an answer hangs on: how much less of it there is without a part of the input.

M. D. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, 2014, section 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from components.protocols import Occlusion, Question, Reply

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Of a picture, so many squares along each side.
SQUARES: Final = 7
# Of a longer text, several words at a time are left out.
_MOST_PARTS: Final = 64
_ALL_BUT: Final = ", but none of the answer or in its place"
_WORD: Final = re.compile(r"\s*\S+")

# Where a text may not be changed, from and to a character.
Kept = Sequence[tuple[int, int]]


def of_texts(
    question: Question,
    keys: Sequence[str],
    held: Callable[[Reply], float],
    kept: Mapping[str, Kept] = MappingProxyType({}),
) -> Occlusion:
    """Returns a question about the texts of one row, and without some of the words of one of them each.

    `held` tells how much of the answer a reply holds. In place of words that are kept nothing is left out.
    """
    import numpy as np

    texts = {key: question.inputs[key][0].decode() for key in keys}
    parts = {key: _parts(text) for key, text in texts.items()}
    others = (
        {**texts, key: rest}
        for key in keys
        for rest in _without_one(texts[key], parts[key], kept.get(key, ()))
    )
    rows = [texts, *others]
    inputs = {key: np.array([row[key].encode() for row in rows], object) for key in keys}
    asked = Question(question.signature, inputs, [""] * len(rows))
    how = f"One word at a time was left out, of a long text several{_ALL_BUT if kept else ''}."
    return Occlusion(asked, falls(held), how, parts=parts)


def of_picture(
    pixels: NDArray[np.float32], signature: str, key: str, held: Callable[[Reply], float]
) -> Occlusion:
    """Returns a question about a picture, float32[height, width, …], and without a square of it each."""
    import numpy as np

    rows = np.repeat(pixels[np.newaxis], 1 + SQUARES**2, axis=0)
    down, across = (np.linspace(0, size, SQUARES + 1).round().astype(int) for size in pixels.shape[:2])
    for number in range(SQUARES**2):
        row, column = divmod(number, SQUARES)
        rows[1 + number, down[row] : down[row + 1], across[column] : across[column + 1]] = 0.0
    asked = Question(signature, {key: rows}, [""] * len(rows))
    return Occlusion(asked, falls(held), "A square at a time was made black.")


def falls(held: Callable[[Reply], float]) -> Callable[[Sequence[Reply]], list[float]]:
    """Returns what tells how much less each of the replies but the first one holds than that."""
    return lambda replies: [held(replies[0]) - held(reply) for reply in replies[1:]]


def _parts(text: str) -> list[str]:
    words = _WORD.findall(text)
    size = -(-len(words) // _MOST_PARTS) or 1
    return ["".join(words[start : start + size]) for start in range(0, len(words), size)]


def _without_one(text: str, parts: Sequence[str], kept: Kept) -> Iterator[str]:
    """Yields the text without each of its parts; the whole in place of one that has to be kept."""
    start = 0
    for part in parts:
        end = start + len(part)
        is_kept = any(first < end and start < last for first, last in kept)
        yield text if is_kept else text[:start] + text[end:]
        start = end
