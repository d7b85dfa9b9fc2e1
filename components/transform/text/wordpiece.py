"""Sentences and pairs of sentences to the inputs of BERT, inside the model's graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic
from pydantic import Field

from components.config import ConfigError
from components.features import LABEL, PADDING_MASK, SEGMENT_IDS, TEXT_A, TOKEN_IDS
from components.formats.tokenizer_files import Rules
from components.formats.vocabulary import SEPARATOR, START
from components.protocols import Request
from components.transform.text.segments import combine, divide, find_room
from components.transform.text.settings import VocabularySettings


class WordPiece(VocabularySettings):
    """Turns one or two texts into token ids, segment ids and a padding mask, as BERT was trained with.

    The ids are those of FullTokenizer in google-research/bert, tokenization.py, for any Unicode text. Bytes
    that are no UTF-8 are left out, as there; a text that is too long is cut off at its end, never an error.
    """

    text_features: tuple[str, ...] = Field(
        (TEXT_A,), min_length=1, max_length=2, description="The one text, or the two of a pair."
    )
    max_sequence_length: int = Field(128, description="Tokens of an example, with [CLS] and [SEP].")

    @pydantic.model_validator(mode="after")
    def _room_for_a_token(self) -> WordPiece:
        least = 1 + 2 * len(self.text_features)
        if self.max_sequence_length < least:
            raise ValueError(
                f"max_sequence_length: expected at least {least}, got {self.max_sequence_length}"
            )
        return self

    def limits(self, encoder: Any) -> dict[str, tuple[int, int]]:
        return {
            "max_sequence_length": (self.max_sequence_length, encoder.max_positions),
            "text_features": (len(self.text_features), encoder.num_segments),
        }

    def check_length(self, rules: Rules) -> None:
        bound = rules.max_length
        if bound is not None and self.max_sequence_length > bound.tokens:
            raise ConfigError(
                f"preprocessing.max_sequence_length: expected at most {bound.tokens}, as of {bound.where},"
                f" got {self.max_sequence_length}"
            )

    def preprocessing_fn(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns token_ids, segment_ids and padding_mask, int64[batch, (length)], and label int64[batch].

        text_a "The cat", text_b "It sat" -> [CLS] the cat [SEP] it sat [SEP], whose segment ids are
        0 0 0 0 1 1 1 and whose mask is 1 1 1 1 1 1 1.

        Raises:
          VocabularyError: the vocabulary file cannot be used, or `lower_case` contradicts it.
        """
        import tensorflow as tf

        texts = [inputs[key] for key in self.text_features]
        # All texts in one go, since the graph is then half as large.
        pieces, tokens = self.pieces(tf.concat(texts, axis=0))
        segments = divide(pieces, len(texts))
        room = find_room(segments, self.max_sequence_length - 1 - len(texts))
        token_ids, segment_ids = combine(segments, room, tokens.index(START), tokens.index(SEPARATOR))
        features = {
            TOKEN_IDS: token_ids,
            SEGMENT_IDS: segment_ids,
            PADDING_MASK: tf.ones_like(token_ids),
        }
        if LABEL in inputs:
            features[LABEL] = inputs[LABEL]
        return features

    def requests(self) -> dict[str, Request]:
        """Returns `text` (strings) and `tokens` (ids, segments and mask, padded with 0)."""
        import tensorflow as tf

        texts = {key: tf.TensorSpec((None,), tf.string, name=key) for key in self.text_features}
        model_inputs = (TOKEN_IDS, SEGMENT_IDS, PADDING_MASK)
        tokens = {key: tf.TensorSpec((None, None), tf.int64, name=key) for key in model_inputs}
        return {
            "text": Request(texts, _only(texts), _only(texts)),
            "tokens": Request(tokens, _only(tokens), _only(tokens), of_features=True),
        }


def _only(keys: Mapping[str, Any]) -> Any:
    return lambda tensors: {key: tensors[key] for key in keys}
