"""What two models answer differently, example by example, of what the Evaluator kept of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from scipy.special import bdtr

from components.evaluator.files import ANSWERS_FILE, MISTAKES_FILE

_RIGHT: Final = 0.0

# How bad the answer to each example is, by the example's key; None: no number.
Badness = Mapping[str, "float | None"]


class Paired(NamedTuple):
    """How many examples two models answer alike and how many not."""

    num_examples: int
    # Whether an answer is "right"; of those that are all somewhat wrong, which one is "better".
    by: Literal["right", "better"]
    both: int
    first_only: tuple[str, ...]
    second_only: tuple[str, ...]
    neither: int

    @property
    def p_value(self) -> float:
        """How probable so uneven a split is, if neither model is better: McNemar's exact test, both sides."""
        first, second = len(self.first_only), len(self.second_only)
        return min(1.0, 2 * float(bdtr(min(first, second), first + second, 0.5)))

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers as JSON values."""
        return {
            "examples": self.num_examples,
            "by": self.by,
            "both": self.both,
            "first_only": len(self.first_only),
            "second_only": len(self.second_only),
            "neither": self.neither,
            "p_value": self.p_value,
        }


def paired(first: Badness, second: Badness) -> Paired | None:
    """Returns how two models answer the examples that both were asked; None where there are none."""
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    is_right = any(_RIGHT in (first[key], second[key]) for key in shared)
    wins = _right if is_right else _better
    sides = {key: (wins(first[key], second[key]), wins(second[key], first[key])) for key in shared}
    return Paired(
        num_examples=len(shared),
        by="right" if is_right else "better",
        both=sum(side == (True, True) for side in sides.values()),
        first_only=tuple(key for key, side in sides.items() if side == (True, False)),
        second_only=tuple(key for key, side in sides.items() if side == (False, True)),
        neither=sum(side == (False, False) for side in sides.values()),
    )


def read_badness(evaluation_dir: Path) -> dict[str, float | None]:
    """Returns what the Evaluator kept of each example; empty where it kept nothing that can be read."""
    badness = _read(evaluation_dir / ANSWERS_FILE).get("badness")
    return badness if isinstance(badness, dict) else {}


def read_mistakes(evaluation_dir: Path) -> dict[str, str]:
    """Returns how some of the wrong answers look, as HTML by the example's key."""
    return {key: html for key, html in _read(evaluation_dir / MISTAKES_FILE).items() if isinstance(html, str)}


def _right(badness: float | None, other: float | None) -> bool:
    return badness == _RIGHT


def _better(badness: float | None, other: float | None) -> bool:
    return badness is not None and (other is None or badness < other)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
