"""Sentences and pairs of sentences to the inputs of BERT, inside the model's graph."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic
from pydantic import Field

from components.config import Config, ConfigError
from components.features import LABEL, PADDING_MASK, SEGMENT_IDS, TEXT_A, TOKEN_IDS
from components.formats.vocabulary import (
    JOINER,
    SEPARATOR,
    SPECIAL_TOKENS,
    START,
    UNKNOWN,
    VocabularyError,
    find_cased,
    read_vocabulary,
)
from components.protocols import Model, Request
from components.transform.text.basic_tokenization import MAX_WORD_LENGTH, split_words

_MAX_BYTES_PER_CHARACTER = 4


class WordPiece(Config):
    """Turns one or two texts into token ids, segment ids and a padding mask, as BERT was trained with.

    The ids are those of FullTokenizer in google-research/bert, tokenization.py, for any Unicode text. Bytes
    that are no UTF-8 are left out, as there; a text that is too long is cut off at its end, never an error.
    """

    # One text, or the two texts of a pair.
    text_features: tuple[str, ...] = Field((TEXT_A,), min_length=1, max_length=2)
    # Tokens of an example, with [CLS] and [SEP].
    max_sequence_length: int = 128
    # Path or URI of a vocab.txt; None: learned from the training split.
    vocabulary: str | None = None
    # Upper bound of a learned vocabulary.
    vocabulary_size: int = Field(8000, ge=100)
    # None: what the vocabulary knows, and true for a learned one.
    lower_case: bool | None = None

    @pydantic.model_validator(mode="after")
    def _room_for_a_token(self) -> WordPiece:
        least = 1 + 2 * len(self.text_features)
        if self.max_sequence_length < least:
            raise ValueError(
                f"max_sequence_length: expected at least {least}, got {self.max_sequence_length}"
            )
        return self

    def input_files(self) -> tuple[str, ...]:
        return (self.vocabulary,) if self.vocabulary is not None else ()

    def fitted_to(self, model: Model) -> WordPiece:
        """Returns itself with the vocabulary of the model's checkpoint, if it has one and none was chosen.

        Raises ConfigError where a text may hold more tokens, or others, than the model has embeddings for.
        """
        encoder = getattr(model, "encoder_config", None)
        if encoder is None:
            return self
        vocabulary = self.vocabulary or getattr(model, "vocabulary_file", None)
        fitted = self.model_copy(update={"vocabulary": vocabulary})
        used = {
            "max_sequence_length": (self.max_sequence_length, encoder.max_positions),
            "vocabulary_size": (self.vocabulary_size, encoder.vocabulary_size),
            "text_features": (len(self.text_features), encoder.num_segments),
        }
        if vocabulary is not None:
            # Before a run has begun, not in the middle of it.
            tokens = read_vocabulary(vocabulary)
            fitted._lower_case(tokens)
            del used["vocabulary_size"]
            used[f"vocabulary: {vocabulary}"] = len(tokens), encoder.vocabulary_size
        for name, (size, limit) in used.items():
            if size > limit:
                raise ConfigError(
                    f"preprocessing.{name}: expected at most {limit}, which the model has embeddings for, "
                    f"got {size}"
                )
        return fitted

    def preprocessing_fn(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns token_ids, segment_ids and padding_mask, int64[batch, (length)], and label int64[batch].

        text_a "The cat", text_b "It sat" -> [CLS] the cat [SEP] it sat [SEP], whose segment ids are
        0 0 0 0 1 1 1 and whose mask is 1 1 1 1 1 1 1.

        Raises:
          VocabularyError: the vocabulary file cannot be used, or `lower_case` contradicts it.
        """
        import tensorflow as tf
        import tensorflow_text as tf_text

        tokens = None if self.vocabulary is None else read_vocabulary(self.vocabulary)
        special = SPECIAL_TOKENS if tokens is None else tokens
        texts = [inputs[key] for key in self.text_features]
        # All texts in one go, since the graph is then half as large.
        pieces = self._pieces(tf.concat(texts, axis=0), tokens)
        batch = tf.shape(texts[0])[0]
        segments = [pieces[place * batch : (place + 1) * batch] for place in range(len(texts))]
        token_ids, segment_ids = tf_text.combine_segments(
            truncate(segments, self.max_sequence_length - 1 - len(texts)),
            special.index(START),
            special.index(SEPARATOR),
        )
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

    def _pieces(self, texts: Any, tokens: Sequence[str] | None) -> Any:
        """Returns ids int64[batch, (pieces)] of texts string[batch]."""
        import tensorflow_transform as tft

        from components.transform.text import vocabulary_analyzer

        words = split_words(texts, self._lower_case(tokens))
        if tokens is None:
            path = vocabulary_analyzer.learn_tokens(self.vocabulary_size, words.flat_values)
        else:
            path = vocabulary_analyzer.write_tokens(tokens, texts)
        return tft.apply_vocabulary(words, path, lookup_fn=_look_up).merge_dims(1, 2)

    def _lower_case(self, tokens: Sequence[str] | None) -> bool:
        found = None if tokens is None else find_cased(tokens)
        if found is None:
            return self.lower_case is not False
        if self.lower_case == found.upper:
            known = f"{found.token!r}{'' if found.upper else ' and nothing in upper case'}"
            raise VocabularyError(
                f"{self.vocabulary}, line {found.line}: expected lower_case={not found.upper} with a"
                f" vocabulary that holds {known}, got lower_case={self.lower_case}"
            )
        return not found.upper


def _look_up(words: Any, path: Any) -> tuple[Any, Any]:
    """Returns ids int64[batch, (words), (pieces)] of string[batch, (words)], and the number of tokens."""
    import tensorflow as tf
    import tensorflow_text as tf_text

    # A table that is made in the graph would read its file again with every batch.
    with contextlib.nullcontext() if tf.is_symbolic_tensor(path) else tf.init_scope():
        lines = tf.lookup.TextFileInitializer(
            path, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        table = tf.lookup.StaticHashTable(lines, default_value=-1)
        size = table.size()
    tokenizer = tf_text.WordpieceTokenizer(
        table,
        suffix_indicator=JOINER,
        max_bytes_per_word=MAX_WORD_LENGTH * _MAX_BYTES_PER_CHARACTER,
        unknown_token=UNKNOWN,
    )
    return tokenizer.tokenize(words), size


def truncate(segments: Sequence[Any], max_tokens: int) -> list[Any]:
    """Returns one or two int64[batch, (tokens)] cut off so that each row has at most `max_tokens` together.

    The longer of a pair loses tokens, and the second where both are as long, as in google-research/bert,
    run_classifier.py (_truncate_seq_pair).
    """
    import tensorflow as tf

    if len(segments) == 1:
        return [segments[0][:, :max_tokens]]
    first, second = segments
    room_for_first = tf.maximum(max_tokens - second.row_lengths(), max_tokens - max_tokens // 2)
    room_for_second = tf.maximum(max_tokens - first.row_lengths(), max_tokens // 2)
    return [_first(first, room_for_first), _first(second, room_for_second)]


def _first(tokens: Any, counts: Any) -> Any:
    """Returns the first `counts` int64[batch] of int64[batch, (tokens)], or fewer where there are fewer."""
    import tensorflow as tf

    starts = tokens.row_starts()
    places = tf.ragged.range(starts, starts + tf.minimum(tokens.row_lengths(), counts))
    return places.with_values(tf.gather(tokens.values, places.values))


def _only(keys: Mapping[str, Any]) -> Any:
    return lambda tensors: {key: tensors[key] for key in keys}
