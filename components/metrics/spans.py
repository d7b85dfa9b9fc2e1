"""How good answers are that are parts of a text: exact match and F1, as SQuAD measures them.

P. Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text (arxiv.org/abs/1606.05250);
Know What You Don't Know: Unanswerable Questions for SQuAD (arxiv.org/abs/1806.03822), and the evaluation
scripts that came with both.
"""

from __future__ import annotations

import itertools
import math
import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import numpy as np
from pydantic import Field
from typing_extensions import Self

from components.config import Config, known_names
from components.features import ANSWER_STARTS, ANSWERS, CONTEXT, QUESTION, Feature
from components.html import number, table
from components.protocols import AS_PRINTED_BY, Model, Raw, Section

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.protocols import Arrays

# What a model answers.
ANSWER: Final = "answer"
BEST_ANSWER: Final = "best_answer"
SCORE: Final = "score"
START: Final = "start"
END: Final = "end"
NULL_ODDS: Final = "null_odds"
N_BEST_ANSWERS: Final = "n_best_answers"
N_BEST_SCORES: Final = "n_best_scores"
N_BEST_STARTS: Final = "n_best_starts"
N_BEST_ENDS: Final = "n_best_ends"
N_BEST_START_LOGITS: Final = "n_best_start_logits"
N_BEST_END_LOGITS: Final = "n_best_end_logits"
NULL_START_LOGIT: Final = "null_start_logit"
NULL_END_LOGIT: Final = "null_end_logit"

# Those that are tried: eighths, which float32 holds exactly.
THRESHOLDS: Final = np.arange(-160, 161) / 8

BEST_THRESHOLD: Final = "best_threshold"
_NUMBERS: Final = (
    "f1",
    "exact_match",
    "has_answer_f1",
    "has_answer_exact",
    "no_answer_accuracy",
    "best_f1",
    "best_exact_match",
)
_KNOWN: Final = (*_NUMBERS, BEST_THRESHOLD)
# Sums before those by threshold.
_NUM_GROUPED: Final = 8
_NO_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
# Code points of the context that are shown on each side of an answer.
_AROUND: Final = 100
_HIDDEN, _GIVEN, _RIGHT = -1, 1, 2
_WIDTH, _HEIGHT = 640, 200


class Quality(NamedTuple):
    """How good one answer is: 0 or 1, and 0 to 1."""

    exact_match: float
    f1: float


class Curve(NamedTuple):
    """Exact match and F1, float64[thresholds] each, had the null threshold been each of THRESHOLDS."""

    exact_match: NDArray[Any]
    f1: NDArray[Any]


