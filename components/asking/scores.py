"""Questions about texts, and pairs of them, whose answer is a score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.asking.occlusion import of_texts
from components.asking.texts import TextAsking
from components.errors import UserError
from components.metrics.regression import SCORE
from components.protocols import Occlusion, Question, Reply

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

    def occluded(self, question: Question, reply: Reply) -> Occlusion:
        """Returns the texts without some of their words; a drop is one of the score."""
        occlusion = of_texts(question, self.text_features, lambda other: other.values[SCORE])
        return occlusion._replace(measure=SCORE, is_share=False)
