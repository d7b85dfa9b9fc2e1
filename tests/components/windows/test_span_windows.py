import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import pydantic
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.metrics.spans import SpanEvaluation
from components.protocols import Calibrated, Windowing
from components.windows.fold import fold
from components.windows.padding import pad
from components.windows.spans import NO_SPAN, Spans

SMALL = Spans(
    max_sequence_length=11, stride=2, max_question_length=3, n_best_size=4, max_answer_length=3,
    cls_id=101, sep_id=102, per_call=2, null_threshold=0.0,
)  # fmt: skip
ANY = tf.TensorSpec([None], tf.int64)
ANY_PIECES = tf.TensorSpec([None, None], tf.int64)
SPECS = {
    **dict.fromkeys(("question_ids", "context_ids", "context_starts", "context_ends"), ANY_PIECES),
    **dict.fromkeys(("question_lengths", "context_lengths", "answer_first", "answer_last"), ANY),
    "context": tf.TensorSpec([None], tf.string),
}


class Example(NamedTuple):
    question: list[int]
    # A piece's id and its text.
    pieces: list[tuple[int, str]]
    # The first and the last piece of the right answer.
    right: tuple[int, int] = (-1, -1)

    @property
    def context(self) -> str:
        return " ".join(text for _, text in self.pieces)

    @property
    def ends(self) -> list[int]:
        return [
            len(" ".join(text for _, text in self.pieces[: count + 1])) for count in range(len(self.pieces))
        ]

    @property
    def starts(self) -> list[int]:
        return [end - len(text) for end, (_, text) in zip(self.ends, self.pieces, strict=True)]


def batch(*examples: Example) -> dict:
    rows = {
        "question_ids": [example.question for example in examples],
        "context_ids": [[number for number, _ in example.pieces] for example in examples],
        "context_starts": [example.starts for example in examples],
        "context_ends": [example.ends for example in examples],
    }
    ragged = {name: tf.ragged.constant(values, tf.int64, 1) for name, values in rows.items()}
    return {
        **pad(ragged),
        "question_lengths": ragged["question_ids"].row_lengths(),
        "context_lengths": ragged["context_ids"].row_lengths(),
        "context": tf.constant([example.context for example in examples]),
        "answer_first": tf.constant([example.right[0] for example in examples], tf.int64),
        "answer_last": tf.constant([example.right[1] for example in examples], tf.int64),
    }


def network(inputs):
    """Small whole logits that depend on all of a window: there are ties, and their sums are exact."""
    ids = inputs["token_ids"]
    positions = tf.range(tf.shape(ids, tf.int64)[1])
    hashed = ids * 31 + positions * 17 + tf.reduce_sum(ids, axis=1, keepdims=True) * 13
    return tf.cast(tf.stack([hashed % 5, hashed * 7 % 6], axis=2) - 2, tf.float32)


# Plain Python, window by window and span by span.


class Window(NamedTuple):
    start: int
    length: int


def doc_spans(spans: Spans, example: Example) -> list[Window]:
    room = spans.max_sequence_length - 3 - len(example.question[: spans.max_question_length])
    found, start = [], 0
    while start < len(example.pieces):
        length = min(len(example.pieces) - start, room)
        found.append(Window(start, length))
        if start + length == len(example.pieces):
            break
        start += min(length, spans.stride)
    return found or [Window(0, 0)]


def has_most_context(windows: list[Window], index: int, piece: int) -> bool:
    best, best_score = None, None
    for number, window in enumerate(windows):
        last = window.start + window.length - 1
        if window.start <= piece <= last:
            score = min(piece - window.start, last - piece) + 0.01 * window.length
            if best_score is None or score > best_score:
                best, best_score = number, score
    return best == index


def taken(spans: Spans, example: Example, window: Window) -> dict[str, list[int]]:
    question = example.question[: spans.max_question_length]
    part = [number for number, _ in example.pieces[window.start :][: window.length]]
    tokens = [spans.cls_id, *question, spans.sep_id, *part, spans.sep_id]
    rest = [0] * (spans.max_sequence_length - len(tokens))
    first, last = example.right
    inside = window.start <= first and last < window.start + window.length
    moved = len(question) + 2 - window.start
    return {
        "token_ids": tokens + rest,
        "segment_ids": [0] * (len(question) + 2) + [1] * (len(part) + 1) + rest,
        "padding_mask": [1] * len(tokens) + rest,
        "start_positions": first + moved if inside else 0,
        "end_positions": last + moved if inside else 0,
    }


