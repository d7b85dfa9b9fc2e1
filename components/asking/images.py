"""Questions about grey images in files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any, ClassVar, cast

from components.asking.classes import class_replies
from components.errors import UserError
from components.features import IMAGE
from components.formats.errors import FormatError
from components.protocols import Given, Preprocessing, Question, Record, Reply, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.protocols import Arrays


class NoTexts(UserError):
    """Texts for a task of images."""


@dataclass(frozen=True)
class ImageAsking:
    """Asks a classifier about PNG files and NumPy arrays."""

    # Height and width; taken from the task's preprocessing.
    image_shape: tuple[int, int] = (28, 28)

    takes = "a .png or .npy file"
    fields: ClassVar[tuple[str, ...]] = ()
    sample = Given()

    def fitted_to(self, source: Source, preprocessing: Preprocessing) -> ImageAsking:
        return replace(self, image_shape=getattr(preprocessing, "image_shape", self.image_shape))

    def questions(self, given: Given) -> Iterator[Question]:
        """Yields a question for each file; raises FormatError, also for a file of rows."""
        if given.rows is not None:
            raise NoTexts(f"--pairs {given.rows}: expected {self.takes}, since the task takes no texts")
        for file in given.inputs:
            signature, inputs = self.read_inputs(Path(file))
            size = len(next(iter(inputs.values())))
            names = [file] if size == 1 else [f"{file}[{i}]" for i in range(size)]
            yield Question(signature, inputs, names)

    def replies(self, question: Question, outputs: Arrays) -> Iterator[Reply]:
        return class_replies(question.names, outputs)

    def written(self, record: Record, stem: Path) -> Given:
        """Writes the image as a PNG: "digit" -> Given(["digit.png"])."""
        import numpy as np
        from PIL import Image

        path = stem.with_suffix(".png")
        pixels = np.frombuffer(cast(bytes, record[IMAGE]), np.uint8).reshape(self.image_shape)
        Image.fromarray(pixels).save(path)
        return Given([str(path)])

    def read_inputs(self, path: Path) -> tuple[str, dict[str, NDArray[Any]]]:
        """Returns the signature and the inputs, by name, that ask about a file.

        "digit.png" -> ("png", {"png_bytes": object[1]});
        "digits.npy", one image or many -> ("classify", {"image": float32[n, height, width]}).

        Raises:
          FormatError: no such file, not an image, or pixels of another shape, type or range.
        """
        if path.suffix.lower() == ".png":
            return "png", {"png_bytes": _read_png(path)}
        if path.suffix.lower() == ".npy":
            return "classify", {IMAGE: _to_pixels(path, _read_npy(path), self.image_shape)}
        raise FormatError(f"{path}: expected a .png or .npy file, got {path.suffix or 'no suffix'}")


def _read_png(path: Path) -> NDArray[Any]:
    """Returns object[1], the file's bytes, once they are known to decode."""
    import numpy as np
    from PIL import Image

    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
    except FileNotFoundError as error:
        raise FormatError(f"{path}: no such file") from error
    # Pillow raises SyntaxError for a broken chunk.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FormatError(f"{path}: expected a PNG image, got: {error}") from error
    return np.array([data], dtype=object)


def _read_npy(path: Path) -> NDArray[Any]:
    import numpy as np

    try:
        # Mapped, so that a header which promises more than the file holds takes no memory.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise FormatError(f"{path}: no such file") from error
    # NumPy parses the header as Python, and lets that parser's errors through.
    except (OSError, ValueError, EOFError, OverflowError, SyntaxError, TokenError) as error:
        raise FormatError(f"{path}: expected a NumPy array, got: {error}") from error
    if not isinstance(array, np.ndarray):
        raise FormatError(f"{path}: expected one NumPy array, got an archive of them")
    return array


def _to_pixels(path: Path, array: NDArray[Any], image_shape: tuple[int, int]) -> NDArray[Any]:
    """Returns float32[n, height, width] in [0, 1] of uint8 or floats, one image or many."""
    import numpy as np

    if array.shape[-2:] != image_shape or array.ndim not in (2, 3) or array.size == 0:
        expected = f"{image_shape} or (n, {image_shape[0]}, {image_shape[1]})"
        raise FormatError(f"{path}: expected shape {expected}, got {array.shape}")
    images = array.reshape(-1, *image_shape)
    if images.dtype == np.uint8:
        return images.astype(np.float32) / 255
    if not np.issubdtype(images.dtype, np.floating):
        raise FormatError(f"{path}: expected uint8 or floating-point pixels, got {images.dtype}")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise FormatError(f"{path}: expected pixels in [0, 1], got {low:g} to {high:g}")
    return images.astype(np.float32)
