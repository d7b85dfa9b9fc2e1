"""What the evaluation scripts of SQuAD 1.1 and 2.0 print, worked out anew from their published definitions.

In go the data, as JSON has it, and predictions by id; nothing here is shared with the code under test.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple


class Asked(NamedTuple):
    id: str
    answers: list[str]


def asked(data: Mapping[str, Any]) -> Iterator[Asked]:
    for article in data["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                yield Asked(question["id"], [answer["text"] for answer in question["answers"]])


def words(text: str) -> list[str]:
    """Lower case, then no ASCII punctuation, then no articles that are whole words."""
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    runs = re.split(r"(\W+)", kept)
    return "".join(" " if run in ("a", "an", "the") else run for run in runs).split()


def num_common(said: list[str], right: list[str]) -> int:
    left, common = list(right), 0
    for word in said:
        if word in left:
            left.remove(word)
            common += 1
    return common


def f1(said: list[str], right: list[str]) -> float:
    common = num_common(said, right)
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(right)
    return 2 * precision * recall / (precision + recall)


def script_v1(data: Mapping[str, Any], predictions: Mapping[str, str]) -> dict[str, float]:
    exact, overlap, total = 0.0, 0.0, 0
    for question in asked(data):
        total += 1
        if question.id in predictions:
            said = words(predictions[question.id])
            exact += max(said == words(answer) for answer in question.answers)
            overlap += max(f1(said, words(answer)) for answer in question.answers)
    return {"exact_match": 100 * exact / total, "f1": 100 * overlap / total}


def scores_v2(question: Asked, prediction: str) -> tuple[float, float]:
    """Exact match and F1 beside the best answer of which something is left, "" where there is none."""
    said = words(prediction)
    right = [words(answer) for answer in question.answers if words(answer)] or [[]]
    exact = float(any(said == answer for answer in right))
    if not said or right == [[]]:
        return exact, float(any(said == answer for answer in right))
    return exact, max(f1(said, answer) for answer in right)


def script_v2(
    data: Mapping[str, Any], predictions: Mapping[str, str], null_odds: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Without `null_odds` as without --na-prob-file; thresholds are those odds, 0 for always none."""
    questions = list(asked(data))
    scores = {question.id: scores_v2(question, predictions[question.id]) for question in questions}
    has_answer = {question.id: bool(question.answers) for question in questions}
    printed = _group("", scores.values())
    for prefix, wanted in (("HasAns_", True), ("NoAns_", False)):
        printed |= _group(prefix, [scores[key] for key, has in has_answer.items() if has == wanted])
    for measure, name in enumerate(("exact", "f1")) if null_odds is not None else ():
        by_id = {key: both[measure] for key, both in scores.items()}
        printed |= _best(name, by_id, predictions, has_answer, null_odds or {})
    return printed


def _group(prefix: str, scores: Iterable[tuple[float, float]]) -> dict[str, float]:
    found = list(scores)
    if not found:
        return {}
    exact, overlap = (100 * sum(column) / len(found) for column in zip(*found, strict=True))
    return {f"{prefix}exact": exact, f"{prefix}f1": overlap, f"{prefix}total": len(found)}


def _best(
    name: str,
    scores: Mapping[str, float],
    predictions: Mapping[str, str],
    has_answer: Mapping[str, bool],
    null_odds: Mapping[str, float],
) -> dict[str, float]:
    """The best sum over how many questions are answered, by growing odds; those without an answer give 1."""
    current = best = float(sum(not has for has in has_answer.values()))
    threshold = 0.0
    for key in sorted(null_odds, key=lambda key: null_odds[key]):
        current += scores[key] if has_answer[key] else (-1.0 if predictions[key] else 0.0)
        if current > best:
            best, threshold = current, null_odds[key]
    return {f"best_{name}": 100 * best / len(scores), f"best_{name}_thresh": threshold}
