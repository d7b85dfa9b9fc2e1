"""The features of tf.Examples: keys, each spelled once, and declarations."""

from __future__ import annotations

from typing import Final, Literal

from components.config import Config

IMAGE: Final = "image"
LABEL: Final = "label"
TEXT_A: Final = "text_a"
TEXT_B: Final = "text_b"
ID: Final = "id"
TITLE: Final = "title"
# Which paragraph of the data an example is about: the same for the same text.
PARAGRAPH: Final = "paragraph"
QUESTION: Final = "question"
# What a question asks for, by its first such word: "who", "what", "when", …, or "other".
QUESTION_WORD: Final = "question_word"
CONTEXT: Final = "context"
ANSWERS: Final = "answers"
# Characters of the context; each answer is found at its start as it is.
ANSWER_STARTS: Final = "answer_starts"
IS_IMPOSSIBLE: Final = "is_impossible"
# Sentences that follow each other in a document; which document, the same for the same text, and its file.
SENTENCES: Final = "sentences"
DOCUMENT: Final = "document"
FILE: Final = "file"
# Sentences that follow each other in another document.
OTHER_SENTENCES: Final = "other_sentences"
# Of a volume: which one, whose, voxels along depth, height and width, and millimetres between them.
CASE: Final = "case"
PATIENT: Final = "patient"
SHAPE: Final = "shape"
SPACING_MM: Final = "spacing_mm"
# A whole file in a request.
NIFTI_BYTES: Final = "nifti_bytes"
# Some voxels of classes other than 0, as indices of the flat volume, and how many there are.
FOREGROUND: Final = "foreground"
FOREGROUND_COUNTS: Final = "foreground_counts"
# Mean, deviation, and the bounds that intensities are clipped to.
NORMALIZATION: Final = "normalization"
# On the grid that a model works on: voxels along each axis, and where a volume starts in the voxels of all.
GRID: Final = "grid"
STARTS: Final = "starts"
# The outputs of a network that was shown masked texts.
MASKED_LM: Final = "masked_lm"
NEXT_SENTENCE: Final = "next_sentence"
# The output of a network that has several, some of them coarser: the finest.
LOGITS: Final = "logits"
# Millilitres of each class but 0.
VOLUMES_ML: Final = "volumes_ml"
# What these are called.
CLASS_NAMES: Final = "class_names"
# The range that the number of characters of an example's text falls in, such as "33-64".
LENGTH: Final = "length"
TOKEN_IDS: Final = "token_ids"
SEGMENT_IDS: Final = "segment_ids"
# 1 where a token is, 0 where the batch is only filled up.
PADDING_MASK: Final = "padding_mask"
QUESTION_IDS: Final = "question_ids"
QUESTION_LENGTHS: Final = "question_lengths"
CONTEXT_IDS: Final = "context_ids"
CONTEXT_LENGTHS: Final = "context_lengths"
# Where each piece starts and ends in the context, in code points.
CONTEXT_STARTS: Final = "context_starts"
CONTEXT_ENDS: Final = "context_ends"
# The first and the last piece of the right answer; -1 where there is none.
ANSWER_FIRST: Final = "answer_first"
ANSWER_LAST: Final = "answer_last"
# Where a window has them; 0, where [CLS] is, unless it has all of the answer.
START_POSITIONS: Final = "start_positions"
END_POSITIONS: Final = "end_positions"
# Of the pieces of each sentence of a run, one after another, and of a run of another document.
SENTENCE_IDS: Final = "sentence_ids"
SENTENCE_LENGTHS: Final = "sentence_lengths"
OTHER_IDS: Final = "other_ids"
OTHER_LENGTHS: Final = "other_lengths"
# Places in a sequence whose tokens are to be told; 0, where [CLS] is, fills up.
MASKED_POSITIONS: Final = "masked_positions"
# The right tokens there, and 1 for each, 0 where it fills up.
MASKED_IDS: Final = "masked_ids"
MASKED_WEIGHTS: Final = "masked_weights"
# Whether a second text follows the first: 1, 0, or -1 where there is none.
IS_NEXT: Final = "is_next"
# 1.0 for a real example, 0.0 for one that only fills up the last batch of an evaluation.
EXAMPLE_WEIGHT: Final = "example_weight"


class Feature(Config):
    """One raw feature as ExampleGen writes it."""

    dtype: Literal["bytes", "int64", "float32"]
    # (): exactly one value in every example; None: any number of values.
    shape: tuple[int, ...] | None = ()
    # Smallest and largest value that the feature may hold (integers only).
    minimum: int | None = None
    maximum: int | None = None
    # Its integers are names of categories, not quantities.
    categorical: bool = False
    # The names of the categories 0, 1, …; empty where the numbers are the names.
    names: tuple[str, ...] = ()
    # False: known of examples alone, for training and slices; a request to a served model does not carry it.
    served: bool = True
    # Its values say nothing one by one, such as those of a volume: statistics know sizes, drift nothing.
    opaque: bool = False
