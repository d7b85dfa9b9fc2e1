"""The convolutional network for 28×28 digits, and other small images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pydantic import Field, PositiveInt

from components.config import Config
from components.features import IMAGE, Feature
from components.image_shape import ImageShape, channels_of
from components.models.classification import SparseClassification

if TYPE_CHECKING:
    import keras


# Halved twice, something is left.
_SMALLEST: Final = 4


class MnistCnn(SparseClassification, Config):
    """Two 5×5 convolutions with pooling, a dense layer with dropout: about 99.2% on MNIST's test set."""

    image_shape: ImageShape = Field((28, 28), description="Height, width and, of coloured images, 3.")
    num_classes: int = Field(10, ge=2, description="How many classes there are.")
    filters: tuple[PositiveInt, PositiveInt] = Field((32, 64), description="Filters of the two convolutions.")
    hidden_dim: int = Field(1024, ge=1, description="Units of the dense layer.")
    dropout_rate: float = Field(0.4, ge=0, lt=1, description="Of the dense layer.")

    def check_features(self, features: Mapping[str, Feature]) -> None:
        """Raises ValueError also for images that two poolings leave nothing of."""
        super().check_features(features)
        if min(self.image_shape[:2]) < _SMALLEST:
            raise ValueError(
                f"model.image_shape: expected at least {_SMALLEST} each way, got {list(self.image_shape)}"
            )

    def build(self) -> keras.Model:
        """Returns a model: {"image": float32[batch, height, width]} -> logits [batch, num_classes].

        Of coloured images: float32[batch, height, width, 3].
        """
        import keras
        from keras import layers

        image = keras.Input(self.image_shape, name=IMAGE)
        x = layers.Reshape((*self.image_shape[:2], channels_of(self.image_shape)))(image)
        for filters in self.filters:
            x = layers.Conv2D(filters, 5, padding="same", activation="relu")(x)
            x = layers.MaxPooling2D(2)(x)
        x = layers.Flatten()(x)
        x = layers.Dense(self.hidden_dim, activation="relu")(x)
        x = layers.Dropout(self.dropout_rate)(x)
        # Logits in float32: a softmax over float16 loses small probabilities.
        logits = layers.Dense(self.num_classes, dtype="float32", name="logits")(x)
        return keras.Model({IMAGE: image}, logits, name="mnist_cnn")
