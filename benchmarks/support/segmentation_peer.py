"""The other side of segmentation_metrics.py, in an environment of its own: MONAI, and surface-distance.

`segmentation_peer.py FOLDER` reads lines of JSON, {"library", "measure", "case"}, and answers each with the
seconds of CPU that it took and the values. A case is FOLDER/CASE.npz: two masks and the spacing in mm.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import surface_distance
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

TOLERANCE_MM = 2.0
FOLDER = Path(sys.argv[1])


@cache
def load(case: str) -> tuple[np.ndarray, np.ndarray, list[float]]:
    with np.load(FOLDER / f"{case}.npz") as stored:
        return stored["label"], stored["answer"], stored["spacing_mm"].tolist()


def monai(measure: str, label: np.ndarray, answer: np.ndarray, spacing_mm: list[float]) -> list[float]:
    y, y_pred = (torch.from_numpy(mask)[None, None] for mask in (label, answer))
    of = {
        "Dice": lambda: compute_dice(y_pred, y, include_background=True),
        "surface distance": lambda: compute_hausdorff_distance(
            y_pred, y, include_background=True, percentile=95, spacing=spacing_mm
        ),
        "surface Dice": lambda: compute_surface_dice(
            y_pred, y, [TOLERANCE_MM], include_background=True, spacing=spacing_mm
        ),
    }
    wanted = ["surface distance", "surface Dice"] if measure == "both" else [measure]
    return [of[each]().item() for each in wanted]


def deepmind(measure: str, label: np.ndarray, answer: np.ndarray, spacing_mm: list[float]) -> list[float]:
    if measure == "Dice":
        return [float(surface_distance.compute_dice_coefficient(label, answer))]
    apart = surface_distance.compute_surface_distances(label, answer, spacing_mm)
    values = {
        "surface distance": lambda: surface_distance.compute_robust_hausdorff(apart, 95),
        "surface Dice": lambda: surface_distance.compute_surface_dice_at_tolerance(apart, TOLERANCE_MM),
    }
    return [float(values[each]()) for each in values if measure in (each, "both")]


SIDES: dict[str, Callable[..., list[float]]] = {"MONAI": monai, "DeepMind": deepmind}


def answer(library: str, measure: str, case: str) -> dict[str, Any]:
    masks = load(case)
    start = time.process_time()
    values = SIDES[library](measure, *masks)
    return {"seconds": time.process_time() - start, "values": values}


if __name__ == "__main__":
    # What libraries print is not to be taken for an answer.
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), file=out, flush=True)
