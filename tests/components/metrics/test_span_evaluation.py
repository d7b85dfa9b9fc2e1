import collections
import math
import re
import string

import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.metrics.spans import THRESHOLDS, SpanEvaluation, curve, normalize, quality
from components.protocols import Evaluation

EVALUATION = SpanEvaluation()


def raw(*answers: str, context: str = "Rome fell", question: str = "Who?") -> dict:
    return {
        "question": question.encode(),
        "context": context.encode(),
        "answers": [answer.encode() for answer in answers],
        "answer_starts": [context.find(answer) for answer in answers],
        "is_impossible": int(not answers),
    }


def answer(text: str, odds: float = 0.0, best: str | None = None, score: float = 0.5, start: int = 0) -> dict:
    return {
        "answer": np.array(text.encode(), object),
        "best_answer": np.array((text if best is None else best).encode(), object),
        "null_odds": np.float32(odds),
        "score": np.float32(score),
        "start": np.int64(start),
        "end": np.int64(start + len(text)),
    }


# Right, half right, rightly given up, wrongly given up, wrongly answered.
FIVE = [
    (raw("red cat"), answer("The red cat.", -5)),
    (raw("red cat"), answer("cat sat", -3)),
    (raw(), answer("", 4, "dog")),
    (raw("mat"), answer("", 2, "mat")),
    (raw(), answer("hat", -1)),
]
SUMS = sum(EVALUATION.sums(*example) for example in FIVE)


def test_it_is_an_evaluation_and_may_bless_by_all_but_the_threshold():
    assert isinstance(EVALUATION, Evaluation)
    assert EVALUATION.fitted_to({}, None) is EVALUATION
    assert set(EVALUATION.metrics) - set(EVALUATION.numbers) == {"best_threshold"}
    assert SpanEvaluation(metrics=("best_threshold", "f1")).numbers == ("f1",)


def test_an_unknown_metric_is_refused():
    with pytest.raises(pydantic.ValidationError, match="did you mean 'exact_match'"):
        SpanEvaluation(metrics=("exact_mach",))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  U.S. army!", "us army"),
        ("a\tcat\u00a0and\nan owl", "cat and owl"),
        # Articles are words of their own; punctuation is gone before they are looked for.
        ("Theatre, anthem, Banana", "theatre anthem banana"),
        ("the-end", "theend"),
        ("a.b", "ab"),
        # Only ASCII's punctuation counts.
        ("“The” Élan—", "“ ” élan—"),
        ("The", ""),
        ("?!", ""),
    ],
)
def test_what_is_compared_of_an_answer(text, normal):
    assert normalize(text) == normal


@pytest.mark.parametrize(
    ("said", "right", "expected"),
    [
        ("the red cat", ["Red Cat."], (1, 1)),
        ("red cat", ["cat sat"], (0, 0.5)),
        # The best of several: 2 of 3 words, and 2 of 2.
        ("red cat", ["dog", "red cat sat"], (0, 0.8)),
        # A word counts as often as both have it: 2 of 3 and of 2.
        ("no no no", ["no no"], (0, 0.8)),
        ("dog", ["cat"], (0, 0)),
        ("", [], (1, 1)),
        ("dog", [], (0, 0)),
        # Nothing is left of it.
        ("the", [], (1, 1)),
        ("", ["cat"], (0, 0)),
        ("", ["The"], (1, 1)),
        ("the", ["The", "dog"], (0, 0)),
    ],
)
def test_exact_match_and_f1_worked_by_hand(said, right, expected):
    assert quality(said, right) == pytest.approx(expected)


def test_results_worked_by_hand():
    assert EVALUATION.results(SUMS) == {
        "f1": pytest.approx((1 + 0.5 + 1) / 5),
        "exact_match": pytest.approx(2 / 5),
        "has_answer_f1": pytest.approx(1.5 / 3),
        "has_answer_exact": pytest.approx(1 / 3),
        "no_answer_accuracy": pytest.approx(1 / 2),
        # Nothing answered over -3: both without an answer are right; over 2: one of them, and the mat.
        "best_f1": pytest.approx((1 + 0.5 + 2) / 5),
        "best_exact_match": pytest.approx(3 / 5),
        "best_threshold": -3.0,
    }


