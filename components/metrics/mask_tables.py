"""Sums of masks as tables of HTML, one row a class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from components.html import number, table
from components.metrics.masks import MaskSums

# Metrics by name, and what reports call them.
BETTER_IF_HIGHER: Final = {"dice": "Dice", "global_dice": "Global Dice", "surface_dice": "Surface Dice"}
# Of which a lower one is better.
OTHERS: Final = {
    "surface_distance_mm": "Surface distance, mm",
    "volume_error_ml": "Volume error, ml",
    "volume_bias_ml": "Bias, ml",
}
OF_CLASS: Final = {**BETTER_IF_HIGHER, **OTHERS}
OF_LESIONS: Final = {"lesion_f1": "F1", "lesion_precision": "Precision", "lesion_recall": "Recall"}


def case_table(by_class: Mapping[str, MaskSums], voxel_ml: float) -> str:
    """Returns how good the answer to one case is, and millilitres of both."""
    header = ["Class", "Dice", "Surface Dice", "Surface distance, mm", "Label, ml", "Answer, ml"]
    names = ("dice", "surface_dice", "surface_distance_mm")
    rows = [
        [
            name,
            *(number(each.metrics[metric]) for metric in names),
            *(f"{voxels * voxel_ml:,.1f}" for voxels in (each.labelled_voxels, each.answered_voxels)),
        ]
        for name, each in by_class.items()
    ]
    return table(header, rows)


def classes_table(by_class: Mapping[str, MaskSums], tolerance_mm: float) -> str:
    """Returns what is measured of classes over all cases."""
    rows = [[name, *_cells(each, OF_CLASS)] for name, each in by_class.items()]
    note = (
        "Dice is the mean of the cases, and global Dice that of all voxels at once. Of the surfaces 95% are "
        f"nearer than the distance; surface Dice is their share within {tolerance_mm:g} mm. Volume error is "
        "the mean of its amounts, and bias that of answer minus label."
    )
    return f'{table(["Class", *OF_CLASS.values()], rows)}<p class="note">{note}</p>'


def empty_table(by_class: Mapping[str, MaskSums]) -> str:
    """Returns how many cases have a class."""
    header = ["Class", "Cases", "In both", "In the label alone", "In the answer alone", "In neither"]
    rows = [
        [name, *_counts(each.cases, each.in_both, each.only_labelled, each.only_answered, each.in_neither)]
        for name, each in by_class.items()
    ]
    note = (
        "A case that has a class in neither counts for nothing. Where one of them lacks it, Dice and surface "
        "Dice are 0, and there is no surface distance, whose mean is that of the cases with both."
    )
    return f'{table(header, rows)}<p class="note">{note}</p>'


def lesions_table(by_class: Mapping[str, MaskSums]) -> str:
    """Returns how many lesions were found; nothing where there are no classes."""
    header = ["Class", "Lesions", "Found", "Missed", "In the answer", "False", *OF_LESIONS.values()]
    rows = [
        [
            name,
            *_counts(each.lesions, each.lesions - each.missed_lesions, each.missed_lesions),
            *_counts(each.answered_lesions, each.false_lesions),
            *_cells(each, OF_LESIONS),
        ]
        for name, each in by_class.items()
    ]
    note = '<p class="note">A lesion is found where the answer has one voxel of it.</p>'
    return f"{table(header, rows)}{note}" if rows else ""


def largest_table(before: Mapping[str, MaskSums], after: Mapping[str, MaskSums]) -> str:
    """Returns the classes before and after; nothing where none is cleaned."""
    rows = [
        [label, *_cells(each, OF_CLASS)]
        for name, largest in after.items()
        for label, each in ((f"{name}, as answered", before[name]), (f"{name}, largest", largest))
    ]
    return table(["Class", *OF_CLASS.values()], rows) if rows else ""


def _cells(sums: MaskSums, names: Iterable[str]) -> list[str]:
    return [number(sums.metrics[name]) for name in names]


def _counts(*counts: float) -> list[str]:
    return [f"{count:,.0f}" for count in counts]
