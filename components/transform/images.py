"""Grey-scale images: raw bytes to pixels in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import PositiveInt

from components.config import Config
from components.features import IMAGE, LABEL
from components.protocols import Model, Request


class ImageScaling(Config):
    """Turns the raw bytes of uint8 images into float32 pixels in [0, 1]."""

    image_shape: tuple[PositiveInt, PositiveInt] = (28, 28)

    materialized: ClassVar[bool] = True

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