def test_details_hold_the_numbers_of_examples():
    details = EVALUATION.details(SUMS)
    assert (details["num_has_answer"], details["num_no_answer"]) == (3, 2)


def test_the_published_script_would_print_the_same():
    assert EVALUATION.details(SUMS)["as_printed_by"] == {
        "evaluate-v2.0.py": {
            "exact": pytest.approx(40.0),
            "f1": pytest.approx(50.0),
            "total": 5,
            "HasAns_exact": pytest.approx(100 / 3),
            "HasAns_f1": pytest.approx(50.0),
            "HasAns_total": 3,
            "NoAns_exact": pytest.approx(50.0),
            "NoAns_f1": pytest.approx(50.0),
            "NoAns_total": 2,
            "best_exact": pytest.approx(60.0),
            "best_exact_thresh": -5.0,
            "best_f1": pytest.approx(70.0),
            "best_f1_thresh": -3.0,
        }
    }
    assert EVALUATION.details(np.zeros_like(SUMS))["as_printed_by"] == {}


def test_where_every_question_has_an_answer_the_script_of_1_1_would_too():
    # Nothing is left of "The": right by 1.1 word for word, but with no word in common.
    examples = [FIVE[0], FIVE[1], (raw("The", "cat"), answer("the"))]
    printed = EVALUATION.details(sum(EVALUATION.sums(*each) for each in examples))["as_printed_by"]
    assert printed["evaluate-v1.1.py"] == pytest.approx({"exact_match": 200 / 3, "f1": 50.0})
    assert printed["evaluate-v2.0.py"]["exact"] == pytest.approx(100 / 3)


def test_what_does_not_exist_is_not_a_number():
    nothing = EVALUATION.results(np.zeros_like(SUMS))
    assert all(math.isnan(value) for value in nothing.values())
    answerable = EVALUATION.results(EVALUATION.sums(*FIVE[0]))
    # Where every question has an answer, no threshold is better than any.
    assert [name for name, value in answerable.items() if math.isnan(value)] == [
        "no_answer_accuracy", "best_threshold"
    ]  # fmt: skip


def test_odds_that_are_no_number_are_never_answered():
    sums = EVALUATION.sums(raw("cat"), answer("cat", math.nan))
    assert EVALUATION.results(sums)["best_f1"] == 0.0


def test_an_answer_may_be_a_row_of_a_batch():
    row = {name: np.asarray([value.item()]) for name, value in FIVE[1][1].items()}
    np.testing.assert_array_equal(EVALUATION.sums(FIVE[1][0], row), EVALUATION.sums(*FIVE[1]))


def test_badness_grows_with_how_sure_a_wrong_answer_was():
    assert EVALUATION.badness(raw("cat"), answer("a cat", score=0.9)) == 0.0
    assert EVALUATION.badness(raw("red cat"), answer("cat sat", score=0.0)) == pytest.approx(0.5)
    assert EVALUATION.badness(raw(), answer("cat", score=0.25)) == pytest.approx(1.25)


def official(said: str, right: list[str]) -> tuple[float, float]:
    """Exact match and F1 by precision and recall, letter by letter and word by word."""

    def words(text):
        text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
        runs = re.findall(r"\w+|\W+", text)
        return "".join(" " if run in {"a", "an", "the"} else run for run in runs).split()

    def f1(ours, theirs):
        if not ours or not theirs:
            return float(ours == theirs)
        left, same = collections.Counter(theirs), 0
        for word in ours:
            same += left[word] > 0
            left[word] -= 1
        if not same:
            return 0.0
        precision, recall = same / len(ours), same / len(theirs)
        return 2 * precision * recall / (precision + recall)

    counting = [text for text in right if words(text)] or [""]
    pairs = [(words(said), words(text)) for text in counting]
    return max(float(ours == theirs) for ours, theirs in pairs), max(f1(*pair) for pair in pairs)


