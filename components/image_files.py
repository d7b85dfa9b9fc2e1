"""Encoded images to pixels: the same operations where files train a model and where one is asked about."""

from __future__ import annotations

from typing import Any, Final

from components.image_shape import channels_of

SUFFIXES: Final = (".png", ".jpg", ".jpeg")


def decoded(content: Any, shape: tuple[int, ...]) -> Any:
    """Returns uint8 of a shape, [height, width] or [height, width, 3], of the bytes of a PNG or JPEG file.

    The image is made grey or coloured, without what is transparent about it, and of that size: each pixel is
    the mean of the area that it covers. Runs in a graph, too. Raises TensorFlow's InvalidArgumentError.
    """
    import tensorflow as tf

    # The operation for PNG takes JPEG as well.
    image = tf.io.decode_png(content, channels=channels_of(shape))
    resized = tf.image.resize(image, shape[:2], method="area")
    return tf.reshape(tf.cast(tf.round(resized), tf.uint8), shape)