class Span(NamedTuple):
    first: int
    last: int
    start_logit: float
    end_logit: float

    @property
    def score(self) -> float:
        return self.start_logit + self.end_logit


def searched(spans: Spans, example: Example) -> tuple[list[Span], tuple[float, float]]:
    """All spans that may be answers, the best first; and the two logits of no answer."""
    windows, found, null = doc_spans(spans, example), [], (math.inf, math.inf)
    first_piece = len(example.question[: spans.max_question_length]) + 2
    for index, window in enumerate(windows):
        inputs = {"token_ids": tf.constant([taken(spans, example, window)["token_ids"]], tf.int64)}
        logits = network(inputs)[0].numpy().tolist()
        null = min(null, tuple(logits[0]), key=sum)
        for first, last in itertools.combinations_with_replacement(range(window.length), 2):
            short = last - first + 1 <= spans.max_answer_length
            if example.question and short and has_most_context(windows, index, window.start + first):
                both = logits[first_piece + first][0], logits[first_piece + last][1]
                found.append(Span(window.start + first, window.start + last, *both))
    return sorted(found, key=lambda span: (-span.score, span.first, span.last)), null


def answered(spans: Spans, example: Example) -> dict:
    found, null_logits = searched(spans, example)
    best, null = found[: spans.n_best_size], sum(null_logits)
    missing = spans.n_best_size - len(best)
    scores = [span.score for span in best]
    odds = null - scores[0] if best else NO_SPAN
    always = spans.null_threshold is None and best
    weights = [math.exp(score) for score in scores] + [0.0] * missing + [0.0 if always else math.exp(null)]
    shares = [weight / sum(weights) for weight in weights]
    starts = [example.starts[span.first] for span in best] + [0] * missing
    ends = [example.ends[span.last] for span in best] + [0] * missing
    texts = [example.context[start:end].encode() for start, end in zip(starts, ends, strict=True)]
    impossible = not best or (spans.null_threshold is not None and odds > spans.null_threshold)
    return {
        "answer": b"" if impossible else texts[0],
        "best_answer": texts[0],
        "score": shares[-1] if impossible else shares[0],
        "start": 0 if impossible else starts[0],
        "end": 0 if impossible else ends[0],
        "null_odds": odds,
        "is_impossible": int(impossible),
        "n_best_answers": texts,
        "n_best_scores": shares[:-1],
        "n_best_starts": starts,
        "n_best_ends": ends,
        "n_best_start_logits": [span.start_logit for span in best] + [0.0] * missing,
        "n_best_end_logits": [span.end_logit for span in best] + [0.0] * missing,
        "null_start_logit": null_logits[0],
        "null_end_logit": null_logits[1],
    }


pieces = st.tuples(st.integers(5, 12), st.sampled_from(["a", "é", "日本", "𝄞x", "."]))


@st.composite
def examples(draw) -> Example:
    context = draw(st.lists(pieces, max_size=16))
    right = (-1, -1)
    if context and draw(st.booleans()):
        right = tuple(sorted(draw(st.tuples(*[st.integers(0, len(context) - 1)] * 2))))
    return Example(draw(st.lists(st.integers(5, 12), max_size=5)), context, right)


# Windows that overlap by much, by little, by nothing; fewer spans than are to be answered; any threshold.
SETTINGS = [
    SMALL,
    SMALL.model_copy(update={"stride": 1, "null_threshold": None, "per_call": 5}),
    SMALL.model_copy(update={"stride": 5, "null_threshold": -3.0, "max_answer_length": 20}),
    SMALL.model_copy(update={"stride": 50, "null_threshold": 2.0, "n_best_size": 60, "per_call": 1}),
]


@functools.cache
def folding(spans: Spans):
    return tf.function(lambda features: fold(spans, features, network), input_signature=[SPECS])


@functools.cache
def cutting(spans: Spans):
    def cut(features):
        places = spans.drawn(features, tf.zeros([2], tf.int64))
        return places, spans.take(features, places)

    return tf.function(cut, input_signature=[SPECS])


