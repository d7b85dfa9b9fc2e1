"""Questions about images in files."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from components.asking.classes import class_replies, label_names, probability_of
from components.asking.occlusion import of_picture
from components.errors import UserError
from components.features import IMAGE
from components.formats.errors import FormatError, unreadable
from components.formats.idx import times
from components.protocols import (
    Entry,
    Fields,
    Given,
    Occlusion,
    Preprocessing,
    Question,
    Record,
    Reply,
    Source,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from components.protocols import Arrays


_logger = logging.getLogger(__name__)

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_FORMATS: Final = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_KINDS: Final = {
    _PNG: "a PNG image", _JPEG: "a JPEG image", b"GIF8": "a GIF image", b"\x93NUMPY": "a NumPy array"
}  # fmt: skip
# How much more an image may be stretched in one direction than in the other.
_MAX_STRETCH: Final = 2.0
# The mean grey of an image that is dark on white, in [0, 255].
_BRIGHT: Final = 128
_NOT_INVERTED: Final = "mostly bright, and not inverted"


class NoTexts(UserError):
    """Texts for a task of images."""


@dataclass(frozen=True)
class ImageAsking:
    """Asks a classifier about PNG and JPEG files and NumPy arrays."""

    # Height and width, and 3 of coloured images; both are taken from the task.
    image_shape: tuple[int, ...] = (28, 28)
    source: Source | None = None

    takes = "a .png, .jpg or .npy file"
    entry = Entry("drawing", (".png", ".jpg", ".jpeg", ".npy"))
    fields: ClassVar[Fields] = {}
    sample = Given()

    def fitted_to(self, source: Source, preprocessing: Preprocessing) -> ImageAsking:
        shape = getattr(preprocessing, "image_shape", self.image_shape)
        return replace(self, image_shape=shape, source=source)

    def questions(self, given: Given) -> Iterator[Question]:
        """Yields a question for each file; raises FormatError, also for texts and for a file of rows."""
        others = [f"--text {text}" for text in given.texts]
        for other in [*others, *([f"--pairs {given.rows}"] if given.rows else [])]:
            raise NoTexts(f"{other}: expected {self.takes}, since the task takes no texts")
        for file in given.inputs:
            signature, inputs = self.read_inputs(Path(file))
            size = len(next(iter(inputs.values())))
            names = [file] if size == 1 else [f"{file}[{i}]" for i in range(size)]
            yield Question(signature, inputs, names)

    def replies(self, question: Question, outputs: Arrays) -> Iterator[Reply]:
        return class_replies(question.names, outputs, label_names(self.source))

    def occluded(self, question: Question, reply: Reply) -> Occlusion:
        """Returns the image as the model sees it, and with squares of it turned black."""
        pixels = self._pixels(question)
        return of_picture(pixels, "classify", IMAGE, probability_of(reply))._replace(picture=_png(pixels))

    def _pixels(self, question: Question) -> NDArray[np.float32]:
        import numpy as np
        from PIL import Image

        if IMAGE in question.inputs:
            return np.asarray(question.inputs[IMAGE][0], np.float32)
        height, width = self.image_shape[:2]
        with Image.open(io.BytesIO(question.inputs["png_bytes"][0])) as image:
            mode = "RGB" if self.image_shape[2:] else "L"
            resized = image.convert(mode).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(resized, np.float32) / 255

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

        A PNG or JPEG file may be of any size and in colours: the model makes it grey, unless it is trained on
        colours, without what is transparent about it, and of its own size, which one line on stderr tells. An
        array has to be as the model takes it. Neither is inverted, and that a grey one is mostly bright is
        told, too.

        Raises:
          FormatError: no such file, not one image, bytes behind it, a shape that is twice as long or wide as
            the task's, or, in an array, pixels of another shape, type or range.
        """
        if path.is_dir():
            raise FormatError(f"{path}: expected {self.takes}, got a folder")
        if path.suffix.lower() in _FORMATS:
            return "png", {"png_bytes": _read_image(path, self.image_shape)}
        if path.suffix.lower() == ".npy":
            pixels = _to_pixels(path, _read_npy(path), self.image_shape)
            if _is_grey(self.image_shape) and 255 * pixels.mean() > _BRIGHT:
                _logger.warning("%s: %s", path, _NOT_INVERTED)
            return "classify", {IMAGE: pixels}
        raise FormatError(f"{path}: expected {self.takes}, got {path.suffix or 'no suffix'}")


def _png(pixels: NDArray[np.float32]) -> bytes:
    import numpy as np
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray((255 * pixels).round().astype(np.uint8)).save(written, "PNG")
    return written.getvalue()


