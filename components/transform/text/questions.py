"""Questions and the contexts that answer them: pieces, and where in the context each piece is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.features import (
    ANSWER_FIRST,
    ANSWER_LAST,
    ANSWER_STARTS,
    ANSWERS,
    CONTEXT,
    CONTEXT_ENDS,
    CONTEXT_IDS,
    CONTEXT_LENGTHS,
    CONTEXT_STARTS,
    QUESTION,
    QUESTION_IDS,
    QUESTION_LENGTHS,
)
from components.protocols import Request
from components.transform.text.offsets import tokenize_with_offsets
from components.transform.text.segments import divide, no_pieces
from components.transform.text.settings import VocabularySettings


class Questions(VocabularySettings):
    """Turns questions and contexts into ids of pieces; `components/windows/spans.py` makes inputs of them."""

    def limits(self, encoder: Any) -> dict[str, tuple[int, int]]:
        return {"segments, of question and context": (2, encoder.num_segments)}

    def preprocessing_fn(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what `Spans` takes: ids, offsets and lengths, int64[batch, (pieces)] or int64[batch].

        The targets are the first and the last piece that hold a part of the first right answer, -1 where
        there is none; they are there where the answers are.
        """
        import tensorflow as tf

        texts = tf.concat([inputs[QUESTION], inputs[CONTEXT]], axis=0)
        ids, starts, ends = (divide(each, 2) for each in self._pieces_with_offsets(texts))
        features = {
            QUESTION_IDS: ids[0],
            QUESTION_LENGTHS: ids[0].row_lengths(),
            CONTEXT_IDS: ids[1],
            CONTEXT_LENGTHS: ids[1].row_lengths(),
            CONTEXT_STARTS: starts[1],
            CONTEXT_ENDS: ends[1],
            CONTEXT: inputs[CONTEXT],
        }
        if ANSWERS in inputs and ANSWER_STARTS in inputs:
            features |= _targets(inputs[ANSWERS], inputs[ANSWER_STARTS], starts[1], ends[1])
        return features

    def requests(self) -> dict[str, Request]:
        """Returns `answer`: a question and a context, as strings."""
        import tensorflow as tf

        texts = {key: tf.TensorSpec((None,), tf.string, name=key) for key in (QUESTION, CONTEXT)}
        return {"answer": Request(texts, _texts, _texts)}

    def _pieces_with_offsets(self, texts: Any) -> tuple[Any, Any, Any]:
        """Returns ids, starts and ends int64[batch, (pieces)] of texts string[batch]."""
        found = self.find_vocabulary(texts)
        if found.path is None:
            # tf.Transform looks at the shape alone.
            nothing = no_pieces(texts)
            return nothing, nothing, nothing
        return tokenize_with_offsets(texts, found.path, found.lower_case, self.strip_accents)


def _targets(answers: Any, answer_starts: Any, starts: Any, ends: Any) -> dict[str, Any]:
    """Returns the first and the last piece of the first answer of each row, int64[batch]."""
    import tensorflow as tf

    start = _first(answer_starts, -1)
    length = tf.strings.length(_first(answers, ""), "UTF8_CHAR")
    end = start + tf.cast(length, tf.int64)
    rows = starts.value_rowids()

    def count(pieces: Any) -> Any:
        return tf.math.unsorted_segment_sum(tf.cast(pieces, tf.int64), rows, tf.size(start))

    # Pieces are in order: those before the answer, and those that begin before it ends. Of flat values, since
    # a comparison of RaggedTensors is some hundred operations.
    before = count(ends.values <= tf.gather(start, rows))
    begun = count(starts.values < tf.gather(end, rows))
    exists = (start >= 0) & (length > 0) & (before < begun)
    none = tf.fill(tf.shape(start), tf.constant(-1, tf.int64))
    return {ANSWER_FIRST: tf.where(exists, before, none), ANSWER_LAST: tf.where(exists, begun - 1, none)}


def _first(values: Any, default: Any) -> Any:
    """Returns the first value of each row of a sparse [batch, any number], or `default`."""
    import tensorflow as tf

    is_first = values.indices[:, 1] == 0
    rows = tf.boolean_mask(values.indices[:, :1], is_first)
    defaults = tf.fill(values.dense_shape[:1], tf.constant(default, values.dtype))
    return tf.tensor_scatter_nd_update(defaults, rows, tf.boolean_mask(values.values, is_first))


def _texts(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tensors[key] for key in (QUESTION, CONTEXT)}