@pytest.mark.parametrize("spans", SETTINGS)
@settings(max_examples=30, deadline=None)
@given(st.lists(examples(), min_size=1, max_size=3))
def test_windows_are_those_of_a_search_in_plain_python(spans, some):
    places, windows = cutting(spans)(batch(*some))
    expected = [(row, window) for row, example in enumerate(some) for window in doc_spans(spans, example)]
    assert places.numpy().tolist() == [[row, window.start] for row, window in expected]
    rows = [taken(spans, some[row], window) for row, window in expected]
    for name, values in windows.items():
        assert values.dtype == tf.int64
        assert values.numpy().tolist() == [row[name] for row in rows], name


@pytest.mark.parametrize("spans", SETTINGS)
@settings(max_examples=40, deadline=None)
@given(st.lists(examples(), min_size=1, max_size=3))
def test_answers_are_those_of_a_search_in_plain_python(spans, some):
    found = folding(spans)(batch(*some))
    rows = [answered(spans, example) for example in some]
    assert found.keys() == rows[0].keys()
    for name, values in found.items():
        expected = [row[name] for row in rows]
        if values.dtype == tf.float32:
            np.testing.assert_allclose(values, expected, rtol=1e-5, err_msg=name)
        else:
            assert values.numpy().tolist() == expected, name


@pytest.mark.parametrize("spans", SETTINGS)
@settings(max_examples=20, deadline=None)
@given(examples())
def test_each_piece_has_its_most_context_in_one_window_as_in_plain_python(spans, example):
    features = batch(example)
    windows = spans._windows(features, spans.places(features))
    offset = len(example.question[: spans.max_question_length]) + 2
    most = windows.most_context.numpy()
    known = doc_spans(spans, example)
    for index, window in enumerate(known):
        expected = np.zeros(spans.max_sequence_length, bool)
        for piece in range(window.length):
            expected[offset + piece] = has_most_context(known, index, window.start + piece)
        np.testing.assert_array_equal(most[index], expected)
    assert most.sum() == len(example.pieces)


@pytest.mark.parametrize("length", [368, 388, 497, 600, 640])
def test_in_long_windows_the_length_counts_for_pieces_of_context_as_in_plain_python(length):
    spans, example = Spans(), Example([5] * 13, [(5, "a")] * length)
    features = {"question_lengths": [13], "context_lengths": [length]}
    features = {name: tf.constant(value, tf.int64) for name, value in features.items()}
    most = spans._windows(features, spans.places(features)).most_context.numpy()
    windows = doc_spans(spans, example)
    assert most.shape[0] == len(windows)
    for index, window in enumerate(windows):
        pieces = range(window.start, window.start + window.length)
        expected = [has_most_context(windows, index, piece) for piece in pieces]
        assert most[index, 15 : 15 + window.length].tolist() == expected


def words(text: str) -> list[tuple[int, str]]:
    return [(10 + number, word) for number, word in enumerate(text.split())]


def test_it_is_a_windowing_of_which_an_epoch_has_all_windows():
    assert isinstance(SMALL, Windowing)
    assert SMALL.drawn_per_example is None


def test_the_settings_of_the_original_are_the_defaults():
    spans = Spans()
    assert (spans.max_sequence_length, spans.stride, spans.max_question_length) == (384, 128, 64)
    assert (spans.n_best_size, spans.max_answer_length, spans.null_threshold) == (20, 30, "best")
    places = spans.places({"question_lengths": tf.constant([13, 90], tf.int64),
                           "context_lengths": tf.constant([368 + 129, 317], tf.int64)})  # fmt: skip
    assert places.numpy().tolist() == [[0, 0], [0, 128], [0, 256], [1, 0]]


def test_a_window_worked_by_hand():
    features = batch(Example([7, 8], words("Rome fell in the year 476 or so"), (5, 6)))
    places = SMALL.places(features)
    assert places.numpy().tolist() == [[0, 0], [0, 2]]
    windows = {name: value.numpy().tolist() for name, value in SMALL.take(features, places).items()}
    assert windows["token_ids"] == [
        [101, 7, 8, 102, 10, 11, 12, 13, 14, 15, 102],
        [101, 7, 8, 102, 12, 13, 14, 15, 16, 17, 102],
    ]
    assert windows["segment_ids"][0] == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    # The first window has only half of the answer.
    assert (windows["start_positions"], windows["end_positions"]) == ([0, 7], [0, 8])


