"""Runs of sentences to the ids of their pieces, from which masked words and pairs of texts are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from components.features import (
    OTHER_IDS,
    OTHER_LENGTHS,
    OTHER_SENTENCES,
    SENTENCE_IDS,
    SENTENCE_LENGTHS,
    SENTENCES,
)
from components.formats.vocabulary import MASK
from components.metrics.masked_lm import FILL_PROBABILITIES, FILL_TOKENS
from components.protocols import Request
from components.transform.text.segments import divide
from components.transform.text.settings import VocabularySettings

# What a request with [MASK] has, and what it is answered.
_TEXT: Final = "text"
_TOKENS: Final = "tokens"
_PROBABILITIES: Final = "probabilities"
# Always one piece, known or not.
_ONE_PIECE: Final = "."
_NO_PIECES: Final = " "


class Sentences(VocabularySettings):
    """Turns sentences into ids of pieces; `components/windows/masking.py` makes inputs of them.

    An empty sentence stands for one [MASK]; that text within a sentence is but a word in brackets.
    """

    def limits(self, encoder: Any) -> dict[str, tuple[int, int]]:
        return {"segments, of two texts": (2, encoder.num_segments)}

    def preprocessing_fn(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what `Masking` takes, of the sentences and of those of another document.

        The ids of pieces, int64[batch, (pieces)], and how many each sentence has, int64[batch, (sentences)],
        without those that have none: ["It sat.", "", " "] -> [[7, 8, 9, 4]], [[3, 1]].
        """
        import tensorflow as tf

        first, other = inputs[SENTENCES], inputs[OTHER_SENTENCES]
        batch = first.dense_shape[0]
        pieces = self._pieces_with_masks(first.values, other.values)
        lengths = pieces.row_lengths()
        rows = tf.concat([first.indices[:, 0], batch + other.indices[:, 0]], axis=0)

        def divided(values: Any, counts: Any) -> list[Any]:
            sizes = tf.math.unsorted_segment_sum(counts, rows, 2 * batch)
            return divide(tf.RaggedTensor.from_row_lengths(values, sizes, validate=False), 2)

        has_pieces = lengths > 0
        ids = divided(pieces.values, lengths)
        kept = divided(tf.boolean_mask(lengths, has_pieces), tf.cast(has_pieces, tf.int64))
        return {SENTENCE_IDS: ids[0], SENTENCE_LENGTHS: kept[0], OTHER_IDS: ids[1], OTHER_LENGTHS: kept[1]}

    def requests(self) -> dict[str, Request]:
        """Returns `fill_mask`: texts with [MASK] in place of words, and the words that fit there best."""
        import tensorflow as tf

        texts = {_TEXT: tf.TensorSpec((None,), tf.string, name=_TEXT)}
        return {"fill_mask": Request(texts, _to_sentences, _to_texts, answers=_filled)}

    def _pieces_with_masks(self, first: Any, other: Any) -> Any:
        """Returns int64[sentences, (pieces)] of both together; an empty sentence has the id of [MASK]."""
        import tensorflow as tf

        texts = tf.concat([first, other], axis=0)
        is_mask = texts == ""
        # Of the first alone: the others are of the same documents.
        pieces, tokens = self.pieces(tf.where(is_mask, _ONE_PIECE, texts), learned_from=first)
        mask = tf.constant(tokens.index(MASK), tf.int64)
        return pieces.with_values(tf.where(tf.gather(is_mask, pieces.value_rowids()), mask, pieces.values))


def _to_sentences(request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the sparse sentences of texts: "A [MASK] sat." -> ["A ", "", " sat."], and none of others."""
    import tensorflow as tf

    # Twice: what is between two of them is that [MASK], at every other place.
    doubled = tf.strings.regex_replace(request[_TEXT], r"\[MASK\]", MASK + MASK)
    indices, values, shape = tf.raw_ops.StringSplitV2(input=doubled, sep=MASK)
    is_mask = indices[:, 1] % 2 == 1
    sentences = tf.where(is_mask | (values != ""), values, _NO_PIECES)
    return {
        SENTENCES: tf.SparseTensor(indices, sentences, shape),
        OTHER_SENTENCES: tf.SparseTensor(indices[:0], values[:0], [shape[0], 0]),
    }


def _to_texts(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the texts that these are the sentences of: ["A", "", "sat."] -> "A [MASK] sat."."""
    import tensorflow as tf

    sentences = raw[SENTENCES]
    words = tf.where(sentences.values == "", MASK, sentences.values)
    rows, count = sentences.indices[:, 0], sentences.dense_shape[0]
    return {_TEXT: tf.strings.unsorted_segment_join(words, rows, count, separator=" ")}


def _filled(request: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    return {_TOKENS: answers[FILL_TOKENS], _PROBABILITIES: answers[FILL_PROBABILITIES]}
