"""BERT that tells masked words, and whether a second text follows the first."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from components.features import (
    EXAMPLE_WEIGHT,
    IS_NEXT,
    MASKED_IDS,
    MASKED_LM,
    MASKED_POSITIONS,
    MASKED_WEIGHTS,
    NEXT_SENTENCE,
    SENTENCES,
    Feature,
)
from components.models.bert.encoder import POOLED_OUTPUT, SEQUENCE_OUTPUT
from components.models.bert.fine_tuning import BertFineTuning
from components.models.errors import ModelError
from components.protocols import StreamingMetric

if TYPE_CHECKING:
    import keras


class BertPretraining(BertFineTuning):
    """An encoder with the two heads that it was trained with; its loss is the sum of two means.

    J. Devlin et al. (arxiv.org/abs/1810.04805), section 3.1. Texts without a second one have no part in the
    second mean, which is 0 where there are no others.
    """

    loss_terms: ClassVar[tuple[str, ...]] = (MASKED_LM, NEXT_SENTENCE)

    save_as: tuple[Literal["google", "huggingface"], ...] = Field(
        ("huggingface",), description="Save encoder and heads for these, in the SavedModel's assets.extra."
    )

    def build(self) -> keras.Model:
        """Returns a model: int32[batch, length] of build_encoder, masked_positions int32[batch, k] ->

        {"masked_lm": float32[batch, k, vocabulary_size], "next_sentence": float32[batch, 2]}, logits both.
        The class 0 of the latter is that the second text follows the first.
        """
        import keras
        from keras import layers

        from components.models.bert.layers import BertMaskedWords, initializer

        config, encoder = self.encoder_config, self.build_encoder()
        positions = keras.Input((None,), dtype="int32", name=MASKED_POSITIONS)
        masked_words = BertMaskedWords(config, encoder.get_layer("embeddings"), name=MASKED_LM)
        next_sentence = layers.Dense(
            2, kernel_initializer=initializer(config), dtype="float32", name=NEXT_SENTENCE
        )
        outputs = {
            MASKED_LM: masked_words(encoder.output[SEQUENCE_OUTPUT], positions),
            NEXT_SENTENCE: next_sentence(encoder.output[POOLED_OUTPUT]),
        }
        return keras.Model({**encoder.input, MASKED_POSITIONS: positions}, outputs, name="bert_pretraining")

    def check_features(self, features: Mapping[str, Feature]) -> None:
        """Raises ValueError where there are no sentences to mask words of."""
        if SENTENCES not in features:
            raise ValueError(f"model: expected the raw feature {SENTENCES!r}, got {', '.join(features)}")

    def check_input_files(self) -> None:
        """Raises ModelError where the checkpoint is not the encoder's, or its heads are not these."""
        self._check_checkpoint(heads=True)

    def loss_weights(self, features: Mapping[str, Any]) -> dict[str, Any]:
        from keras import ops

        weights = features[EXAMPLE_WEIGHT]
        return {
            MASKED_LM: features[MASKED_WEIGHTS] * weights[:, None],
            NEXT_SENTENCE: ops.cast(features[IS_NEXT] >= 0, "float32") * weights,
        }

    def losses(self, features: Mapping[str, Any], outputs: Any) -> dict[str, Any]:
        """Returns the cross-entropy of each masked token, [windows, k], and of each pair, [windows]."""
        from keras import ops

        return {
            term: ops.sparse_categorical_crossentropy(classes, outputs[term], from_logits=True)
            for term, classes in _classes(features).items()
        }

    def metrics(self) -> dict[str, StreamingMetric]:
        """Returns the shares of masked tokens and of pairs that are told rightly; NaN without any."""
        return {
            f"{term}_accuracy": StreamingMetric(functools.partial(self._right, term), _share)
            for term in self.loss_terms
        }

    def _right(self, term: str, features: Mapping[str, Any], outputs: Any) -> Any:
        """Returns float32[2]: the weights of what is right, and of all."""
        from keras import ops

        weights, found = self.loss_weights(features)[term], ops.argmax(outputs[term], axis=-1)
        right = ops.cast(found == ops.cast(_classes(features)[term], found.dtype), "float32")
        return ops.stack([ops.sum(right * weights), ops.sum(weights)])

    def answers(self, outputs: Any, features: Mapping[str, Feature]) -> dict[str, Any]:
        raise ModelError("windowing: expected Masking, which answers for the whole text, got none")


def _classes(features: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the right classes by term; a text without a second one has one, too, which does not count."""
    from keras import ops

    return {MASKED_LM: features[MASKED_IDS], NEXT_SENTENCE: ops.cast(features[IS_NEXT] != 1, "int32")}


def _share(sums: Any) -> float:
    return float(sums[0] / sums[1]) if sums[1] else math.nan
