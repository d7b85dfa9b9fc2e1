"""What is to be seen of scans and their masks before a model learns from them, and what looks wrong."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.formats.errors import FormatError
from components.formats.nifti import Box
from components.protocols import Surveyed
from components.sources.volume_boxes import BODY_HU, Pair
from components.sources.volume_files import VoxelFile

_LOWEST, _HIGHEST = -(2**15), 2**15 - 1
# What `LabelIds` gives to a value without a class.
_UNKNOWN: Final = 255
# Of labelled voxels that are air, as some at the edge of the lungs are.
_MOST_AIR: Final = 0.05
# How many times as far apart voxels may be as those of most cases.
_MOST_APART: Final = 2.0
_AXES: Final = ("depth", "height", "width")
_VALUES: Final = ("shape", "spacing_mm", "orientation", "minimum", "median", "maximum", "volumes_ml")


class _Seen(NamedTuple):
    """Sums over all voxels of a scan and its mask."""

    # By intensity from -32768 on, and by class.
    intensities: NDArray[np.int64]
    classes: NDArray[np.int64]
    # Labelled voxels that are air.
    air: int

    @property
    def labelled(self) -> int:
        return int(self.classes[1:].sum())


def surveyed(name: str, opened: Callable[[], Pair], label_names: Sequence[str]) -> Surveyed:
    """Returns a case as it is; where it cannot be used, that alone."""
    try:
        pair = opened()
        seen = _seen(pair)
    except FormatError as error:
        return Surveyed(name, dict.fromkeys(_VALUES), {}, (str(error),))
    values = _values(pair.scan, seen, label_names)
    return Surveyed(
        name, values, _cells(values), tuple(_doubts(values, seen)), lambda: _picture(pair, label_names)
    )


def compared(cases: Sequence[Surveyed]) -> list[Surveyed]:
    """Returns cases with doubts about those that differ from the others, in spacing or in orientation."""
    known = [case.values for case in cases if case.cells]
    if not known:
        return list(cases)
    median = np.median([values["spacing_mm"] for values in known], axis=0)
    ((usual, count),) = Counter(values["orientation"] for values in known).most_common(1)
    orientation = usual if 2 * count > len(known) else None
    return [
        case._replace(doubts=(*case.doubts, *_differences(case.values, median, orientation)))
        if case.cells
        else case
        for case in cases
    ]


def _seen(pair: Pair) -> _Seen:
    intensities, classes, air = np.zeros(_HIGHEST - _LOWEST + 1, np.int64), np.zeros(256, np.int64), 0
    # A mask has its scan's axes, and so its blocks.
    for (_, voxels), (_, marks) in zip(pair.scan.blocks(), pair.mask.blocks(), strict=True):
        whole = np.clip(np.rint(voxels), _LOWEST, _HIGHEST).astype(np.int64)
        labels = pair.ids.of(marks)
        intensities += np.bincount(whole.ravel() - _LOWEST, minlength=len(intensities))
        classes += np.bincount(labels.ravel(), minlength=len(classes))
        air += np.count_nonzero((labels > 0) & (voxels <= BODY_HU))
    if classes[_UNKNOWN]:
        # Says which values have none.
        pair.extents()
    return _Seen(intensities, classes, air)


def _picture(pair: Pair, label_names: Sequence[str]) -> bytes:
    from components import pictures

    box = Box((0, 0, 0), pair.scan.shape)
    label = pair.ids.of(pair.mask.read(box))
    return pictures.planes(pictures.Scan(pair.scan.read(box), pair.scan.spacing_mm, label), label_names)


def _values(scan: VoxelFile, seen: _Seen, label_names: Sequence[str]) -> dict[str, Any]:
    """Returns JSON values; intensities are whole Hounsfield units."""
    voxel_ml = math.prod(scan.spacing_mm) / 1000
    volumes = zip(label_names[1:], seen.classes[1:].tolist(), strict=False)
    return {
        "shape": list(scan.shape),
        "spacing_mm": [round(each, 4) for each in scan.spacing_mm],
        "orientation": getattr(scan, "orientation", None),
        "minimum": _quantile(seen.intensities, 0.0),
        "median": _quantile(seen.intensities, 0.5),
        "maximum": _quantile(seen.intensities, 1.0),
        "volumes_ml": {name: round(count * voxel_ml, 3) for name, count in volumes},
    }


def _quantile(histogram: NDArray[np.int64], share: float) -> int:
    """Returns the intensity that a share of the voxels is at or below; the lowest one for a share of 0."""
    until = np.cumsum(histogram)
    wanted = max(1, math.ceil(share * int(until[-1])))
    return int(np.searchsorted(until, wanted)) + _LOWEST


def _cells(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        "shape>": _times(values["shape"]),
        "spacing mm>": _times(values["spacing_mm"]),
        "axes": values["orientation"] or "",
        "HU>": f"{values['minimum']} … {values['median']} … {values['maximum']}",
        **{f"{name} ml>": f"{volume:,.1f}" for name, volume in values["volumes_ml"].items()},
    }


def _doubts(values: Mapping[str, Any], seen: _Seen) -> list[str]:
    doubts = []
    if not seen.labelled:
        doubts.append("expected a label above 0, got none")
    elif seen.air > _MOST_AIR * seen.labelled:
        share = seen.air / seen.labelled
        doubts.append(f"expected labels inside of the body, got {share:.0%} of their voxels in air")
    if values["minimum"] >= 0:
        doubts.append(f"expected Hounsfield units, of which air has -1000, got {values['minimum']} and above")
    return doubts


def _differences(
    values: Mapping[str, Any], median: NDArray[np.float64], orientation: str | None
) -> list[str]:
    doubts = []
    for axis, spacing, usual in zip(_AXES, values["spacing_mm"], median.tolist(), strict=True):
        if max(spacing / usual, usual / spacing) > _MOST_APART:
            doubts.append(f"expected a spacing of about {usual:g} mm along the {axis}, got {spacing:g}")
    if orientation is not None and values["orientation"] != orientation:
        got = values["orientation"]
        doubts.append(
            f"expected axes {orientation}, as most cases have, got {got}; they are turned when read"
        )
    return doubts


def _times(sizes: Sequence[float]) -> str:
    return "×".join(f"{size:g}" for size in sizes)
