"""What classifiers share: cross-entropy on logits, accuracy, and the served answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from components.features import EXAMPLE_WEIGHT, LABEL
from components.task import StreamingMetric

if TYPE_CHECKING:
    import keras


class SparseClassification:
    """Mixin for a model config whose Keras model gives logits [batch, num_classes]; labels int64[batch]."""

    loss_terms: ClassVar[tuple[str, ...]] = ("cross_entropy",)

    def initialize(self, keras_model: keras.Model) -> None:
        pass

    def learning_rate_multipliers(self, keras_model: keras.Model) -> dict[str, float]:
        return {}

    def loss_weights(self, features: Mapping[str, Any]) -> dict[str, Any]:
        return {"cross_entropy": features[EXAMPLE_WEIGHT]}

    def losses(self, features: Mapping[str, Any], outputs: Any) -> dict[str, Any]:
        """Returns the cross-entropy of each example, computed in float32 whatever the model's dtype."""
        from keras import ops

        logits = ops.cast(outputs, "float32")
        losses = ops.sparse_categorical_crossentropy(features[LABEL], logits, from_logits=True)
        return {"cross_entropy": losses}

    def metrics(self) -> dict[str, StreamingMetric]:
        return {"accuracy": StreamingMetric(_count_correct, _ratio)}

    def predictions(self, outputs: Any) -> dict[str, Any]:
        """Returns classes int64[batch] and probabilities float32[batch, num_classes]."""
        from keras import ops

        logits = ops.cast(outputs, "float32")
        return {
            "classes": ops.cast(ops.argmax(logits, axis=-1), "int64"),
            "probabilities": ops.softmax(logits, axis=-1),
        }


def _count_correct(features: Mapping[str, Any], outputs: Any) -> Any:
    from keras import ops

    weights = features[EXAMPLE_WEIGHT]
    correct = ops.cast(ops.argmax(outputs, axis=-1), "int64") == ops.cast(features[LABEL], "int64")
    return ops.stack([ops.sum(weights * ops.cast(correct, "float32")), ops.sum(weights)])


def _ratio(sums: Any) -> float:
    return float(sums[0] / sums[1]) if sums[1] else float("nan")
