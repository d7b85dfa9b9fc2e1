"""A case to records: its files are opened and checked, and what of it trains is cut into boxes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from components.features import CASE, FOREGROUND, IMAGE, LABEL, PATIENT, SHAPE, SPACING_MM
from components.formats.errors import FormatError
from components.formats.nifti import Box
from components.formats.resampling import Shape, most_voxels, new_shape, whole
from components.protocols import BadRecord, Note, Record
from components.sources.hashing import hashed
from components.sources.volume_boxes import Cut, Extents, Pair, foreground_indices, on_grid, tiles
from components.sources.volume_files import VoxelFile, open_files
from components.sources.volume_layouts import Case
from components.sources.volume_settings import VolumeSettings
from components.sources.volume_splits import patient_of

# The kinds of notes on a case.
NO_FOREGROUND: Final = "cases without foreground"
TOO_BRIGHT: Final = "cases brighter than a CT is"
# Share of such voxels that metal does not explain.
_MAX_TOO_BRIGHT: Final = 0.01


class VolumePart(NamedTuple):
    """One case: in boxes on the working grid, or whole on its own."""

    case: Case
    directory: Path
    settings: VolumeSettings
    is_whole: bool

    @property
    def file(self) -> str:
        """The name of the scan, or of the mask where there is none, relative to the data directory."""
        return os.path.relpath(self.case.image or self.case.label or self.directory, self.directory)

    def records(self) -> Iterator[Record | BadRecord | Note]:
        """Yields the boxes of a case that is good as a whole; one bad record of another."""
        try:
            pair = opened(self.settings, self.case)
            extents = pair.extents()
        except FormatError as error:
            yield BadRecord(str(error))
            return
        if extents.foreground is None:
            yield Note(NO_FOREGROUND, f"{pair.mask.path}: expected a label above 0, got none")
        if extents.too_bright > _MAX_TOO_BRIGHT:
            yield Note(TOO_BRIGHT, f"{pair.scan.path}: {extents.too_bright:.0%} of the voxels")
        yield from self._whole(pair) if self.is_whole else self._boxes(pair, extents)

    def _whole(self, pair: Pair) -> Iterator[Record]:
        for cut in pair.cuts(pair.scan.shape, [whole(pair.scan.shape)]):
            yield self._record(cut, pair.scan.spacing_mm)

    def _boxes(self, pair: Pair, extents: Extents) -> Iterator[Record]:
        spacing_mm = self.settings.spacing_mm or pair.scan.spacing_mm
        shape = new_shape(pair.scan.shape, pair.scan.spacing_mm, spacing_mm)
        for cut in pair.cuts(shape, _boxes(self.settings, pair, shape, extents)):
            share = hashed(self.case.name, *cut.box.start) / 2**64
            if cut.label.any() or share < self.settings.background_share:
                yield self._record(cut, spacing_mm)

    def _record(self, cut: Cut, spacing_mm: Sequence[float]) -> Record:
        seed = hashed(self.case.name, *cut.box.start)
        return {
            **scan_features(cut.image, spacing_mm),
            LABEL: np.ascontiguousarray(cut.label).tobytes(),
            CASE: self.case.name.encode(),
            PATIENT: patient_of(self.case.name, self.settings.patient_pattern).encode(),
            FOREGROUND: foreground_indices(cut.label, seed),
        }


def opened(settings: VolumeSettings, case: Case) -> Pair:
    """Returns the files of a case, whose headers fit; raises FormatError. No voxel is read."""
    if case.fault or case.image is None or case.label is None:
        raise FormatError(case.fault)
    by_voxels = settings.place_of_label == "voxels"
    found = open_files(case.image, case.label, settings.npy_spacing_mm, by_voxels=by_voxels)
    pair = Pair(*found, settings.ids, settings.window_hu)
    _check_grid(settings, pair.scan)
    return pair


def scan_features(image: Any, spacing_mm: Sequence[float]) -> dict[str, Any]:
    """Returns what is served of a scan."""
    return {
        # A part of a row of boxes is slow to copy as it lies.
        IMAGE: np.ascontiguousarray(image, "<i2").tobytes(),
        SHAPE: list(image.shape),
        SPACING_MM: [float(each) for each in spacing_mm],
    }


def _check_grid(settings: VolumeSettings, scan: VoxelFile) -> None:
    """Raises FormatError where a scan has fewer voxels on the working grid than a patch, or too many."""
    spacing_mm = settings.spacing_mm or scan.spacing_mm
    shape = new_shape(scan.shape, scan.spacing_mm, spacing_mm)
    got = f"got {_times(shape)} of {_times(scan.shape)} voxels of {_times(scan.spacing_mm)} mm"
    if math.prod(shape) > most_voxels(math.prod(scan.shape)):
        most = f"at most {most_voxels(math.prod(scan.shape)):,} voxels of {_times(spacing_mm)} mm"
        raise FormatError(f"{scan.path}: expected {most}, {got}: look at its unit and spacing")
    is_small = any(size < patch for size, patch in zip(shape, settings.patch, strict=True))
    if is_small and not settings.pad_small:
        least = f"at least {_times(settings.patch)} voxels of {_times(spacing_mm)} mm, a patch"
        raise FormatError(f"{scan.path}: expected {least}, {got}; source.pad_small=true fills them up")


def _boxes(settings: VolumeSettings, pair: Pair, shape: Shape, extents: Extents) -> list[Box]:
    """Returns the boxes of a case on the working grid of this shape, in order."""
    region = _region(settings, pair, shape, extents)
    if settings.box_size is None:
        return [region]
    return tiles(region, settings.box_size, settings.box_stride or settings.box_size)


def _region(settings: VolumeSettings, pair: Pair, shape: Shape, extents: Extents) -> Box:
    """Returns what of the working grid trains: what is cropped to, at least a patch; or all."""
    around = {"none": None, "body": extents.body, "label": extents.foreground}[settings.crop]
    if around is None:
        return whole(shape)
    spacing_mm = settings.spacing_mm or pair.scan.spacing_mm
    margin = [round(settings.crop_margin_mm / each) for each in spacing_mm]
    return on_grid(around, pair.scan.shape, shape, margin, settings.box_size or settings.patch)


def _times(sizes: Sequence[float]) -> str:
    return "×".join(f"{size:g}" for size in sizes)
