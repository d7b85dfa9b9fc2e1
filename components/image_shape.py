"""The shape of images, as sources, preprocessing and models declare it."""

from __future__ import annotations

from typing import Annotated, Final

import pydantic
from pydantic import Field, PositiveInt

_COLOURS: Final = 3


def channels_of(shape: tuple[int, ...]) -> int:
    """Returns how many numbers a pixel has: (28, 28) -> 1, (64, 64, 3) -> 3."""
    return shape[2] if shape[2:] else 1


def _grey_or_coloured(shape: tuple[int, ...]) -> tuple[int, ...]:
    if channels_of(shape) not in (1, _COLOURS) or shape[2:] == (1,):
        raise ValueError(f"expected [height, width] or [height, width, {_COLOURS}], got {[*shape]}")
    return shape


# Height and width of grey images; and 3 of coloured ones, for red, green and blue.
ImageShape = Annotated[
    tuple[PositiveInt, ...], Field(min_length=2, max_length=3), pydantic.AfterValidator(_grey_or_coloured)
]
