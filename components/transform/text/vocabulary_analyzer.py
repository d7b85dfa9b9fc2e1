"""The pass over the training split that ends in vocabulary.txt, an asset of the transform graph."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.beam import experimental

from components import files
from components.formats.vocabulary import SPECIAL_TOKENS, VOCABULARY_ASSET
from components.transform.text.basic_tokenization import UNKNOWN, split_words
from components.transform.text.vocabulary import learn_vocabulary, to_lines

# The most frequent words that a vocabulary is learned from, as many as fit into the memory of one worker.
_MAX_WORDS = 500_000


def learn_vocabulary_file(
    size: int, texts: Any, lower_case: bool, strip_accents: bool | None = None
) -> str | None:
    """Returns the path of a file of at most `size` tokens learned from the words of `texts` string[batch].

    None while tf.Transform has not analyzed the texts yet. They are divided in the pass, not in the graph
    before it, which tf.Transform would trace, analyze, write and load again.
    """
    special = to_lines(SPECIAL_TOKENS)
    learned = _VocabularyFile(LearnedTokens(size, lower_case, strip_accents))
    (path,) = tft.experimental.ptransform_analyzer(
        [texts], learned, [tf.string], [[]], output_asset_default_values=[special]
    )
    return None if tf.is_symbolic_tensor(path) else path.numpy().decode()


class _VocabularyFile(experimental.PTransformAnalyzer):
    """Batches of texts to the path of one file; it lies in the temporary folder of tf.Transform."""

    def __init__(self, learned: LearnedTokens) -> None:
        super().__init__()
        self._learned = learned

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        path = posixpath.join(self.base_temp_dir, VOCABULARY_ASSET)
        return batches | self._learned | "Write" >> beam.Map(_write, path)


class LearnedTokens(beam.PTransform):
    """Batches of texts, one array each in a tuple, to one list of tokens.

    The same however the texts are spread over batches and workers.
    """

    def __init__(self, size: int, lower_case: bool, strip_accents: bool | None = None) -> None:
        super().__init__()
        self._size = size
        self._folded = lower_case, strip_accents

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return (
            batches
            | "CountInBatch" >> beam.FlatMap(_count, *self._folded)
            | "Count" >> beam.CombinePerKey(sum)
            | "MostFrequent" >> beam.combiners.Top.Of(_MAX_WORDS, key=_by_count)
            | "Learn" >> beam.Map(_learn, self._size)
        )


def _count(batch: Sequence[Any], lower_case: bool, strip_accents: bool | None) -> Iterator[tuple[bytes, int]]:
    words = split_words(tf.constant(np.ravel(batch[0])), lower_case, strip_accents)
    yield from Counter(words.flat_values.numpy().tolist()).items()


def _by_count(word_and_count: tuple[bytes, int]) -> tuple[int, bytes]:
    word, count = word_and_count
    return count, word


def _learn(counts: Iterable[tuple[bytes, int]], size: int) -> list[str]:
    words = [(word.decode(), count) for word, count in counts]
    return learn_vocabulary([(word, count) for word, count in words if UNKNOWN not in word], size)


def _write(tokens: Sequence[str], path: str) -> Any:
    files.write_bytes(path, to_lines(tokens))
    return np.array(path)
