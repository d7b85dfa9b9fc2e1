"""BERT with one number on its pooled output: a score of a text, or of a pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pydantic
from pydantic import Field

from components.features import EXAMPLE_WEIGHT, LABEL, Feature
from components.metrics.regression import SCORE, pearson
from components.models.bert.encoder import POOLED_OUTPUT
from components.models.bert.fine_tuning import BertFineTuning
from components.protocols import StreamingMetric

if TYPE_CHECKING:
    import keras


class BertRegressor(BertFineTuning):
    """An encoder, dropout and a dense layer of one unit, whose 0 is the middle of the range of scores.

    Its -0.5 and 0.5 are the ends, so that random weights begin with no answer that is cut off there.
    """

    score_range: tuple[float, float] = Field((0.0, 1.0), description="Lowest and highest score.")
    dropout_rate: float = Field(0.1, ge=0, lt=1, description="Of the pooled output.")

    loss_terms: ClassVar[tuple[str, ...]] = ("squared_error",)

    @pydantic.model_validator(mode="after")
    def _is_a_range(self) -> BertRegressor:
        if not self.score_range[0] < self.score_range[1]:
            raise ValueError(f"score_range: expected a lower and a higher score, got {[*self.score_range]}")
        return self

    def build(self) -> keras.Model:
        """Returns a model: int32[batch, length] of build_encoder -> float32[batch, 1]."""
        import keras
        from keras import layers

        from components.models.bert.layers import initializer

        encoder = self.build_encoder()
        pooled = layers.Dropout(self.dropout_rate, name="pooled_dropout")(encoder.output[POOLED_OUTPUT])
        kernel = initializer(self.encoder_config)
        score = layers.Dense(1, kernel_initializer=kernel, dtype="float32", name=SCORE)(pooled)
        return keras.Model(encoder.input, score, name="bert_regressor")

    def check_features(self, features: Mapping[str, Feature]) -> None:
        """Raises ValueError unless labels are numbers."""
        if features[LABEL].dtype != "float32":
            raise ValueError("model: expected a source of scores, source.score_range, got one of classes")

    def loss_weights(self, features: Mapping[str, Any]) -> dict[str, Any]:
        return {"squared_error": features[EXAMPLE_WEIGHT]}

    def losses(self, features: Mapping[str, Any], outputs: Any) -> dict[str, Any]:
        """Returns the squared error of each example, in units of the range."""
        from keras import ops

        return {"squared_error": ops.square(self._centred(features) - ops.cast(outputs, "float32")[:, 0])}

    def metrics(self) -> dict[str, StreamingMetric]:
        """Returns the correlation of scores and answers."""
        return {"pearson": StreamingMetric(self._moments, pearson)}

    def answers(self, outputs: Any, features: Mapping[str, Feature]) -> dict[str, Any]:
        """Returns score float32[batch], within the range."""
        from keras import ops

        low, high = self.score_range
        scores = low + (high - low) * (0.5 + ops.cast(outputs, "float32")[:, 0])
        return {SCORE: ops.clip(scores, low, high)}

    def _moments(self, features: Mapping[str, Any], outputs: Any) -> Any:
        """Returns float32[6], weighted sums of 1, x, y, x², y² and xy of scores and outputs."""
        from keras import ops

        x, y = self._centred(features), ops.cast(outputs, "float32")[:, 0]
        terms = ops.stack([ops.ones_like(x), x, y, x * x, y * y, x * y])
        return ops.matmul(terms, ops.cast(features[EXAMPLE_WEIGHT], "float32"))

    def _centred(self, features: Mapping[str, Any]) -> Any:
        from keras import ops

        low, high = self.score_range
        return (ops.cast(features[LABEL], "float32") - low) / (high - low) - 0.5
