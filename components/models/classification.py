"""What classifiers share: cross-entropy on logits, metrics of the confusion matrix, and the served answer."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from components.features import EXAMPLE_WEIGHT, LABEL, Feature
from components.metrics.confusion import accuracy, f1, matthews_corrcoef
from components.protocols import StreamingMetric

if TYPE_CHECKING:
    import keras


class SparseClassification:
    """Mixin for a model config whose Keras model gives logits [batch, num_classes]; labels int64[batch]."""

    loss_terms: ClassVar[tuple[str, ...]] = ("cross_entropy",)
    if TYPE_CHECKING:
        # A field of the config; a declaration at run time would become another one.
        num_classes: int

    @property
    def pretrained(self) -> bool:
        return False

    def check_features(self, features: Mapping[str, Feature]) -> None:
        """Raises ValueError where there are more labels than classes."""
        highest = features[LABEL].maximum
        if highest is not None and self.num_classes <= highest:
            raise ValueError(
                f"model.num_classes: expected at least {highest + 1}, the labels, got {self.num_classes}"
            )

    def initialize(self, keras_model: keras.Model) -> None:
        pass

    def save_weights(self, keras_model: keras.Model, export_dir: str) -> None:
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
        """Returns accuracy, Matthews correlation and, of two classes, F1 of class 1."""
        counts = functools.partial(_confusion, self.num_classes)
        metrics = {
            "accuracy": StreamingMetric(counts, _of_sums(accuracy)),
            "matthews_corrcoef": StreamingMetric(counts, _of_sums(matthews_corrcoef)),
        }
        return metrics | ({"f1": StreamingMetric(counts, _of_sums(f1))} if self.num_classes == 2 else {})

    def answers(self, outputs: Any, features: Mapping[str, Feature]) -> dict[str, Any]:
        """Returns classes int64[batch], probabilities float32[batch, num_classes] and, of names, labels."""
        import tensorflow as tf
        from keras import ops

        logits = ops.cast(outputs, "float32")
        answers = {
            "classes": ops.cast(ops.argmax(logits, axis=-1), "int64"),
            "probabilities": ops.softmax(logits, axis=-1),
        }
        if names := features[LABEL].names:
            answers["labels"] = tf.gather(tf.constant(names), answers["classes"])
        return answers


def _confusion(num_classes: int, features: Mapping[str, Any], outputs: Any) -> Any:
    """Returns the weights of the examples by label and answer: float32[num_classes²], label by label."""
    from keras import ops

    labels = ops.one_hot(features[LABEL], num_classes, dtype="float32")
    answers = ops.one_hot(ops.argmax(outputs, axis=-1), num_classes, dtype="float32")
    weighted = labels * features[EXAMPLE_WEIGHT][:, None]
    return ops.reshape(ops.matmul(ops.transpose(weighted), answers), (-1,))


def _of_sums(metric: Callable[[Any], float]) -> Callable[[Any], float]:
    """Returns a metric of counts[actual, answered] as one of the flat sums."""

    def of_sums(sums: Any) -> float:
        size = math.isqrt(len(sums))
        return metric(sums.reshape(size, size))

    return of_sums
