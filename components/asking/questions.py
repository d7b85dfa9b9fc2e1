"""Questions about a context, or those of a file in SQuAD's format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from components.asking.occlusion import of_texts
from components.asking.typed import typed
from components.errors import UserError
from components.features import CONTEXT, QUESTION
from components.formats.predictions import Prediction, Scored, writing_predictions
from components.formats.squad import read_squad
from components.protocols import Entry, Fields, Given, Occlusion, Preprocessing, Question, Reply, Source

if TYPE_CHECKING:
    from components.protocols import Arrays

_SUFFIXES: Final = (".json", ".jsonl")
_OUTPUTS: Final = {
    "answer", "best_answer", "score", "start", "end", "null_odds", "is_impossible", "null_start_logit",
    "null_end_logit", "n_best_answers", "n_best_scores", "n_best_starts", "n_best_ends",
    "n_best_start_logits", "n_best_end_logits",
}  # fmt: skip
# Characters beside an answer that its sentence is shown with, at most.
_BESIDE: Final = 120
_SENTENCE_END: Final = re.compile(r"[.!?…。！？][\"'”’)\]]*\s+|\n+")


class NoContext(UserError):
    """A question without the text that is to answer it."""


@dataclass(frozen=True)
class QuestionAsking:
    """Asks for the answers that a context has; or for all those of a file in SQuAD's format."""

    takes = "a question and --context FILE, or a .json or .jsonl file of questions"
    entry = Entry("text", (QUESTION,))
    fields: ClassVar[Fields] = {CONTEXT: "file"}
    sample = Given(["Who crossed the river?"], fields={CONTEXT: "In spring, the miller crossed the river."})

    def fitted_to(self, source: Source, preprocessing: Preprocessing) -> QuestionAsking:
        return self

    def questions(self, given: Given) -> Iterator[Question]:
        """Yields one question about all pairs given, and one for each file; raises UserError.

        A question that names a file of another kind is a warning.
        """
        files = [Path(text) for text in given.inputs if text.endswith(_SUFFIXES)]
        asked = typed([text for text in given.inputs if not text.endswith(_SUFFIXES)], given.texts)
        for path in [*files, *([given.rows] if given.rows else [])]:
            yield _of_file(path)
        if asked:
            yield _question([(text, _context(given)) for text in asked], asked)
        elif not (files or given.rows):
            raise NoContext("expected at least one question, got none")

    def replies(self, question: Question, outputs: Arrays) -> Iterator[Reply]:
        """Yields the answer, the sentence that it is in, and how sure the model is, for each question."""
        if missing := _OUTPUTS - outputs.keys():
            raise NoContext(
                f"expected outputs {', '.join(sorted(missing))}, got {', '.join(sorted(outputs))}"
            )
        for row, name in enumerate(question.names):
            values = _values({key: value[row] for key, value in outputs.items()})
            context = _text(question.inputs[CONTEXT][row])
            known = {"id": question.ids[row]} if question.ids else {}
            yield Reply(name, {**known, **values}, _sentence(values, context), _cells(values))

    def occluded(self, question: Question, reply: Reply) -> Occlusion:
        """Returns the question and the context without some of their words, but those of the answer."""
        answer, start, end = (reply.values[key] for key in ("answer", "start", "end"))
        kept = {CONTEXT: [(start, end)]}
        return of_texts(question, (QUESTION, CONTEXT), lambda other: _probability(other, answer), kept)

    def is_file(self, out: Path) -> bool:
        return False

    @contextmanager
    def writing(self, out: Path, names: Sequence[str] = ()) -> Iterator[Callable[[Reply], None]]:
        """Yields what adds a reply to files as SQuAD's evaluation reads them (formats/predictions)."""
        with writing_predictions(out) as add:
            yield lambda reply: add(_prediction(reply))


def _of_file(path: Path) -> Question:
    found = list(read_squad(path, with_answers=False))
    pairs = [(each.question, each.context) for each in found]
    return _question(pairs, [each.question for each in found], [each.id for each in found])


