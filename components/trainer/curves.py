"""What was measured while a model trained, kept beside the checkpoints, so that a resumed training has it."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from components import files

# Of each curve; as many as a screen has pixels.
_MOST_POINTS: Final = 1000

# By split and name: [(step, value), …].
Points = dict[str, dict[str, list[tuple[int, float]]]]


class Curves:
    """Numbers by split, name and optimizer step, all of which an equal training has again."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "curves.json")
        self._values: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))

    def add(self, split: str, step: int, numbers: Mapping[str, float]) -> None:
        """Takes in what was measured after a step; what is not finite is left out."""
        for name, value in numbers.items():
            if math.isfinite(value):
                self._values[split][name][step] = value

    def save(self) -> None:
        """Writes all points; before a checkpoint, whose training may then drop what is newer."""
        files.write_text(self._path, json.dumps({"points": self._all()}))

    def restore(self, step: int) -> None:
        """Reads the points up to the step with which a training goes on."""
        if not files.exists(self._path):
            return
        for split, by_name in json.loads(files.read_text(self._path))["points"].items():
            for name, points in by_name.items():
                self._values[split][name] = {at: value for at, value in points if at <= step}

    def points(self) -> Points:
        """Returns the curves, thinned out evenly where they are long; the last point is always there."""
        return {
            split: {name: _thinned(points) for name, points in by_name.items()}
            for split, by_name in self._all().items()
        }

    def _all(self) -> Points:
        return {
            split: {name: sorted(points.items()) for name, points in by_name.items()}
            for split, by_name in self._values.items()
        }


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    stride = -(-len(points) // _MOST_POINTS)
    return points[::-1][:: stride or 1][::-1]