def normalize(text: str) -> str:
    """Returns what is compared of an answer: "The  U.S. army!" -> "us army"."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def quality(text: str, answers: Sequence[str]) -> Quality:
    """Returns how good an answer is beside the right one that is most like it; "" is no answer.

    As in the evaluation of SQuAD 2.0: right answers of which nothing is left, such as "The", do not count,
    and no answer is right where none does. That of 1.1 differs for these alone.
    """
    said = normalize(text)
    right = [normal for answer in answers if (normal := normalize(answer))] or [""]
    return Quality(float(said in right), max(_f1(said.split(), answer.split()) for answer in right))


def quality_v1(text: str, answers: Sequence[str]) -> Quality:
    """Returns it as in version 1.1, where answers of which nothing is left count, too, with an F1 of 0."""
    said, right = normalize(text), [normalize(answer) for answer in answers]
    return Quality(float(said in right), max(_overlap(said.split(), answer.split()) for answer in right))


def _f1(said: Sequence[str], right: Sequence[str]) -> float:
    return _overlap(said, right) if said and right else float(said == right)


def _overlap(said: Sequence[str], right: Sequence[str]) -> float:
    """Returns the harmonic mean of precision and recall over words, each as often as it is there."""
    common = (Counter(said) & Counter(right)).total()
    return 2 * common / (len(said) + len(right)) if common else 0.0


class SpanEvaluation(Config):
    """Compares `answer` with the right ones, and `best_answer` where another null threshold would give it.

    Its sums are examples, exact match and F1 of those without and of those with an answer; exact match and F1
    of the latter as of version 1.1; then, by the first of THRESHOLDS that `null_odds` is not over, the exact
    match and F1 of answering, and those of not.
    """

    metrics: Annotated[tuple[str, ...], known_names("metric", _KNOWN)] = Field(
        _KNOWN, description="What is measured."
    )

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(name for name in self.metrics if name in _NUMBERS)

    def fitted_to(self, features: Mapping[str, Feature], model: Model) -> Self:
        """Returns itself: nothing depends on the task."""
        return self

    def sums(self, raw: Raw, answer: Arrays) -> NDArray[Any]:
        right = _texts(raw[ANSWERS])
        said, groups = _text(answer[ANSWER]), np.zeros((2, 3))
        groups[int(bool(right))] = 1, *quality(said, right)
        as_v1 = quality_v1(said, right) if right else Quality(0.0, 0.0)
        bins = np.zeros((len(THRESHOLDS) + 1, 3))
        # "" is as good by both.
        abstained = quality("", right).f1
        odds = np.asarray(answer[NULL_ODDS]).item()
        bins[np.searchsorted(THRESHOLDS, odds)] = *quality(_text(answer[BEST_ANSWER]), right), abstained
        return np.concatenate([groups.ravel(), as_v1, bins.ravel()])

    def results(self, sums: NDArray[Any]) -> dict[str, float | list[float]]:
        without, having = _groups(sums)
        total, by_threshold = without + having, curve(sums)
        best = int(by_threshold.f1.argmax())
        known = {
            "f1": _mean(total, 2),
            "exact_match": _mean(total, 1),
            "has_answer_f1": _mean(having, 2),
            "has_answer_exact": _mean(having, 1),
            "no_answer_accuracy": _mean(without, 1),
            "best_f1": float(by_threshold.f1[best]),
            "best_exact_match": float(by_threshold.exact_match.max()),
            # Where every question has an answer, each one is to be answered.
            BEST_THRESHOLD: float(THRESHOLDS[best]) if without[0] else math.nan,
        }
        return {name: known[name] for name in self.metrics}

    def details(self, sums: NDArray[Any]) -> dict[str, Any]:
        """Returns the number of examples that have an answer, and that of those that have none.

        And what the published evaluation scripts print, that of 1.1 where every question has an answer.
        """
        without, having = _groups(sums)[:, 0].astype(int).tolist()
        v1 = {} if without or not having else {"evaluate-v1.1.py": _printed_v1(sums)}
        v2 = {"evaluate-v2.0.py": _printed_v2(sums)} if without + having else {}
        return {"num_has_answer": having, "num_no_answer": without, AS_PRINTED_BY: {**v1, **v2}}

    def badness(self, raw: Raw, answer: Arrays) -> float:
        """Returns 1 - F1 of the answer, up to twice that where the model was sure of it."""
        f1 = quality(_text(answer[ANSWER]), _texts(raw[ANSWERS])).f1
        return (1 - f1) * (1 + np.asarray(answer[SCORE]).item())

    def show(self, raw: Raw, answer: Arrays) -> str:
        """Returns the question, and the context around <mark>what was said</mark> and <ins>is right</ins>."""
        right = " or ".join(map(_quoted, dict.fromkeys(_texts(raw[ANSWERS])))) or _quoted("")
        sure = np.asarray(answer[SCORE]).item()
        verdict = f"Said {_quoted(_text(answer[ANSWER]))} ({sure:.1%}); right is {right}."
        return (
            f"<p><strong>{escape(_text(raw[QUESTION]))}</strong></p>"
            f"<p>{_marked(_text(raw[CONTEXT]), _places(raw, answer))}</p><p>{escape(verdict)}</p>"
        )

    def sections(self, sums: NDArray[Any]) -> Iterator[Section]:
        """Yields how good answers are with and without an answer, and by null threshold."""
        yield Section("Questions with and without an answer", _by_answer(_groups(sums)))
        if _groups(sums)[:, 0].any():
            yield Section("Null threshold", _picture(curve(sums)))


def curve(sums: NDArray[Any]) -> Curve:
    """Returns how good answers are by threshold, of an evaluation's sums; NaN where there are no examples.

    At a threshold an example whose null odds are over it is not answered, and any other one is.
    """
    examples = _groups(sums)[:, 0].sum() or math.nan
    bins = sums[_NUM_GROUPED:].reshape(-1, 3)
    exact_match, f1, given_up = bins.cumsum(axis=0)[:-1].T
    abstained = bins[:, 2].sum() - given_up
    return Curve((exact_match + abstained) / examples, (f1 + abstained) / examples)


def _printed_v1(sums: NDArray[Any]) -> dict[str, float]:
    exact_match, f1 = 100 * sums[6:_NUM_GROUPED] / _groups(sums)[1, 0]
    return {"exact_match": float(exact_match), "f1": float(f1)}


def _printed_v2(sums: NDArray[Any]) -> dict[str, float]:
    """Returns percentages and counts; thresholds are those of THRESHOLDS, applied to the best answers."""
    without, having = _groups(sums)
    by_threshold, printed = curve(sums), _printed_group(without + having)
    for prefix, group in (("HasAns", having), ("NoAns", without)):
        printed |= {f"{prefix}_{name}": value for name, value in _printed_group(group).items()}
    for name, values in (("exact", by_threshold.exact_match), ("f1", by_threshold.f1)):
        best = int(values.argmax())
        printed[f"best_{name}"] = float(100 * values[best])
        printed[f"best_{name}_thresh"] = float(THRESHOLDS[best])
    return printed


def _printed_group(group: NDArray[Any]) -> dict[str, float]:
    """Returns nothing of no examples."""
    if not group[0]:
        return {}
    exact, f1 = 100 * group[1:] / group[0]
    return {"exact": float(exact), "f1": float(f1), "total": int(group[0])}


def _groups(sums: NDArray[Any]) -> NDArray[Any]:
    """Returns examples, exact match and F1 of those without an answer, and of those with one."""
    return sums[:6].reshape(2, 3)


def _mean(group: NDArray[Any], measure: int) -> float:
    return float(group[measure] / (group[0] or math.nan))


def _text(value: Any) -> str:
    # Offsets are those of a text without the bytes that are no UTF-8.
    return bytes(np.asarray(value, object).item()).decode("utf-8", "ignore")


def _texts(values: Sequence[bytes]) -> list[str]:
    return [_text(value) for value in values]


def _quoted(text: str) -> str:
    return f"“{text}”" if text else "no answer"


def _places(raw: Raw, answer: Arrays) -> list[tuple[int, int, int]]:
    """Returns (kind, start, end) of what was said, and of each right answer."""
    right = [
        (_RIGHT, start, start + len(text))
        for start, text in zip(raw[ANSWER_STARTS], _texts(raw[ANSWERS]), strict=False)
    ]
    return [(_GIVEN, *(np.asarray(answer[name]).item() for name in (START, END))), *right]


def _marked(context: str, places: Sequence[tuple[int, int, int]]) -> str:
    """Returns the parts of a context that are around some places, as HTML."""
    kinds = np.zeros(len(context), int)
    near = np.zeros(len(context), bool)
    for kind, start, end in places:
        kinds[start:end] |= kind
        # No answer is nowhere.
        near[max(start - _AROUND, 0) : end + _AROUND] |= end > start
    kinds[~near] = _HIDDEN
    if not near.any():
        kinds[: 2 * _AROUND] = 0
    parts = itertools.groupby(zip(kinds.tolist(), context, strict=True), key=lambda pair: pair[0])
    return "".join(_part(kind, "".join(letter for _, letter in pairs)) for kind, pairs in parts)


def _part(kind: int, text: str) -> str:
    if kind == _HIDDEN:
        return " … "
    marked = f"<mark>{escape(text)}</mark>" if kind & _GIVEN else escape(text)
    return f"<ins>{marked}</ins>" if kind & _RIGHT else marked


def _by_answer(groups: NDArray[Any]) -> str:
    rows = [
        [name, f"{group[0]:,.0f}", number(_mean(group, 1)), number(_mean(group, 2))]
        for name, group in (("With an answer", groups[1]), ("Without one", groups[0]), ("All", groups.sum(0)))
    ]
    return table(["Questions", "Examples", "Exact match", "F1"], rows)


def _picture(by_threshold: Curve) -> str:
    """Returns both curves as an SVG picture, with the threshold that is best by F1."""
    best = int(by_threshold.f1.argmax())
    threshold, f1 = THRESHOLDS[best], by_threshold.f1[best]
    note = f"F1 (blue) and exact match (grey) by null threshold; F1 is best, {f1:.4f}, at {threshold:g}."
    x = _x(threshold)
    ticks = "".join(
        f'<text x="{_x(tick):.0f}" y="{_HEIGHT + 18}" text-anchor="middle">{tick}</text>'
        for tick in range(-20, 21, 10)
    )
    return (
        f'<p class="note">{note}</p><svg role="img" aria-label="{note}" fill="currentColor" font-size="12"'
        f' viewBox="-45 -10 {_WIDTH + 65} {_HEIGHT + 35}" style="max-width: 44rem">'
        f'<path d="M0 0V{_HEIGHT}H{_WIDTH}M{x:.1f} 0V{_HEIGHT}" fill="none" stroke="#888"/>'
        f'<text x="-8" y="5" text-anchor="end">1</text><text x="-8" y="{_HEIGHT}" text-anchor="end">0</text>'
        f"{ticks}{_line(by_threshold.exact_match, '#888')}{_line(by_threshold.f1, '#3b82d6')}</svg>"
    )


def _line(values: NDArray[Any], colour: str) -> str:
    points = " ".join(
        f"{_x(threshold):.1f},{_HEIGHT * (1 - value):.1f}"
        for threshold, value in zip(THRESHOLDS, values, strict=True)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _x(threshold: float) -> float:
    low, high = THRESHOLDS[0], THRESHOLDS[-1]
    return float(_WIDTH * (threshold - low) / (high - low))
