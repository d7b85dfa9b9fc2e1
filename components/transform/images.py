"""Images, grey or coloured: raw bytes to pixels in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from components.config import Config
from components.features import IMAGE, LABEL
from components.image_files import decoded
from components.image_shape import ImageShape, channels_of
from components.protocols import Model, Request


class ImageScaling(Config):
    """Turns the raw bytes of uint8 images into float32 pixels in [0, 1]."""

    image_shape: ImageShape = Field((28, 28), description="Height, width and, of coloured images, 3.")

    materialized: ClassVar[bool] = True

    def preprocessing_fn(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns image float32[batch, height, width] or [… width, 3] and, if given, label int64[batch]."""
        import tensorflow as tf

        pixels = tf.reshape(tf.io.decode_raw(inputs[IMAGE], tf.uint8), (-1, *self.image_shape))
        features = {IMAGE: tf.cast(pixels, tf.float32) / 255.0}
        if LABEL in inputs:
            features[LABEL] = inputs[LABEL]
        return features

    def requests(self) -> dict[str, Request]:
        """Returns `classify` (pixels in [0, 1]) and `png` (encoded PNG or JPEG files of any size)."""
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

        images = tf.map_fn(
            lambda file: decoded(file, self.image_shape), inputs["png_bytes"], fn_output_signature=tf.uint8
        )
        return {IMAGE: _to_bytes(tf.ensure_shape(images, (None, *self.image_shape)))}

    def _raw_to_png(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        import tensorflow as tf

        shape = (-1, *self.image_shape[:2], channels_of(self.image_shape))
        pixels = tf.reshape(tf.io.decode_raw(raw[IMAGE], tf.uint8), shape)
        return {"png_bytes": tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.string)}


def _to_bytes(pixels: Any) -> Any:
    """Returns the raw bytes of each image: uint8[batch, height, width, …] -> string[batch].

    TensorFlow has `decode_raw` but no inverse; a table of the 256 one-byte strings is one.
    """
    import tensorflow as tf

    table = tf.constant([bytes([value]) for value in range(256)])
    # The axis that is named first is joined first: colours into columns, these into rows, rows into images.
    axes = [*range(1, len(pixels.shape))]
    return tf.strings.reduce_join(tf.gather(table, tf.cast(pixels, tf.int32)), axis=axes[::-1])
