"""BERT with a classifier on its pooled output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from components.models.bert.encoder import POOLED_OUTPUT
from components.models.bert.fine_tuning import BertFineTuning
from components.models.classification import SparseClassification

if TYPE_CHECKING:
    import keras


class BertClassifier(BertFineTuning, SparseClassification):
    """An encoder, dropout and a dense layer."""

    num_classes: int = Field(2, ge=2, description="How many classes there are.")
    dropout_rate: float = Field(0.1, ge=0, lt=1, description="Of the pooled output.")

    def build(self) -> keras.Model:
        """Returns a model: int32[batch, length] of build_encoder -> logits float32[batch, num_classes]."""
        import keras
        from keras import layers

        from components.models.bert.layers import initializer

        encoder = self.build_encoder()
        pooled = layers.Dropout(self.dropout_rate, name="pooled_dropout")(encoder.output[POOLED_OUTPUT])
        # Logits in float32: a softmax over float16 loses small probabilities.
        logits = layers.Dense(
            self.num_classes,
            kernel_initializer=initializer(self.encoder_config),
            dtype="float32",
            name="logits",
        )(pooled)
        return keras.Model(encoder.input, logits, name="bert_classifier")
