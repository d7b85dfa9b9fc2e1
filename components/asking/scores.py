"""Questions about texts, and pairs of them, whose answer is a score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.asking.texts import TextAsking
from components.errors import UserError
from components.metrics.regression import SCORE
from components.protocols import Question, Reply

if TYPE_CHECKING:
    from components.protocols import Arrays


class NoScores(UserError):
    """Outputs that are not those of a regression."""


class ScoreAsking(TextAsking):
    """Asks for the scores of the texts given, or of the rows of a file."""

    def replies(self, question: Question, outputs: Arrays) -> Iterator[Reply]:
        """Yields the score of each row; raises NoScores."""
        if SCORE not in outputs:
            raise NoScores(f"expected output {SCORE}, got {', '.join(sorted(outputs))}")
        for name, value in zip(question.names, outputs[SCORE].ravel().tolist(), strict=True):
            yield Reply(name, {SCORE: value}, f"Score is {value:.2f}.", {"score>": f"{value:.2f}"})
