"""Real digits that need no network."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from components.formats.idx import write_idx

_NUM_TRAIN_DIGITS: Final = 1437


def make_digits(out_dir: Path) -> None:
    """Writes scikit-learn's 1,797 handwritten digits as MNIST's four files: 1,437 for training, 360 for t10k.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998). The digits are
    8×8 with values from 0 to 16; here 28×28, from 0 to 255.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    # RandomState's numbers are the same in every version of NumPy.
    order = np.random.RandomState(0).permutation(len(digits.images))
    images = np.stack([_enlarge(digits.images[i]) for i in order])
    labels = digits.target[order].astype(np.uint8)
    for prefix, part in (
        ("train", slice(_NUM_TRAIN_DIGITS)),
        ("t10k", slice(_NUM_TRAIN_DIGITS, None)),
    ):
        write_idx(out_dir / f"{prefix}-images-idx3-ubyte.gz", images[part])
        write_idx(out_dir / f"{prefix}-labels-idx1-ubyte.gz", labels[part])


def _enlarge(digit: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Returns uint8[28, 28] from float[8, 8] of 0 to 16, smoothly."""
    from PIL import Image

    grey = Image.fromarray(np.round(digit * (255 / 16)).astype(np.uint8))
    return np.asarray(grey.resize((28, 28), Image.Resampling.BICUBIC))