texts = st.lists(
    st.sampled_from(["a", "An", "THE", "cat", "Cat.", "é", "-", "the-cat", " ", "\t", "of", "1,000"]),
    max_size=5,
).map(" ".join)
right_answers = st.lists(texts, max_size=3)
odds = st.one_of(st.sampled_from(THRESHOLDS.tolist()), st.floats(-30, 30, width=32))


@given(texts, right_answers)
def test_quality_is_that_of_an_independent_implementation(said, right):
    assert quality(said, right) == pytest.approx(official(said, right))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(right_answers, texts, odds), min_size=1, max_size=8))
def test_sums_add_up_and_the_best_threshold_is_that_of_a_search(examples):
    sums = sum(EVALUATION.sums(raw(*right), answer(best, chance, best)) for right, best, chance in examples)
    results = EVALUATION.results(sums)
    assert results["f1"] == pytest.approx(
        sum(official(best, right)[1] for right, best, _ in examples) / len(examples)
    )
    by_threshold = [
        [
            sum(
                official(best if chance <= threshold else "", right)[measure]
                for right, best, chance in examples
            )
            / len(examples)
            for threshold in THRESHOLDS[::8]
        ]
        for measure in (0, 1)
    ]
    found = curve(sums)
    np.testing.assert_allclose([found.exact_match[::8], found.f1[::8]], by_threshold, atol=1e-9)
    assert results["best_f1"] >= max(by_threshold[1]) - 1e-9
    assert results["best_exact_match"] >= max(by_threshold[0]) - 1e-9
    assert math.isnan(results["best_threshold"]) == all(right for right, _, _ in examples)
    threshold = THRESHOLDS[found.f1.argmax()]
    assert results["best_threshold"] == threshold or math.isnan(results["best_threshold"])
    reached = [official(best if chance <= threshold else "", right)[1] for right, best, chance in examples]
    assert results["best_f1"] == pytest.approx(sum(reached) / len(examples))


def test_an_answer_is_shown_beside_the_right_one_and_escaped():
    html = EVALUATION.show(raw("a <b> cat", context="I saw a <b> cat & left"), answer("<b> cat &", start=8))
    assert "<p>I saw <ins>a </ins><ins><mark>&lt;b&gt; cat</mark></ins><mark> &amp;</mark> left</p>" in html
    assert "<p>Said “&lt;b&gt; cat &amp;” (50.0%); right is “a &lt;b&gt; cat”.</p>" in html
    assert html.startswith("<p><strong>Who?</strong></p>")


def test_a_long_context_is_shown_around_the_answers():
    context = "x" * 500 + "Ünd" + "y" * 500 + "end"
    html = EVALUATION.show(raw("end", context=context), answer("Ünd", start=500))
    shown = f" … {'x' * 100}<mark>Ünd</mark>{'y' * 100} … {'y' * 100}<ins>end</ins></p>"
    assert shown in html


def test_bytes_that_are_no_utf_8_do_not_count():
    broken = {**raw("cat", context="a cat"), "context": b"a \xffcat"}
    assert "<p>a <ins><mark>cat</mark></ins></p>" in EVALUATION.show(broken, answer("cat", start=2))


def test_no_answer_is_shown_as_such():
    html = EVALUATION.show(raw(context="z" * 300), answer(""))
    assert f"<p>{'z' * 200} … </p><p>Said no answer (50.0%); right is no answer.</p>" in html


def test_sections_are_a_table_and_a_picture_without_scripts():
    by_answer, picture = EVALUATION.sections(SUMS)
    assert "<td>With an answer</td><td>3</td><td>0.3333</td><td>0.5000</td>" in by_answer.html
    assert "F1 is best, 0.7000, at -3." in picture.html
    assert picture.html.count("<polyline") == 2
    assert "<script" not in picture.html
    assert [section.title for section in EVALUATION.sections(np.zeros_like(SUMS))] == [by_answer.title]