def test_the_network_sees_no_more_filling_than_the_longest_window_needs():
    spans = Spans(max_sequence_length=100, cls_id=101, sep_id=102)
    features = batch(Example([7, 8], words("Rome fell")), Example([7], words("a b c d e f g h i j k l m n")))
    taken = spans.take(features, spans.places(features))
    served = spans.served(taken)
    # [CLS] 7 [SEP], 14 pieces and [SEP] are 18; the next multiple of 16 is 32.
    for name in ("token_ids", "segment_ids", "padding_mask"):
        assert served[name].shape == (2, 32)
        assert served[name].numpy().tolist() == taken[name][:, :32].numpy().tolist()
        assert not taken[name][:, 32:].numpy().any()


@settings(max_examples=20, deadline=None)
@given(st.lists(examples(), min_size=1, max_size=3))
def test_logits_of_the_filling_change_no_answer(some):
    features = batch(*some)
    places = SMALL.places(features)
    logits = network(SMALL.take(features, places))
    length = int(tf.reduce_max(tf.reduce_sum(SMALL.take(features, places)["padding_mask"], axis=1)))
    states = [SMALL.add(SMALL.start(features), places, logits[:, :end]) for end in (length, None)]
    short, whole = (SMALL.answers(state, features) for state in states)
    for name in whole:
        assert short[name].numpy().tolist() == whole[name].numpy().tolist()


def test_requests_have_no_targets():
    features = batch(Example([7], words("Rome fell")))
    served = {name: value for name, value in features.items() if not name.startswith("answer")}
    assert SMALL.take(served, SMALL.places(served)).keys() == {"token_ids", "segment_ids", "padding_mask"}


def answer_of(spans: Spans, example: Example, logits: list[list[float]]) -> dict:
    """The answer where the one window has these start and end logits."""
    padded = np.full((1, spans.max_sequence_length, 2), -9.0, np.float32)
    padded[0, : len(logits)] = logits
    found = fold(spans, batch(example), lambda _: tf.constant(padded))
    return {name: value.numpy()[0] for name, value in found.items()}


# [CLS] 7 [SEP] Élan 𝄞 fell [SEP]; no answer scores 1, "Élan 𝄞" 2 + 3.
LOGITS = [[0, 1], [9, 9], [9, 9], [2, 0], [0, 3], [1, -1], [9, 9]]


def test_an_answer_worked_by_hand():
    found = answer_of(SMALL, Example([7], words("Élan 𝄞 fell")), LOGITS)
    assert (found["answer"].decode(), found["start"], found["end"]) == ("Élan 𝄞", 0, 6)
    assert found["null_odds"] == -4.0
    # Spans 0-1, 1-1, 0-0, 0-2 score 5, 3, 2, 1; none 1.
    total = sum(math.exp(score) for score in (5, 3, 2, 1, 1))
    assert found["n_best_scores"] == pytest.approx([math.exp(score) / total for score in (5, 3, 2, 1)])
    assert found["n_best_starts"].tolist() == [0, 5, 0, 0]
    assert found["n_best_ends"].tolist() == [6, 6, 4, 11]
    assert found["n_best_start_logits"].tolist() == [2, 0, 2, 2]
    assert found["n_best_end_logits"].tolist() == [3, 3, 0, -1]
    assert (found["null_start_logit"], found["null_end_logit"]) == (0, 1)


def test_over_the_threshold_there_is_no_answer_but_a_best_one():
    strict = SMALL.model_copy(update={"null_threshold": -4.5})
    found = answer_of(strict, Example([7], words("Élan 𝄞 fell")), LOGITS)
    assert (found["answer"], found["is_impossible"], found["start"], found["end"]) == (b"", 1, 0, 0)
    assert found["best_answer"].decode() == "Élan 𝄞"


