"""Made images, which stand in for people's own where a model is to be warmed up."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

# Of which an image consists, each of at most so many periods along an axis.
_NUM_WAVES: Final = 4
_MAX_PERIODS: Final = 2.0


def smooth_image(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Returns uint8 of a shape, [height, width] or [height, width, 3].

    Each colour is the mean of some waves of random direction, length and phase.
    """
    if shape[2:]:
        return np.stack([smooth_image(generator, shape[:2]) for _ in range(shape[2])], axis=-1)
    y, x = np.meshgrid(*(np.linspace(0, 1, size) for size in shape), indexing="ij")
    periods = generator.uniform(-_MAX_PERIODS, _MAX_PERIODS, (_NUM_WAVES, 2))
    phases = generator.uniform(0, 1, _NUM_WAVES)
    waves = [
        np.cos(2 * np.pi * (down * y + right * x + phase))
        for (down, right), phase in zip(periods, phases, strict=True)
    ]
    return np.rint(255 * (np.mean(waves, axis=0) + 1) / 2).astype(np.uint8)
