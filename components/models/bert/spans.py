"""BERT that says where in its input an answer starts and where it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from components.features import (
    ANSWER_STARTS,
    ANSWERS,
    END_POSITIONS,
    EXAMPLE_WEIGHT,
    START_POSITIONS,
    Feature,
)
from components.models.bert.encoder import SEQUENCE_OUTPUT
from components.models.bert.fine_tuning import BertFineTuning
from components.models.errors import ModelError
from components.protocols import StreamingMetric

if TYPE_CHECKING:
    import keras


class BertSpans(BertFineTuning):
    """An encoder and a dense layer on each token; its loss is the mean of the start's and the end's.

    J. Devlin et al. (arxiv.org/abs/1810.04805), section 4.2. Where a window has no answer, both are at [CLS].
    """

    loss_terms: ClassVar[tuple[str, ...]] = ("span",)

    def build(self) -> keras.Model:
        """Returns a model: int32[batch, length] of build_encoder -> logits float32[batch, length, 2]."""
        import keras
        from keras import layers

        from components.models.bert.layers import initializer

        encoder = self.build_encoder()
        logits = layers.Dense(
            2, kernel_initializer=initializer(self.encoder_config), dtype="float32", name="logits"
        )(encoder.output[SEQUENCE_OUTPUT])
        return keras.Model(encoder.input, logits, name="bert_spans")

    def check_features(self, features: Mapping[str, Feature]) -> None:
        """Raises ValueError where there is no answer to learn from."""
        for key in (ANSWERS, ANSWER_STARTS):
            if key not in features:
                raise ValueError(f"model: expected the raw feature {key!r}, got {', '.join(features)}")

    def loss_weights(self, features: Mapping[str, Any]) -> dict[str, Any]:
        return {"span": features[EXAMPLE_WEIGHT]}

    def losses(self, features: Mapping[str, Any], outputs: Any) -> dict[str, Any]:
        """Returns the mean cross-entropy of start and end over all tokens of each window."""
        from keras import ops

        logits = ops.cast(outputs, "float32")
        start, end = (
            ops.sparse_categorical_crossentropy(features[key], logits[..., place], from_logits=True)
            for place, key in enumerate((START_POSITIONS, END_POSITIONS))
        )
        return {"span": (start + end) / 2}

    def metrics(self) -> dict[str, StreamingMetric]:
        """Returns the share of windows whose start and end are both found."""
        return {"window_exact": StreamingMetric(_exact, lambda sums: float(sums[0] / sums[1]))}

    def answers(self, outputs: Any, features: Mapping[str, Feature]) -> dict[str, Any]:
        raise ModelError("windowing: expected Spans, which answer for the whole context, got none")


def _exact(features: Mapping[str, Any], outputs: Any) -> Any:
    """Returns float32[2]: the weights of the windows that are right, and of all."""
    from keras import ops

    weights = features[EXAMPLE_WEIGHT]
    found = ops.argmax(outputs, axis=1)
    right = ops.cast(found[:, 0] == ops.cast(features[START_POSITIONS], found.dtype), "float32")
    right = right * ops.cast(found[:, 1] == ops.cast(features[END_POSITIONS], found.dtype), "float32")
    return ops.stack([ops.sum(right * weights), ops.sum(weights)])