def test_the_best_threshold_is_0_until_it_is_chosen():
    best = SMALL.model_copy(update={"null_threshold": "best"})
    assert isinstance(best, Calibrated)
    assert (best.chosen_by, SMALL.chosen_by) == ("best_threshold", None)
    example = Example([7], words("Élan 𝄞 fell"))
    assert answer_of(best, example, LOGITS)["is_impossible"] == 0
    chosen = best.with_chosen(-4.5)
    assert (chosen.null_threshold, chosen.chosen_by) == (-4.5, None)
    assert answer_of(chosen, example, LOGITS)["is_impossible"] == 1
    assert best.with_chosen(math.nan).null_threshold is None


@pytest.mark.parametrize("example", [Example([7], []), Example([], words("Rome fell"))])
def test_an_empty_question_or_context_has_no_answer_whatever_the_threshold(example):
    for threshold in (1e9, None):
        found = answer_of(SMALL.model_copy(update={"null_threshold": threshold}), example, LOGITS)
        assert (found["answer"], found["best_answer"], found["is_impossible"]) == (b"", b"", 1)
        assert found["null_odds"] == NO_SPAN
        assert found["score"] == 1.0


def test_logits_that_are_no_numbers_show():
    found = answer_of(SMALL, Example([7], words("Rome fell")), [[math.nan] * 2] * 11)
    assert math.isnan(found["null_odds"])


def test_one_window_whose_logits_are_no_numbers_shows():
    features = batch(Example([7], words("a b c d e f g h i j")))
    logits = np.zeros((2, 11, 2), np.float32)
    logits[1] = math.nan
    assert len(SMALL.places(features)) == 3
    found = fold(SMALL, features, lambda inputs: tf.constant(logits[: len(inputs["token_ids"])]))
    assert math.isnan(found["null_odds"].numpy()[0])


def test_a_span_whose_pieces_are_not_in_the_order_of_the_text_is_empty_at_worst():
    features = batch(Example([7], words("Rome fell")))
    features = {**features, "context_starts": tf.constant([[3, 0]], tf.int64),
                "context_ends": tf.constant([[9, 2]], tf.int64)}  # fmt: skip
    logits = np.zeros((1, 11, 2), np.float32)
    logits[0, 3, 0] = logits[0, 4, 1] = 5.0
    found = fold(SMALL, features, lambda _: tf.constant(logits))
    assert [found[name].numpy()[0] for name in ("answer", "start", "end")] == [b"", 3, 3]


def test_bytes_that_are_no_utf_8_do_not_count():
    features = {
        **batch(Example([7], words("Élan 𝄞 fell"))),
        "context": tf.constant([b"\xc3\x89\xfflan \x80\xf0\x9d\x84\x9e fell"]),
    }
    padded = np.full((1, 11, 2), -9.0, np.float32)
    padded[0, :7] = LOGITS
    answer = fold(SMALL, features, lambda _: tf.constant(padded))["answer"].numpy()[0]
    assert answer.decode() == "Élan 𝄞"


def test_what_is_answered_can_be_evaluated():
    found = answer_of(SMALL, Example([7], words("Élan 𝄞 fell")), LOGITS)
    row = {name: np.asarray(value) for name, value in found.items()}
    raw = {"question": b"Who?", "context": "Élan 𝄞 fell".encode(), "answers": ["élan 𝄞!".encode()],
           "answer_starts": [0], "is_impossible": 0}  # fmt: skip
    assert SpanEvaluation().results(SpanEvaluation().sums(raw, row))["exact_match"] == 1.0
    assert "<mark>Élan 𝄞</mark>" in SpanEvaluation().show(raw, row)


def test_a_state_stays_as_it_is_however_many_windows_there_are():
    features = batch(Example([7], words("a b c d e f g h i j")), Example([], []))
    state = SMALL.start(features)
    places = SMALL.places(features)
    added = SMALL.add(state, places, network(SMALL.take(features, places)))
    assert {name: value.shape for name, value in added.items()} == {
        name: value.shape for name, value in state.items()
    }
    assert state["scores"].shape == (2, 4)


def test_ids_come_from_a_vocabulary():
    fitted = Spans().with_vocabulary(["[PAD]", "the", "[SEP]", "[CLS]"])
    assert (fitted.cls_id, fitted.sep_id) == (3, 2)
    assert (Spans().cls_id, Spans().sep_id) == (2, 3)


def test_a_window_has_room_for_a_piece():
    with pytest.raises(pydantic.ValidationError, match="max_sequence_length: expected at least 68, got 67"):
        Spans(max_sequence_length=67)
