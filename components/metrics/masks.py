"""How good one mask is beside another: overlap, volume, surface and lesions, as sums over cases.

What happens to empty masks, which other tools take for 0, 1, infinity or nothing: a case where neither mask
has anything says nothing, and is counted apart. Where one of them has, Dice and surface Dice are 0, and there
is no distance, so that the case is counted, and not averaged.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from components.metrics.lesions import Lesions, compare_lesions
from components.metrics.surfaces import distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


class MaskSums(NamedTuple):
    """What is known of one class, of one case or added up over many."""

    cases: float = 0.0
    only_labelled: float = 0.0
    only_answered: float = 0.0
    in_both: float = 0.0
    # Over the cases where either has something.
    dice: float = 0.0
    surface_dice: float = 0.0
    volume_error_ml: float = 0.0
    volume_bias_ml: float = 0.0
    # Over those where both have: what 95% of the surfaces are nearer than.
    surface_distance_mm: float = 0.0
    labelled_voxels: float = 0.0
    answered_voxels: float = 0.0
    common_voxels: float = 0.0
    lesions: float = 0.0
    missed_lesions: float = 0.0
    answered_lesions: float = 0.0
    false_lesions: float = 0.0

    @property
    def in_either(self) -> float:
        return self.only_labelled + self.only_answered + self.in_both

    @property
    def in_neither(self) -> float:
        return self.cases - self.in_either

    @property
    def metrics(self) -> dict[str, float]:
        """By name, means over cases but for global_dice; NaN is what does not exist."""
        precision = _ratio(self.answered_lesions - self.false_lesions, self.answered_lesions)
        recall = _ratio(self.lesions - self.missed_lesions, self.lesions)
        return {
            "dice": _ratio(self.dice, self.in_either),
            "global_dice": _ratio(2 * self.common_voxels, self.labelled_voxels + self.answered_voxels),
            "surface_dice": _ratio(self.surface_dice, self.in_either),
            "surface_distance_mm": _ratio(self.surface_distance_mm, self.in_both),
            "volume_error_ml": _ratio(self.volume_error_ml, self.in_either),
            "volume_bias_ml": _ratio(self.volume_bias_ml, self.in_either),
            "lesion_f1": _harmonic_mean(precision, recall),
            "lesion_precision": precision,
            "lesion_recall": recall,
        }


def dice(label: Mask, answer: Mask) -> float:
    """Returns the share of two masks that they have in common; NaN where both are empty."""
    return _ratio(2 * np.count_nonzero(label & answer), np.count_nonzero(label) + np.count_nonzero(answer))


def compare_masks(
    label: Mask,
    answer: Mask,
    spacing_mm: Sequence[float],
    tolerance_mm: float = 2.0,
    with_lesions: bool = False,
) -> MaskSums:
    """Returns the sums of one case: of a label and an answer, bool[d, h, w]."""
    labelled, answered = np.count_nonzero(label), np.count_nonzero(answer)
    if not labelled and not answered:
        return MaskSums(cases=1.0)
    error_ml = (answered - labelled) * math.prod(spacing_mm) / 1000
    lesions = compare_lesions(label, answer) if with_lesions else Lesions(0, 0, 0, 0)
    sums = MaskSums(
        cases=1.0,
        only_labelled=float(not answered),
        only_answered=float(not labelled),
        dice=dice(label, answer),
        volume_error_ml=abs(error_ml),
        volume_bias_ml=error_ml,
        labelled_voxels=labelled,
        answered_voxels=answered,
        common_voxels=np.count_nonzero(label & answer),
        lesions=lesions.labelled,
        missed_lesions=lesions.missed,
        answered_lesions=lesions.answered,
        false_lesions=lesions.false,
    )
    if not labelled or not answered:
        return sums
    apart = distances(label, answer, spacing_mm)
    return sums._replace(
        in_both=1.0, surface_dice=apart.dice(tolerance_mm), surface_distance_mm=apart.robust_mm()
    )


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


def _harmonic_mean(*shares: float) -> float:
    """Returns that of the shares which exist."""
    known = [share for share in shares if not math.isnan(share)]
    return statistics.harmonic_mean(known) if known else math.nan
