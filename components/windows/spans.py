"""Questions and contexts to windows of a model's length, and their logits to parts of the contexts.

As in google-research/bert, run_squad.py, but for where the best spans are searched: there among those that
begin and end with one of the best n logits of a window, here among all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

import pydantic
from pydantic import Field

from components.config import Config
from components.features import (
    ANSWER_FIRST,
    ANSWER_LAST,
    CONTEXT,
    CONTEXT_ENDS,
    CONTEXT_IDS,
    CONTEXT_LENGTHS,
    CONTEXT_STARTS,
    END_POSITIONS,
    IS_IMPOSSIBLE,
    PADDING_MASK,
    QUESTION_IDS,
    QUESTION_LENGTHS,
    SEGMENT_IDS,
    START_POSITIONS,
    TOKEN_IDS,
)
from components.formats import vocabulary
from components.metrics.spans import (
    ANSWER,
    BEST_ANSWER,
    BEST_THRESHOLD,
    END,
    N_BEST_ANSWERS,
    N_BEST_END_LOGITS,
    N_BEST_ENDS,
    N_BEST_SCORES,
    N_BEST_START_LOGITS,
    N_BEST_STARTS,
    NULL_END_LOGIT,
    NULL_ODDS,
    NULL_START_LOGIT,
    SCORE,
    START,
)
from components.protocols import Preprocessing
from components.windows.span_windows import NUM_SPECIAL, Windows

Tensors = Mapping[str, Any]

# The null odds where there is no span to compare with: a number, since only broken answers are infinite.
NO_SPAN: Final = 1e6
# The state of a fold, beside the lengths: scores, first and last pieces of the best spans, and of each the
# logit of its start; then the same of no answer.
_SCORES, _FIRSTS, _LASTS, _STARTS = "scores", "firsts", "lasts", "starts"
_NULL, _NULL_START = "null", "null_start"
# Few lengths, since the kernels of a CPU are prepared for each that they see.
_SERVED_MULTIPLE: Final = 16


class Spans(Config):
    """Overlapping windows of the context, each after the question; the answer is the best span of any.

    [CLS] question [SEP] pieces of the context [SEP], filled up with 0. An empty context has one window.
    """

    max_sequence_length: int = Field(384, description="Pieces of a window, with [CLS] and [SEP].")
    stride: int = Field(
        128, ge=1, description="Pieces of the context from the start of one window to that of the next."
    )
    max_question_length: int = Field(
        64, ge=1, description="Pieces of a question; what is beyond is left out."
    )
    n_best_size: int = Field(20, ge=1, description="How many spans are answered beside the best one.")
    max_answer_length: int = Field(30, ge=1, description="Pieces of an answer.")
    null_threshold: Annotated[float, Field(allow_inf_nan=False)] | Literal["best"] | None = Field(
        "best",
        description="Null odds above it: no answer; best: by F1 on the eval split; none: always an answer.",
    )
    cls_id: int = Field(
        vocabulary.SPECIAL_TOKENS.index(vocabulary.START),
        description="The id of [CLS], which the vocabulary decides.",
    )
    sep_id: int = Field(
        vocabulary.SPECIAL_TOKENS.index(vocabulary.SEPARATOR),
        description="The id of [SEP], which the vocabulary decides.",
    )
    per_call: int = Field(16, ge=1, description="Windows that a model sees at once when it serves.")
    examples_per_call: int = Field(8, ge=1, description="Examples that it answers at once.")
    drawn_per_example: ClassVar[None] = None

    @pydantic.model_validator(mode="after")
    def _room_for_a_piece(self) -> Spans:
        least = self.max_question_length + NUM_SPECIAL + 1
        if self.max_sequence_length < least:
            raise ValueError(
                f"max_sequence_length: expected at least {least}, got {self.max_sequence_length}"
            )
        return self

    def fitted_to(self, preprocessing: Preprocessing) -> Spans:
        """Returns itself with the ids of a given vocabulary; a learned one has those of the settings."""
        path = getattr(preprocessing, "vocabulary", None)
        return self if path is None else self.with_vocabulary(vocabulary.read_vocabulary(path))

    def with_vocabulary(self, tokens: Sequence[str]) -> Spans:
        """Returns itself with the ids of [CLS] and [SEP] in a vocabulary, which has both."""
        ids = {
            "cls_id": tokens.index(vocabulary.START),
            "sep_id": tokens.index(vocabulary.SEPARATOR),
        }
        return self.model_copy(update=ids)

    @property
    def chosen_by(self) -> str | None:
        """`best_threshold`, of which there is none where every question has an answer."""
        return BEST_THRESHOLD if self.null_threshold == "best" else None

    def with_chosen(self, value: float) -> Spans:
        return self.model_copy(update={"null_threshold": None if math.isnan(value) else value})

    def places(self, features: Tensors) -> Any:
        """Returns int64[windows, 2]: the example's row, and the window's first piece of the context."""
        import tensorflow as tf

        first = self._cut(features[QUESTION_LENGTHS], features[CONTEXT_LENGTHS], 0)
        step = first.step
        further = tf.maximum(first.context - first.room + step - 1, 0) // step
        starts = tf.ragged.range(tf.zeros_like(step), (1 + further) * step, step)
        return tf.stack([starts.value_rowids(), starts.values], axis=1)

    def drawn(self, features: Tensors, seed: Any) -> Any:
        return self.places(features)

    def take(self, features: Tensors, places: Any) -> dict[str, Any]:
        """Returns token_ids, segment_ids, padding_mask int64[windows, max_sequence_length], and the targets.

        These are start_positions and end_positions, int64[windows], where `features` have the right answer.
        """
        import tensorflow as tf

        windows = self._windows(features, places)
        offsets, count = windows.offsets, windows.count
        taken = {
            TOKEN_IDS: self._token_ids(features, places, windows),
            SEGMENT_IDS: tf.cast((offsets >= 0) & (offsets <= count), tf.int64),
            PADDING_MASK: tf.cast(offsets <= count, tf.int64),
        }
        return {**taken, **_targets(features, places, windows)} if ANSWER_FIRST in features else taken

    def served(self, taken: Tensors) -> dict[str, Any]:
        """Returns the inputs as long as the longest window of them needs, up to a multiple of 16."""
        import tensorflow as tf

        longest = tf.reduce_max(tf.reduce_sum(taken[PADDING_MASK], axis=1))
        length = -(-longest // _SERVED_MULTIPLE) * _SERVED_MULTIPLE
        return {name: taken[name][:, :length] for name in (TOKEN_IDS, SEGMENT_IDS, PADDING_MASK)}

    def start(self, features: Tensors) -> dict[str, Any]:
        """Returns no spans, of score -inf each, a null score of inf, and the lengths, which `add` needs."""
        import tensorflow as tf

        lengths = {name: features[name] for name in (QUESTION_LENGTHS, CONTEXT_LENGTHS)}
        null = tf.fill(tf.shape(lengths[CONTEXT_LENGTHS]), math.inf)
        scores = tf.tile(-null[:, None], [1, self.n_best_size])
        pieces = tf.zeros_like(scores, tf.int64)
        spans = {_SCORES: scores, _FIRSTS: pieces, _LASTS: pieces, _STARTS: tf.zeros_like(scores)}
        return {**lengths, **spans, _NULL: null, _NULL_START: tf.zeros_like(null)}

    def add(self, state: Tensors, places: Any, outputs: Any) -> dict[str, Any]:
        """Returns the state with the start and end logits of windows: outputs [windows, length, 2].

        The length is that of the served inputs, or any that has all of their pieces.
        Of equal spans the first stays, and of those the shortest, if windows come in the order of `places`.
        """
        import tensorflow as tf

        from components.windows.best_spans import best_spans

        filling = tf.maximum(self.max_sequence_length - tf.shape(outputs)[1], 0)
        logits = tf.pad(tf.cast(outputs, tf.float32), [[0, 0], [0, filling], [0, 0]])
        found = best_spans(self._windows(state, places), logits, self.max_answer_length, self.n_best_size)
        # [batch, windows]
        own = places[:, 0] == tf.range(tf.shape(state[_NULL], tf.int64)[0])[:, None]
        best = tf.math.top_k(
            _beside(state[_SCORES], tf.where(own[:, :, None], found.scores, -math.inf)), self.n_best_size
        )
        others = {_FIRSTS: found.firsts, _LASTS: found.lasts, _STARTS: found.starts}
        kept = {
            name: tf.gather(_beside(state[name], values), best.indices, batch_dims=1)
            for name, values in others.items()
        }
        return {**state, _SCORES: best.values, **kept, **_least_null(state, own, logits[:, 0])}

    def answers(self, state: Tensors, features: Tensors) -> dict[str, Any]:
        """Returns the answer, and the n best spans with their probabilities; [batch] or [batch, n].

        Texts are string, starts and ends int64 in code points; probabilities are float32, over the n best and
        no answer. Where there are fewer than n, the rest is "" of probability 0 and logits of 0. `null_odds`
        are the least score of no answer in any window, whose logits are answered, too, less that of the best
        span.
        """
        import tensorflow as tf

        exists, starts, ends = _code_points(state, features)
        # Offsets are those of a text without the bytes that are no UTF-8.
        contexts = tf.strings.unicode_transcode(features[CONTEXT][:, None], "UTF-8", "UTF-8", "ignore")
        texts = tf.strings.substr(contexts, starts, ends - starts, unit="UTF8_CHAR")
        # The search may leave out what is no number: a null score that is none shows.
        no_span = NO_SPAN + 0 * state[_NULL]
        null_odds = tf.where(exists[:, 0], state[_NULL] - state[_SCORES][:, 0], no_span)
        start_logits, end_logits = (
            tf.where(exists, logits, 0.0) for logits in (state[_STARTS], state[_SCORES] - state[_STARTS])
        )
        impossible = ~exists[:, 0] | self._unlikely(null_odds)
        probabilities = self._probabilities(state, exists)
        return {
            ANSWER: tf.where(impossible, "", texts[:, 0]),
            BEST_ANSWER: texts[:, 0],
            SCORE: tf.where(impossible, probabilities[:, -1], probabilities[:, 0]),
            START: tf.where(impossible, tf.zeros_like(starts[:, 0]), starts[:, 0]),
            END: tf.where(impossible, tf.zeros_like(ends[:, 0]), ends[:, 0]),
            NULL_ODDS: null_odds,
            IS_IMPOSSIBLE: tf.cast(impossible, tf.int64),
            N_BEST_ANSWERS: texts,
            N_BEST_SCORES: probabilities[:, :-1],
            N_BEST_STARTS: starts,
            N_BEST_ENDS: ends,
            N_BEST_START_LOGITS: start_logits,
            N_BEST_END_LOGITS: end_logits,
            NULL_START_LOGIT: state[_NULL_START],
            NULL_END_LOGIT: state[_NULL] - state[_NULL_START],
        }

    def _windows(self, lengths: Tensors, places: Any) -> Windows:
        import tensorflow as tf

        question, context = (
            tf.gather(lengths[name], places[:, :1]) for name in (QUESTION_LENGTHS, CONTEXT_LENGTHS)
        )
        return self._cut(question, context, places[:, 1:])

    def _cut(self, question: Any, context: Any, start: Any) -> Windows:
        """Returns windows of questions and contexts of these lengths."""
        import tensorflow as tf

        question = tf.minimum(question, self.max_question_length)
        return Windows(question, context, start, self.max_sequence_length, self.stride)

    def _token_ids(self, features: Tensors, places: Any, windows: Windows) -> Any:
        import tensorflow as tf

        offsets, count = windows.offsets, windows.count
        positions = tf.zeros_like(offsets) + tf.range(self.max_sequence_length, dtype=tf.int64)
        context = _at(features[CONTEXT_IDS], places[:, :1], windows.start + offsets)
        question = _at(features[QUESTION_IDS], places[:, :1], positions - 1)
        separator = tf.where((offsets == -1) | (offsets == count), tf.cast(self.sep_id, tf.int64), 0)
        after_question = tf.where((offsets >= 0) & (offsets < count), context, separator)
        with_question = tf.where(offsets < -1, question, after_question)
        return tf.where(positions == 0, tf.cast(self.cls_id, tf.int64), with_question)

    @property
    def _threshold(self) -> float:
        """The threshold; until the best one is chosen, 0."""
        if self.null_threshold is None:
            return math.inf
        return 0.0 if self.null_threshold == "best" else self.null_threshold

    def _unlikely(self, null_odds: Any) -> Any:
        return null_odds > self._threshold

    def _probabilities(self, state: Tensors, exists: Any) -> Any:
        """Returns float32[batch, n + 1]: of the n best spans, and of none."""
        import tensorflow as tf

        null = state[_NULL]
        if self.null_threshold is None:
            null = tf.where(exists[:, 0], -math.inf, null)
        return tf.nn.softmax(tf.concat([state[_SCORES], null[:, None]], axis=1))


def _targets(features: Tensors, places: Any, windows: Windows) -> dict[str, Any]:
    import tensorflow as tf

    first, last = (tf.gather(features[name], places[:, :1]) for name in (ANSWER_FIRST, ANSWER_LAST))
    inside = (first >= windows.start) & (last < windows.start + windows.count)
    moved = windows.question + (NUM_SPECIAL - 1) - windows.start
    return {
        START_POSITIONS: tf.where(inside, first + moved, 0)[:, 0],
        END_POSITIONS: tf.where(inside, last + moved, 0)[:, 0],
    }


def _at(values: Any, rows: Any, columns: Any) -> Any:
    """Returns values[rows, columns], and any value where there is no such column."""
    import tensorflow as tf

    columns = tf.clip_by_value(columns, 0, tf.shape(values, tf.int64)[1] - 1)
    return tf.gather_nd(values, tf.stack([tf.zeros_like(columns) + rows, columns], axis=2))


def _least_null(state: Tensors, own: Any, logits: Any) -> dict[str, Any]:
    """Returns the least score of no answer with its start logit, of the state or of some windows.

    `own` bool[batch, windows] says whose they are; `logits` are those of [CLS], [windows, 2].
    """
    import tensorflow as tf

    scores = tf.where(own, tf.reduce_sum(logits, axis=1), math.inf)
    # Not the score at `argmin`, which passes over what is no number.
    null = tf.minimum(state[_NULL], tf.reduce_min(scores, axis=1))
    start = tf.gather(logits[:, 0], tf.argmin(scores, axis=1))
    return {_NULL: null, _NULL_START: tf.where(null < state[_NULL], start, state[_NULL_START])}


def _beside(known: Any, added: Any) -> Any:
    """Returns [batch, n + windows * k]: what is known [batch, n], then [(batch,) windows, k] for each row."""
    import tensorflow as tf

    batch = tf.shape(known)[0]
    for_each = tf.broadcast_to(added, tf.concat([[batch], tf.shape(added)[-2:]], axis=0))
    return tf.concat([known, tf.reshape(for_each, [batch, -1])], axis=1)


def _code_points(state: Tensors, features: Tensors) -> tuple[Any, Any, Any]:
    """Returns which of the n best spans exist, where each starts, where it ends; 0 for those that do not."""
    import tensorflow as tf

    exists = state[_SCORES] != -math.inf
    rows = tf.range(tf.shape(exists, tf.int64)[0])[:, None]
    starts = tf.where(exists, _at(features[CONTEXT_STARTS], rows, state[_FIRSTS]), 0)
    ends = tf.where(exists, _at(features[CONTEXT_ENDS], rows, state[_LASTS]), 0)
    return exists, starts, tf.maximum(starts, ends)