def _question(pairs: Sequence[tuple[str, str]], names: Sequence[str], ids: Sequence[str] = ()) -> Question:
    import numpy as np

    encoded = np.array([[text.encode("utf-8", "ignore") for text in pair] for pair in pairs], object)
    return Question("answer", dict(zip((QUESTION, CONTEXT), encoded.T, strict=True)), names, ids)


def _context(given: Given) -> str:
    context = given.fields.get(CONTEXT)
    if context is None:
        raise NoContext("expected the text that is to answer: --context FILE, or --field context=TEXT")
    return context


def _text(value: Any) -> str:
    # A server's JSON has texts, all else bytes. Offsets are those of a text without what is no UTF-8.
    return value.decode("utf-8", "ignore") if isinstance(value, bytes) else str(value)


def _values(answer: dict[str, Any]) -> dict[str, Any]:
    """Returns an answer as JSON values."""
    return {
        "answer": _text(answer["answer"]),
        "best_answer": _text(answer["best_answer"]),
        "score": float(answer["score"]),
        "start": int(answer["start"]),
        "end": int(answer["end"]),
        "null_odds": float(answer["null_odds"]),
        "is_impossible": bool(answer["is_impossible"]),
        "null_start_logit": float(answer["null_start_logit"]),
        "null_end_logit": float(answer["null_end_logit"]),
        "n_best": list(_n_best(answer)),
    }


def _n_best(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    numbers = ("scores", "starts", "ends", "start_logits", "end_logits")
    rows = zip(answer["n_best_answers"], *(answer[f"n_best_{name}"] for name in numbers), strict=True)
    for text, score, start, end, start_logit, end_logit in rows:
        if len(text):
            yield {
                "answer": _text(text),
                "score": float(score),
                "start": int(start),
                "end": int(end),
                "start_logit": float(start_logit),
                "end_logit": float(end_logit),
            }


def _sentence(values: dict[str, Any], context: str) -> str:
    """Returns 'Answer is "Zoë" (75.0%): [Zoë] fell.'."""
    if not values["answer"]:
        return f"The text does not say ({values['score']:.1%})."
    told = f'Answer is "{values["answer"]}" ({values["score"]:.1%})'
    return f"{told}: {marked(context, values['start'], values['end'])}"


def marked(context: str, start: int, end: int) -> str:
    """Returns the sentence around a part of a text, that part in brackets; a long one is cut off.

    marked("It ended. Zoë fell. Rain.", 10, 13) -> "[Zoë] fell."
    """
    first, last = max(start - _BESIDE, 0), min(end + _BESIDE, len(context))
    before = [found.end() for found in _SENTENCE_END.finditer(context, first, start)]
    after = _SENTENCE_END.search(context, end, last)
    begin, stop = before[-1] if before else first, after.end() if after else last
    # Unlike the start and the end of the text, and of the sentence.
    head = "… " if begin and not before else ""
    tail = " …" if stop < len(context) and not after else ""
    shown = f"{context[begin:start]}[{context[start:end]}]{context[end:stop]}"
    return f"{head}{' '.join(shown.split())}{tail}"


def _probability(reply: Reply, answer: str) -> float:
    """Returns how probable an answer, wherever it is, or none, is among the best ones of a reply."""
    shares = [(each["answer"], each["score"]) for each in reply.values["n_best"]]
    if not answer:
        return 1.0 - sum(share for _, share in shares)
    return float(sum(share for text, share in shares if text == answer))


def _cells(values: dict[str, Any]) -> dict[str, str]:
    return {"answer": values["answer"] or "–", "score>": f"{values['score']:.1%}"}


def _prediction(reply: Reply) -> Prediction:
    values = reply.values
    spans = [Scored(each["answer"], each["start_logit"], each["end_logit"]) for each in values["n_best"]]
    none = Scored("", values["null_start_logit"], values["null_end_logit"])
    known = values.get("id", reply.name)
    return Prediction(known, values["answer"], values["null_odds"], [*spans, none])
