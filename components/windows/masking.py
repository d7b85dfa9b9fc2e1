"""Runs of sentences to sequences with masked pieces, and what a model says of them to one answer.

Pairs of texts and masks are drawn anew each time that a run is trained on; see pairs.py and masks.py. A
request brings masks of its own, and is then one sequence, or one for each mask where it is too long.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import pydantic
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import Self

from components.config import Config, Location
from components.features import (
    IS_NEXT,
    MASKED_IDS,
    MASKED_LM,
    MASKED_POSITIONS,
    MASKED_WEIGHTS,
    NEXT_SENTENCE,
    OTHER_IDS,
    OTHER_LENGTHS,
    PADDING_MASK,
    SEGMENT_IDS,
    SENTENCE_IDS,
    SENTENCE_LENGTHS,
    TOKEN_IDS,
)
from components.formats.vocabulary import (
    JOINER,
    MASK,
    SEPARATOR,
    START,
    VOCABULARY_ASSET,
    read_vocabulary,
)
from components.metrics.masked_lm import (
    FILL_PROBABILITIES,
    FILL_TOKENS,
    MASKED_TOKENS,
    NEXT_PROBABILITIES,
    RIGHT_PROBABILITIES,
    SAID_PROBABILITIES,
    SAID_TOKENS,
    TOKENS,
)
from components.protocols import Preprocessing
from components.windows.asked_masks import ask, masks_each
from components.windows.drawing import mixed
from components.windows.masks import Chosen, choose, choose_words, replace
from components.windows.pairs import NUM_SPECIAL, Pair, Sentences, draw_pairs

Tensors = Mapping[str, Any]

# The state of a fold: the best pieces at each mask and their probabilities, the right ones, and theirs.
_BEST, _SURE, _RIGHT, _RIGHT_SURE = "best", "sure", "right", "right_sure"
# Few lengths, since the kernels of a CPU are prepared for each that they see.
_SERVED_MULTIPLE: Final = 16
# What no text has: special tokens, lines that nothing matches, and places kept for later ones.
_NO_PIECE: Final = re.compile(r"\[(PAD|UNK|CLS|SEP|MASK|line \d+|unused\d+)\]")


class Masking(Config):
    """Sequences of one or two texts, some pieces of which are masked.

    [CLS] a text [SEP] another [SEP], or [CLS] a text [SEP], filled up with 0. A place is the row, the
    sequence's number in it, and a salt, from which all that is random about it follows.
    """

    max_sequence_length: int = Field(128, ge=8, description="Pieces of a sequence, with [CLS] and [SEP].")
    masked_fraction: float = Field(
        0.15, gt=0, le=1, description="Pieces that are masked, of all of a sequence."
    )
    max_masked: int | None = Field(
        None, ge=1, description="Pieces of a sequence that may be masked. Default: those of one that is full."
    )
    whole_words: bool = Field(False, description="All pieces of a word are masked, or none.")
    short_probability: float = Field(
        0.1, ge=0, le=1, description="Of making a sequence shorter than it could be."
    )
    dupe_factor: int | None = Field(
        None,
        ge=1,
        description="Sets of sequences that are made of a run, one for an epoch. Default: new ones for each.",
    )
    num_answers: int = Field(5, ge=1, description="Pieces that are answered for each [MASK] of a request.")
    per_call: int = Field(16, ge=1, description="Sequences that a model sees at once when it serves.")
    examples_per_call: int = Field(8, ge=1, description="Examples that it answers at once.")
    vocabulary: Location | None = Field(None, description="Taken from what Transform wrote.")

    drawn_per_example: ClassVar[None] = None

    @pydantic.model_validator(mode="after")
    def _answers_enough(self) -> Masking:
        if self.max_masked is not None and self.max_masked > self.max_sequence_length:
            raise ValueError(
                f"max_masked: expected at most {self.max_sequence_length}, the length, got {self.max_masked}"
            )
        return self

    def fitted_to(self, preprocessing: Preprocessing) -> Self:
        """Returns itself: the vocabulary is known once Transform has written it."""
        return self

    def with_assets(self, folder: str) -> Self:
        """Returns itself with the vocabulary in a folder."""
        return self.model_copy(update={"vocabulary": os.path.join(folder, VOCABULARY_ASSET)})

    def places(self, features: Tensors) -> Any:
        """Returns int64[windows, 3]: the row, the number in it, and a salt that the row's pieces decide."""
        return self._places(features, 0)

    def drawn(self, features: Tensors, seed: Any) -> Any:
        """Returns as many places as `places` has, with other salts."""
        variant = mixed(seed[0], seed[1])
        return self._places(features, variant % self.dupe_factor if self.dupe_factor else 1 + abs(variant))

    def take(self, features: Tensors, places: Any) -> dict[str, Any]:
        """Returns the sequences at places, int64[windows, length or k] each, and what is to be told.

        token_ids, segment_ids, padding_mask; masked_positions, 0 where there are fewer, masked_ids there, and
        masked_weights float32; is_next int64[windows].
        """
        import tensorflow as tf

        rows, numbers, salts = tf.split(places, 3, axis=1)
        run, other = (tf.gather(features[name], rows[:, 0]) for name in (SENTENCE_IDS, OTHER_IDS))
        known = self._known
        asked = ask(run, numbers, known.mask_id, self._room, self.most)
        pair = asked.or_pair(self._drawn_pairs(features, rows, numbers, salts))
        sequence = self._sequence(run, other, pair)
        token_ids = sequence[TOKEN_IDS]
        random = self._chosen(token_ids, mixed(salts, 1))
        chosen = asked.or_chosen(random)
        seen = replace(token_ids, random, known.mask_id, tf.constant(known.pieces), mixed(salts, 2))
        told = tf.gather(token_ids, chosen.positions, batch_dims=1)
        return {
            **sequence,
            TOKEN_IDS: tf.where(asked.exist, token_ids, seen),
            MASKED_POSITIONS: chosen.positions,
            MASKED_IDS: tf.where(chosen.valid, told, 0),
            MASKED_WEIGHTS: tf.cast(chosen.valid, tf.float32),
            IS_NEXT: pair.is_next[:, 0],
        }

    def served(self, taken: Tensors) -> dict[str, Any]:
        """Returns the inputs as long as the longest of them needs, up to a multiple of 16."""
        import tensorflow as tf

        longest = tf.reduce_max(tf.reduce_sum(taken[PADDING_MASK], axis=1))
        length = -(-longest // _SERVED_MULTIPLE) * _SERVED_MULTIPLE
        cut = {name: taken[name][:, :length] for name in (TOKEN_IDS, SEGMENT_IDS, PADDING_MASK)}
        return {**cut, MASKED_POSITIONS: taken[MASKED_POSITIONS]}

    def start(self, features: Tensors) -> dict[str, Any]:
        """Returns nothing said of any mask, [batch, sequences, k] each, and what is right there."""
        import tensorflow as tf

        right = self._all_taken(features)[MASKED_IDS]
        best = tf.tile(right[..., None] * 0, [1, 1, 1, self.num_answers])
        return {
            _RIGHT: right,
            _RIGHT_SURE: tf.zeros_like(right, tf.float32),
            _BEST: best,
            _SURE: tf.zeros_like(best, tf.float32),
            NEXT_PROBABILITIES: tf.zeros_like(right[..., 0], tf.float32),
        }

    def add(self, state: Tensors, places: Any, outputs: Any) -> dict[str, Any]:
        """Returns the state with what a network says of sequences.

        Outputs are logits: masked_lm [windows, k, vocabulary] and next_sentence [windows, 2], of which the
        first is that a text is next.
        """
        import tensorflow as tf

        where = places[:, :2]
        # A table of embeddings may have room for more pieces than there are.
        logits = tf.cast(outputs[MASKED_LM], tf.float32)[..., : len(self._known.texts)]
        probabilities = tf.nn.softmax(logits)
        best = tf.math.top_k(probabilities, self.num_answers)
        right = tf.gather(probabilities, tf.gather_nd(state[_RIGHT], where), batch_dims=2)
        is_next = tf.nn.softmax(tf.cast(outputs[NEXT_SENTENCE], tf.float32))[:, 0]
        said = {
            _RIGHT_SURE: right,
            _BEST: tf.cast(best.indices, tf.int64),
            _SURE: best.values,
            NEXT_PROBABILITIES: is_next,
        }
        added = {name: tf.tensor_scatter_nd_update(state[name], where, value) for name, value in said.items()}
        return {**state, **added}

    def answers(self, state: Tensors, features: Tensors) -> dict[str, Any]:
        """Returns what `MaskedLmEvaluation` wants, [batch, sequences, …] each, and the answers to a request.

        Those are fill_tokens string[batch, masks, n] and fill_probabilities float32 of these shapes.
        """
        import tensorflow as tf

        taken = self._all_taken(features)
        texts = tf.constant(self._known.texts)
        best = tf.gather(texts, state[_BEST])
        is_masked = taken[MASKED_WEIGHTS] > 0
        is_asked = tf.reduce_any(features[SENTENCE_IDS] == self._known.mask_id, axis=1)
        filled = is_masked & is_asked[:, None, None]
        return {
            TOKENS: tf.gather(texts, taken[TOKEN_IDS]),
            MASKED_POSITIONS: tf.where(is_masked, taken[MASKED_POSITIONS], -1),
            MASKED_TOKENS: tf.gather(texts, state[_RIGHT]),
            SAID_TOKENS: best[..., 0],
            SAID_PROBABILITIES: state[_SURE][..., 0],
            RIGHT_PROBABILITIES: state[_RIGHT_SURE],
            IS_NEXT: taken[IS_NEXT],
            NEXT_PROBABILITIES: state[NEXT_PROBABILITIES],
            FILL_TOKENS: self._together(best, filled, ""),
            FILL_PROBABILITIES: self._together(state[_SURE], filled, 0.0),
        }

    @property
    def most(self) -> int:
        """How many pieces of a sequence may be masked."""
        return self.max_masked or math.ceil(self.max_sequence_length * self.masked_fraction)

    @property
    def _known(self) -> _Known:
        if self.vocabulary is None:
            raise ValueError("expected the vocabulary that Transform wrote, got none")
        return _known(self.vocabulary)

    @property
    def _room(self) -> int:
        """The pieces of a text that is alone."""
        return self.max_sequence_length - NUM_SPECIAL + 1

    def _places(self, features: Tensors, variant: Any) -> Any:
        import tensorflow as tf

        ids = features[SENTENCE_IDS]
        counts = self._counts(features)
        rows = tf.repeat(tf.range(tf.size(counts, tf.int64)), counts)
        numbers = tf.range(tf.size(rows, tf.int64)) - tf.gather(tf.cumsum(counts, exclusive=True), rows)
        by_piece = tf.where(ids > 0, mixed(ids, tf.range(tf.shape(ids, tf.int64)[1])), 0)
        contents = mixed(tf.reduce_sum(by_piece, axis=1), variant)
        return tf.stack([rows, numbers, mixed(tf.gather(contents, rows), numbers)], axis=1)

    def _counts(self, features: Tensors) -> Any:
        """Returns how many sequences each row has, int64[batch]: as many as would be full without overlap."""
        import tensorflow as tf

        total = tf.reduce_sum(features[SENTENCE_LENGTHS], axis=1)
        masks = tf.reduce_sum(tf.cast(features[SENTENCE_IDS] == self._known.mask_id, tf.int64), axis=1)
        for_masks = -(-masks // masks_each(total, self._room, self.most))
        for_pieces = tf.where(total > 0, tf.maximum((total + self._room // 2) // self._room, 1), 0)
        return tf.where(masks > 0, for_masks, for_pieces)

    def _drawn_pairs(self, features: Tensors, rows: Any, numbers: Any, salts: Any) -> Pair:
        import tensorflow as tf

        run, other = (
            Sentences.of(tf.gather(features[name], rows[:, 0])) for name in (SENTENCE_LENGTHS, OTHER_LENGTHS)
        )
        counts = tf.gather(self._counts(features), rows)
        length = self.max_sequence_length
        return draw_pairs(run, other, (numbers, counts), mixed(salts, 0), length, self.short_probability)

    def _sequence(self, run: Any, other: Any, pair: Pair) -> dict[str, Any]:
        """Returns token_ids, segment_ids and padding_mask int64[windows, length]."""
        import tensorflow as tf

        known, (first, second, is_next) = self._known, pair
        place = tf.range(self.max_sequence_length, dtype=tf.int64)
        # In either text.
        in_first, in_second = place - 1, place - first.size - 2
        starts = second.start + tf.cast(is_next != 1, tf.int64) * tf.shape(run, tf.int64)[1]
        is_first, is_second = (
            (offset >= 0) & (offset < part.size) for offset, part in ((in_first, first), (in_second, second))
        )
        pieces = tf.where(is_first, first.start + in_first, tf.where(is_second, starts + in_second, 0))
        ids = tf.gather(tf.concat([run, other], axis=1), pieces, batch_dims=1)
        count = first.size + 2 + tf.where(is_next >= 0, second.size + 1, 0)
        special = tf.where(place == 0, tf.cast(known.start_id, tf.int64), known.separator_id)
        exists = tf.cast(place < count, tf.int64)
        return {
            TOKEN_IDS: exists * tf.where(is_first | is_second, ids, special),
            SEGMENT_IDS: exists * tf.cast(in_second >= 0, tf.int64),
            PADDING_MASK: exists,
        }

    def _chosen(self, token_ids: Any, salts: Any) -> Chosen:
        """Returns which pieces of sequences are masked."""
        import tensorflow as tf

        may_be = tf.gather(tf.constant(self._known.is_piece), token_ids)
        size = tf.reduce_sum(tf.cast(token_ids > 0, tf.float32), axis=1, keepdims=True)
        counts = tf.cast(tf.floor(size * self.masked_fraction + 0.5), tf.int64)
        counts = tf.clip_by_value(counts, 1, self.most)
        if not self.whole_words:
            return choose(may_be, counts, salts, self.most)
        continues = tf.gather(tf.constant(self._known.continues), token_ids)
        return choose_words(may_be, continues, counts, salts, self.most)

    def _all_taken(self, features: Tensors) -> dict[str, Any]:
        """Returns what `take` does of all places: [batch, sequences, …] each, 0 where there are fewer."""
        import tensorflow as tf

        places = self.places(features)
        counts = self._counts(features)
        shape = tf.stack([tf.size(counts, tf.int64), tf.maximum(tf.reduce_max(counts), 1)])

        def spread(values: Any) -> Any:
            return tf.scatter_nd(places[:, :2], values, tf.concat([shape, tf.shape(values, tf.int64)[1:]], 0))

        taken = self.take(features, places)
        # Not 0, which says that a text is not next.
        is_next = spread(taken[IS_NEXT] + 1) - 1
        return {**{name: spread(values) for name, values in taken.items()}, IS_NEXT: is_next}

    def _together(self, values: Any, chosen: Any, filling: Any) -> Any:
        """Returns those of values [batch, sequences, k, n] that are chosen: [batch, masks, n]."""
        import tensorflow as tf

        counts = tf.reduce_sum(tf.cast(chosen, tf.int64), axis=[1, 2])
        flat = tf.RaggedTensor.from_row_lengths(tf.boolean_mask(values, chosen), counts, validate=False)
        return flat.to_tensor(filling, shape=[None, None, self.num_answers])


class _Known(NamedTuple):
    """A vocabulary: its tokens, which of them are pieces of texts, and which go on a word."""

    texts: tuple[str, ...]
    is_piece: NDArray[np.bool_]
    continues: NDArray[np.bool_]
    # The ids of the pieces, int64[n].
    pieces: NDArray[np.int64]
    mask_id: int
    start_id: int
    separator_id: int


@functools.lru_cache(maxsize=4)
def _known(path: str) -> _Known:
    texts = read_vocabulary(path)
    is_piece = np.array([not _NO_PIECE.fullmatch(text) for text in texts])
    continues = np.array([text.startswith(JOINER) for text in texts])
    ids = (texts.index(token) for token in (MASK, START, SEPARATOR))
    return _Known(texts, is_piece, continues, np.flatnonzero(is_piece), *ids)
