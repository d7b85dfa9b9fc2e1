"""Scores of texts, as they are told."""

import numpy as np
import pytest

from components.asking.scores import NoScores, ScoreAsking
from components.protocols import Asking, Question


def test_each_row_is_told_its_score() -> None:
    assert isinstance(ScoreAsking(), Asking)
    question = Question("text", {}, ["one", "two"])
    first, second = ScoreAsking().replies(question, {"score": np.array([0.25, 4.0], np.float32)})
    assert (first.name, first.values, first.sentence) == ("one", {"score": 0.25}, "Score is 0.25.")
    assert second.cells == {"score>": "4.00"}


def test_outputs_of_a_classifier_are_refused() -> None:
    with pytest.raises(NoScores, match="expected output score, got classes"):
        list(ScoreAsking().replies(Question("text", {}, ["one"]), {"classes": np.array([1])}))
