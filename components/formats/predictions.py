"""Predictions in files that the evaluation of SQuAD reads, with the n best beside them.

As google-research/bert, run_squad.py, writes them: `predictions.json` has the answer by id, "" for none;
`null_odds.json` how much better no answer scores than the best one; `nbest_predictions.json` the best texts,
each once, and no answer, with their logits and the softmax over these.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

PREDICTIONS_FILE: Final = "predictions.json"
NULL_ODDS_FILE: Final = "null_odds.json"
N_BEST_FILE: Final = "nbest_predictions.json"


class Scored(NamedTuple):
    """A text that might be the answer, "" being none, and the logits of its start and its end."""

    text: str
    start_logit: float
    end_logit: float


class Prediction(NamedTuple):
    """What a model says of one question."""

    id: str
    answer: str
    null_odds: float
    # The best first; no answer, where it is among them, last.
    n_best: Sequence[Scored]


@contextlib.contextmanager
def writing_predictions(folder: Path) -> Iterator[Callable[[Prediction], None]]:
    """Yields what adds a prediction to the three files; they appear, whole, once all are added."""
    with contextlib.ExitStack() as stack:
        files = {
            name: stack.enter_context(_writing_object(folder / name))
            for name in (PREDICTIONS_FILE, NULL_ODDS_FILE, N_BEST_FILE)
        }

        def add(prediction: Prediction) -> None:
            files[PREDICTIONS_FILE](prediction.id, prediction.answer)
            files[NULL_ODDS_FILE](prediction.id, prediction.null_odds)
            files[N_BEST_FILE](prediction.id, n_best(prediction.n_best))

        yield add


def n_best(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """Returns text, probability, start_logit and end_logit of each text, the first of equal ones."""
    distinct: dict[str, Scored] = {}
    for entry in scored:
        distinct.setdefault(entry.text, entry)
    scores = [entry.start_logit + entry.end_logit for entry in distinct.values()]
    weights = [math.exp(score - max(scores)) for score in scores]
    return [
        {
            "text": entry.text,
            "probability": weight / sum(weights),
            "start_logit": entry.start_logit,
            "end_logit": entry.end_logit,
        }
        for entry, weight in zip(distinct.values(), weights, strict=True)
    ]


@contextlib.contextmanager
def _writing_object(path: Path) -> Iterator[Callable[[str, Any], None]]:
    """Yields what adds a key and its value to a JSON object, which is written aside, then renamed."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write("{")
            yield _adding(file)
            file.write("\n}\n")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _adding(file: IO[str]) -> Callable[[str, Any], None]:
    separator = "\n"

    def add(key: str, value: Any) -> None:
        nonlocal separator
        file.write(f"{separator}{json.dumps(key)}: {json.dumps(value, allow_nan=False)}")
        separator = ",\n"

    return add
