"""The best spans of each window among all that may be an answer, in a graph."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from components.windows.span_windows import Windows


class Best(NamedTuple):
    """The best spans of each window, [windows, n] each, the best first."""

    scores: Any
    # Pieces of the context.
    firsts: Any
    lasts: Any
    # The logits of the first ones.
    starts: Any


def best_spans(windows: Windows, logits: Any, max_answer_length: int, count: int) -> Best:
    """Returns so many spans of windows, whose start and end logits are float32[windows, length, 2].

    A span has at most `max_answer_length` pieces, and begins where no other window has more around it.
    """
    offsets = windows.offsets
    # An empty question has no answer.
    may_start = windows.most_context & (windows.question > 0)
    starts = tf.where(may_start, logits[:, :, 0], -math.inf)
    ends = tf.where((offsets >= 0) & (offsets < windows.count), logits[:, :, 1], -math.inf)
    padded = tf.pad(ends, [[0, 0], [0, max_answer_length]], constant_values=-math.inf)
    spans = starts[:, :, None] + tf.gather(
        padded, tf.range(windows.length)[:, None] + tf.range(max_answer_length), axis=1
    )
    # In the order of their starts, then of their ends: top_k prefers the first of equal ones.
    size = windows.length * max_answer_length
    best = tf.math.top_k(tf.reshape(spans, [-1, size]), min(count, size))
    begins, more = (
        tf.cast(places, tf.int64)
        for places in (best.indices // max_answer_length, best.indices % max_answer_length)
    )
    firsts = windows.start + tf.gather(offsets, begins, batch_dims=1)
    return Best(best.values, firsts, firsts + more, tf.gather(logits[:, :, 0], begins, batch_dims=1))
