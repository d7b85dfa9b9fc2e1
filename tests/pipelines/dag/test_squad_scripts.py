"""The evaluation of SQuAD in corners worked by hand, here and in the code under test."""

from __future__ import annotations

import numpy as np
import pytest
from squad_scripts import script_v1, script_v2, words

from components.metrics.spans import SpanEvaluation, normalize


def data(*answers: list[str]) -> dict:
    questions = [
        {"id": str(number), "question": "?", "answers": [{"text": text, "answer_start": 0} for text in texts]}
        for number, texts in enumerate(answers)
    ]
    return {"data": [{"title": "", "paragraphs": [{"context": "", "qas": questions}]}]}


def printed(right: list[list[str]], said: list[str], odds: list[float], best: list[str]) -> dict:
    """What the evaluation under test says that the scripts print."""
    evaluation = SpanEvaluation()
    rows = zip(right, said, odds, best, strict=True)
    sums = sum(
        evaluation.sums(
            {"answers": [text.encode() for text in texts]},
            {
                "answer": np.array(answer.encode(), object),
                "best_answer": np.array(best_answer.encode(), object),
                "null_odds": np.float32(chance),
            },
        )
        for texts, answer, chance, best_answer in rows
    )
    return evaluation.details(sums)["as_printed_by"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  U.S. army!", ["us", "army"]),
        ("a.b, an-the theatre", ["ab", "anthe", "theatre"]),
        ("A B C", ["b", "c"]),
        # No ASCII punctuation: stays, and an article beside it is a word of its own.
        ("“The” Élan", ["“", "”", "élan"]),
        ("東京 İstanbul", ["東京", "i̇stanbul"]),
        ("The ... a", []),
    ],
)
def test_words_that_are_compared(text: str, expected: list[str]) -> None:
    assert words(text) == expected == normalize(text).split()


# Right answers, what is said, exact match and F1 of 1.1, and of 2.0, in percent.
CORNERS = [
    (["Red Cat."], "the red cat", (100, 100), (100, 100)),
    (["cat sat"], "red cat", (0, 50), (0, 50)),
    (["dog", "red cat sat"], "red cat", (0, 80), (0, 80)),
    (["no no"], "no no no", (0, 80), (0, 80)),
    # Nothing is left of the only answer, or of one of two.
    (["The"], "a", (100, 0), (100, 100)),
    (["The", "dog"], "the", (100, 0), (0, 0)),
    (["The"], "dog", (0, 0), (0, 0)),
    (["dog"], "", (0, 0), (0, 0)),
    (["Zoë’s"], "ZOË’S", (100, 100), (100, 100)),
]


@pytest.mark.parametrize(("right", "said", "v1", "v2"), CORNERS)
def test_corners_of_both_versions_worked_by_hand(
    right: list[str], said: str, v1: tuple[float, float], v2: tuple[float, float]
) -> None:
    predictions = {"0": said}
    ours = printed([right], [said], [0.0], [said])
    for found in (script_v1(data(right), predictions), ours["evaluate-v1.1.py"]):
        assert (found["exact_match"], found["f1"]) == pytest.approx(v1)
    for found in (script_v2(data(right), predictions), ours["evaluate-v2.0.py"]):
        assert (found["exact"], found["f1"]) == pytest.approx(v2)


def test_questions_without_an_answer_and_thresholds_worked_by_hand() -> None:
    right = [["red cat"], ["red cat"], [], ["mat"], []]
    said, odds = ["red cat", "cat sat", "dog", "mat", "hat"], [-5.0, -3.0, 4.0, 2.0, -1.0]
    expected = {
        "exact": 40.0, "f1": 50.0, "total": 5,
        "HasAns_exact": 200 / 3, "HasAns_f1": 250 / 3, "HasAns_total": 3,
        "NoAns_exact": 0.0, "NoAns_f1": 0.0, "NoAns_total": 2,
        # Two without an answer, the cat; with half a cat more: 3.5. Then -1 for the hat, and 1 for the mat.
        "best_exact": 60.0, "best_exact_thresh": -5.0, "best_f1": 70.0, "best_f1_thresh": -3.0,
    }  # fmt: skip
    predictions = {str(number): text for number, text in enumerate(said)}
    null_odds = {str(number): chance for number, chance in enumerate(odds)}
    assert script_v2(data(*right), predictions, null_odds) == pytest.approx(expected)
    assert printed(right, said, odds, said)["evaluate-v2.0.py"] == pytest.approx(expected)
    assert "evaluate-v1.1.py" not in printed(right, said, odds, said)