def _is_grey(image_shape: tuple[int, ...]) -> bool:
    return not image_shape[2:]


def _read_image(path: Path, image_shape: tuple[int, ...]) -> NDArray[Any]:
    """Returns object[1], the file's bytes, once they are known to decode; tells what is made of them."""
    import numpy as np

    data, kind = _read_bytes(path), _FORMATS[path.suffix.lower()]
    if not data.startswith({"PNG": _PNG, "JPEG": _JPEG}[kind]):
        raise FormatError(f"{path}: expected a {kind} image, got: {_kind(data)}")
    image = _decoded(path, data, kind)
    if kind == "PNG" and (excess := len(data) - _png_bytes(data)):
        raise FormatError(f"{path}: expected one PNG image, got {excess} bytes behind it")
    _check_image(path, image, image_shape)
    if converted := ", ".join(_conversions(image, image_shape)):
        _logger.warning("%s: %s", path, converted)
    return np.array([data], dtype=object)


def _decoded(path: Path, data: bytes, kind: str) -> Image.Image:
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data), formats=[kind])
        image.load()
    # Pillow raises SyntaxError for a broken chunk.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FormatError(f"{path}: expected a {kind} image, got: {error}") from error
    return image


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        if not os.path.lexists(path):
            raise FormatError(f"{path}: no such file") from error
        raise unreadable(path, error) from error


def _kind(data: bytes) -> str:
    """Returns what a file is that is not what its name says, as far as its first bytes tell."""
    known = (kind for start, kind in _KINDS.items() if data.startswith(start))
    return next(known, f"a file that begins with {data[:8]!r}" if data else "an empty file")


def _check_image(path: Path, image: Image.Image, image_shape: tuple[int, ...]) -> None:
    """Raises FormatError for several images, and for one that would be distorted beyond recognition."""
    count = getattr(image, "n_frames", 1)
    if count > 1:
        raise FormatError(f"{path}: expected one image, got {count}")
    (width, height), (to_height, to_width) = image.size, image_shape[:2]
    stretch = (width * to_height) / (height * to_width)
    if not 1 / _MAX_STRETCH <= stretch <= _MAX_STRETCH:
        expected = f"an image of about the shape of {to_width}×{to_height} (width × height)"
        raise FormatError(f"{path}: expected {expected}, got {width}×{height}")


def _conversions(image: Image.Image, image_shape: tuple[int, ...]) -> Iterator[str]:
    """Yields what the model will do to an image, and what it will not do."""
    import numpy as np

    size, is_grey = image_shape[1::-1], _is_grey(image_shape)
    if image.size != size:
        yield f"resized from {times(image.size)} to {times(size)}"
    if is_grey and image.mode not in ("1", "L", "LA", "I", "I;16"):
        yield "colour turned to grey"
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        yield "transparency left out"
    if image.mode in ("I", "I;16"):
        yield "16 bits cut to 8"
    elif is_grey and np.asarray(image.convert("L")).mean() > _BRIGHT:
        yield _NOT_INVERTED


def _png_bytes(data: bytes) -> int:
    """Returns where a PNG image that could be read ends: behind the chunk IEND (RFC 2083, 3.2)."""
    position = len(_PNG)
    while data[position + 4 : position + 8] not in (b"IEND", b""):
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return position + 12


def _read_npy(path: Path) -> NDArray[Any]:
    import numpy as np

    if not path.exists():
        _read_bytes(path)
    try:
        # Mapped, so that a header which promises more than the file holds takes no memory.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    # NumPy parses the header as Python, and lets that parser's errors through.
    except (OSError, ValueError, EOFError, OverflowError, SyntaxError, TokenError) as error:
        raise FormatError(f"{path}: expected a NumPy array, got: {error}") from error
    if not isinstance(array, np.memmap):
        raise FormatError(f"{path}: expected one NumPy array, got an archive of them")
    if excess := path.stat().st_size - array.offset - array.nbytes:
        raise FormatError(f"{path}: expected one NumPy array, got {excess} bytes behind it")
    return array


def _to_pixels(path: Path, array: NDArray[Any], image_shape: tuple[int, ...]) -> NDArray[Any]:
    """Returns float32[n, height, width, …] in [0, 1] of uint8 or floats, one image or many."""
    import numpy as np

    rank = len(image_shape)
    if array.shape[-rank:] != image_shape or array.ndim not in (rank, rank + 1) or array.size == 0:
        expected = f"{image_shape} or (n, {', '.join(map(str, image_shape))})"
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
