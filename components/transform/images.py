"""Grey-scale images: raw bytes to pixels in [0, 1]."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

from components.config import Config
from components.features import IMAGE, LABEL
from components.formats.errors import FormatError
from components.protocols import Model, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ImageScaling(Config):
    """Turns the raw bytes of uint8 images into float32 pixels in [0, 1]."""

    image_shape: tuple[int, int] = (28, 28)

    def preprocessing_fn(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns image float32[batch, height, width] and, where given, label int64[batch]."""
        import tensorflow as tf

        pixels = tf.reshape(tf.io.decode_raw(inputs[IMAGE], tf.uint8), (-1, *self.image_shape))
        features = {IMAGE: tf.cast(pixels, tf.float32) / 255.0}
        if LABEL in inputs:
            features[LABEL] = inputs[LABEL]
        return features

    def requests(self) -> dict[str, Request]:
        """Returns `classify` (pixels in [0, 1]) and `png` (encoded PNG files of any size)."""
        import tensorflow as tf

        return {
            "classify": Request(
                {IMAGE: tf.TensorSpec((None, *self.image_shape), tf.float32, name=IMAGE)},
                self._pixels_to_raw,
                lambda raw: {IMAGE: self.preprocessing_fn(raw)[IMAGE]},
            ),
            "png": Request(
                {"png_bytes": tf.TensorSpec((None,), tf.string, name="png_bytes")},
                self._png_to_raw,
                self._raw_to_png,
            ),
        }

    def fitted_to(self, model: Model) -> ImageScaling:
        return self

    def render(self, raw: Mapping[str, Any]) -> str:
        """Returns the image as an HTML `img`: {"image": bytes} -> '<img src="data:image/png;base64,…">'."""
        import numpy as np
        from PIL import Image

        pixels = np.frombuffer(raw[IMAGE], np.uint8).reshape(self.image_shape)
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}">'

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

    def _pixels_to_raw(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        import tensorflow as tf

        pixels = tf.clip_by_value(tf.round(inputs[IMAGE] * 255.0), 0.0, 255.0)
        return {IMAGE: _to_bytes(tf.cast(pixels, tf.uint8))}

    def _png_to_raw(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        import tensorflow as tf

        def decode(png: Any) -> Any:
            image = tf.io.decode_png(png, channels=1)
            resized = tf.image.resize(image, self.image_shape, method="area")
            return tf.ensure_shape(tf.cast(tf.round(resized), tf.uint8)[..., 0], self.image_shape)

        return {IMAGE: _to_bytes(tf.map_fn(decode, inputs["png_bytes"], fn_output_signature=tf.uint8))}

    def _raw_to_png(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        import tensorflow as tf

        pixels = tf.reshape(tf.io.decode_raw(raw[IMAGE], tf.uint8), (-1, *self.image_shape, 1))
        return {"png_bytes": tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.string)}


def _to_bytes(pixels: Any) -> Any:
    """Returns the raw bytes of each image: uint8[batch, height, width] -> string[batch].

    TensorFlow has `decode_raw` but no inverse; a table of the 256 one-byte strings is one.
    """
    import tensorflow as tf

    table = tf.constant([bytes([value]) for value in range(256)])
    # The axis that is named first is joined first: columns into rows, then rows into images.
    return tf.strings.reduce_join(tf.gather(table, tf.cast(pixels, tf.int32)), axis=[2, 1])


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
