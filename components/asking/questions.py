"""Questions about a context, given as a text or in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.errors import UserError
from components.features import CONTEXT, QUESTION
from components.formats.squad import read_squad
from components.protocols import Given, Preprocessing, Question, Reply, Source

if TYPE_CHECKING:
    from components.protocols import Arrays

# Characters beside an answer that its sentence is shown with.
_BESIDE: Final = 60


class NoContext(UserError):
    """A question without the text that is to answer it."""


@dataclass(frozen=True)
class QuestionAsking:
    """Asks for the answers that a context has; or for all those of a file in SQuAD's format."""

    takes = "a question, with --field context=TEXT or context=@FILE"

    def fitted_to(self, source: Source, preprocessing: Preprocessing) -> QuestionAsking:
        return self

    def questions(self, given: Given) -> Iterator[Question]:
        """Yields one question about all pairs; raises UserError."""
        pairs = [(question, _context(given)) for question in given.inputs]
        if given.rows is not None:
            pairs += [(found.question, found.context) for found in read_squad(given.rows)]
        yield Question("answer", _inputs(pairs), [question for question, _ in pairs])

    def replies(self, names: Sequence[str], outputs: Arrays) -> Iterator[Reply]:
        """Yields the answer, where it is, and how sure the model is, for each question."""
        if not {"answer", "score", "start", "end", "null_odds"} <= outputs.keys():
            raise NoContext(f"expected outputs answer and score, got {', '.join(sorted(outputs))}")
        for row, name in enumerate(names):
            yield _reply(name, {key: value[row] for key, value in outputs.items()})


def _context(given: Given) -> str:
    context = given.fields.get(CONTEXT)
    if context is None:
        raise NoContext("expected the text that is to answer: --field context=TEXT, or context=@FILE")
    if not context.startswith("@"):
        return context
    try:
        return Path(context[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NoContext(f"{context[1:]}: cannot be read: {error}") from error


def _inputs(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    import numpy as np

    if not pairs:
        raise NoContext("expected at least one question, got none")
    encoded = np.array([[text.encode("utf-8", "ignore") for text in pair] for pair in pairs], object)
    return dict(zip((QUESTION, CONTEXT), encoded.T, strict=True))


def _reply(name: str, answer: dict[str, Any]) -> Reply:
    text, score = bytes(answer["answer"]).decode("utf-8", "replace"), float(answer["score"])
    n_best = [
        {"answer": bytes(each).decode("utf-8", "replace"), "score": float(share)}
        for each, share in zip(answer["n_best_answers"], answer["n_best_scores"], strict=True)
        if each
    ]
    values = {
        "answer": text,
        "score": score,
        "start": int(answer["start"]),
        "end": int(answer["end"]),
        "null_odds": float(answer["null_odds"]),
        "is_impossible": bool(answer["is_impossible"]),
        "n_best": n_best,
    }
    said = f'Answer is "{text}" ({score:.1%}).' if text else "The text does not say."
    return Reply(name, values, said, {"answer": text or "–", "score>": f"{score:.1%}"})
