"""Scans with masks, as files of volumes: LiTS, the Medical Segmentation Decathlon, nnU-Net, or a list."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
import pydantic
from pydantic import Field, PositiveInt
from typing_extensions import Self

from components.features import (
    CASE,
    FOREGROUND,
    IMAGE,
    LABEL,
    PATIENT,
    SHAPE,
    SPACING_MM,
    Feature,
)
from components.formats.errors import FormatError
from components.formats.nifti import Box
from components.formats.resampling import MAX_VOXELS, Shape, new_shape, whole
from components.patch_shape import PatchShape
from components.protocols import VALIDATION, BadRecord, Found, Grid, Note, Record, Split, Surveyed
from components.sources.hashing import hashed
from components.sources.volume_boxes import (
    Cut,
    Extents,
    LabelIds,
    Pair,
    foreground_indices,
    on_grid,
    tiles,
)
from components.sources.volume_files import VoxelFile, open_files
from components.sources.volume_layouts import LOOKED_FOR, Case, Layout, declared, find_layout, stem
from components.sources.volume_splits import held_out_by_hash, held_out_by_name, patient_of
from components.sources.volume_survey import compared, surveyed

_logger = logging.getLogger(__name__)

# The kinds of notes on a case.
NO_FOREGROUND: Final = "cases without foreground"
TOO_BRIGHT: Final = "cases brighter than a CT is"
# Share of such voxels that metal does not explain.
_MAX_TOO_BRIGHT: Final = 0.01

Positive = Annotated[float, Field(gt=0)]
Millimetres = tuple[Positive, Positive, Positive]
Voxels = tuple[PositiveInt, PositiveInt, PositiveInt]

_NUM_AXES: Final = 3
# Of made volumes: voxels along each axis, millimetres between them, and intensities.
_MADE_SIZE: Final = 32
_MADE_SPACING_MM: Final = (3.0, 3.0, 3.0)
_AIR, _LIVER, _TUMOUR = -1000, 100, 50
_INT16: Final = (-(2**15), 2**15 - 1)


class VolumePart(NamedTuple):
    """One case: in boxes on the working grid, or whole on its own."""

    case: Case
    directory: Path
    source: VolumeSource
    is_whole: bool

    @property
    def file(self) -> str:
        """The name of the scan, or of the mask where there is none, relative to the data directory."""
        return os.path.relpath(self.case.image or self.case.label or self.directory, self.directory)

    def records(self) -> Iterator[Record | BadRecord | Note]:
        """Yields the boxes of a case that is good as a whole; one bad record of another."""
        try:
            pair = self.source.opened(self.case)
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
        spacing_mm = self.source.spacing_mm or pair.scan.spacing_mm
        shape = new_shape(pair.scan.shape, pair.scan.spacing_mm, spacing_mm)
        for cut in pair.cuts(shape, self.source.boxes(pair, shape, extents)):
            share = hashed(self.case.name, *cut.box.start) / 2**64
            if cut.label.any() or share < self.source.background_share:
                yield self._record(cut, spacing_mm)

    def _record(self, cut: Cut, spacing_mm: Sequence[float]) -> Record:
        seed = hashed(self.case.name, *cut.box.start)
        return {
            **_scan(cut.image, spacing_mm),
            LABEL: np.ascontiguousarray(cut.label).tobytes(),
            CASE: self.case.name.encode(),
            PATIENT: self.source.patient(self.case).encode(),
            FOREGROUND: foreground_indices(cut.label, seed),
        }


class VolumeSource(PatchShape):
    """Scans in Hounsfield units with a class for each voxel, split by patient."""

    # A CSV file of the data directory with the columns image and label. Default: files by their names.
    pairs_file: str | None = Field(None, min_length=1)
    # Of .npy files along depth, height and width; NIfTI files say theirs.
    npy_spacing_mm: Millimetres | None = None
    label_names: tuple[str, ...] = Field(("background", "liver", "tumour"), min_length=2, max_length=255)
    # What masks have for each name. Default: 0, 1, 2, …
    label_values: tuple[int, ...] | None = None
    # Other values of masks, such as {255: 1}, and the declared ones that they stand for.
    label_mapping: dict[int, int] = Field(default_factory=dict)
    # The working grid. Default: that of each scan.
    spacing_mm: Millimetres | None = None
    # Scans below a patch's size on the working grid are good; windows go beyond them.
    pad_small: bool = False
    # Intensities are clipped to it, and stored as int16.
    window_hu: tuple[int, int] = (-1024, 3071)
    # What of a scan trains: all, what is denser than air, or what is labelled, each with a margin.
    crop: Literal["none", "body", "label"] = "none"
    crop_margin_mm: float = Field(20.0, ge=0)
    # Voxels of the working grid that an example has. Default: all of the case.
    box_size: Voxels | None = None
    # Default: boxes side by side.
    box_stride: Voxels | None = None
    # Of the boxes without foreground, the share that is kept, in [0, 1].
    background_share: float = Field(1.0, ge=0, le=1)
    # Share of the patients that are held out for evaluation, at least one.
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    # Cases that are held out instead: names, or patterns such as volume-1*.
    eval_cases: tuple[str, ...] | None = Field(None, min_length=1)
    # What of a case's name is the patient: the first group, if it has one. Default: each case is one.
    patient_pattern: str | None = None
    # Cases that may be unusable: they are left out, counted and reported.
    max_bad_cases: int = Field(0, ge=0)
    # "strict": a mask lies where its scan does; "voxels": it has the scan's voxels, whatever its header says.
    place_of_label: Literal["strict", "voxels"] = "strict"

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        values = self._values
        if len(values) != len(self.label_names) or len(set(values)) < len(values):
            raise ValueError(f"label_values: expected {len(self.label_names)} different ones, got {values}")
        if len(set(self.label_names)) < len(self.label_names):
            raise ValueError(f"label_names: expected different ones, got {self.label_names}")
        for value, stands_for in self.label_mapping.items():
            if stands_for not in values or value in values:
                expected = f"another value to one of {', '.join(map(str, values))}"
                raise ValueError(f"label_mapping: expected {expected}, got {value}: {stands_for}")
        if not _INT16[0] <= self.window_hu[0] < self.window_hu[1] <= _INT16[1]:
            raise ValueError(f"window_hu: expected a lower and a higher int16, got {self.window_hu}")
        self._check_boxes()
        _check_pattern(self.patient_pattern)
        return self

    def _check_boxes(self) -> None:
        if self.box_size is None:
            if self.box_stride is not None:
                raise ValueError("box_stride: expected none without box_size")
        elif any(box < patch for box, patch in zip(self.box_size, self.patch, strict=True)):
            raise ValueError(f"box_size: expected at least patch_size {self.patch}, got {self.box_size}")

    @property
    def num_classes(self) -> int:
        """The classes, with background."""
        return len(self.label_names)

    @property
    def features(self) -> Mapping[str, Feature]:
        """What a request has, image, shape and spacing; and what training and evaluation know beside it."""
        return {
            IMAGE: Feature(dtype="bytes", opaque=True),
            SHAPE: Feature(dtype="int64", shape=(_NUM_AXES,), minimum=1),
            SPACING_MM: Feature(dtype="float32", shape=(_NUM_AXES,)),
            LABEL: Feature(dtype="bytes", names=self.label_names, served=False, opaque=True),
            CASE: Feature(dtype="bytes", served=False),
            PATIENT: Feature(dtype="bytes", served=False),
            FOREGROUND: Feature(dtype="int64", shape=None, minimum=0, served=False, opaque=True),
        }

    @property
    def input_splits(self) -> tuple[Split, ...]:
        pattern = " or ".join(LOOKED_FOR)
        return (Split("train", pattern), Split(VALIDATION, pattern))

    @property
    def evaluation_split(self) -> str:
        return VALIDATION

    @property
    def group_key(self) -> str:
        return PATIENT

    @property
    def counted_by(self) -> None:
        return None

    @property
    def _values(self) -> tuple[int, ...]:
        return tuple(range(len(self.label_names))) if self.label_values is None else self.label_values

    @property
    def _ids(self) -> LabelIds:
        places = {value: place for place, value in enumerate(self._values)}
        return LabelIds(places | {value: places[other] for value, other in self.label_mapping.items()})

    def with_evaluation_file(self, name: str) -> VolumeSource:
        """Returns itself with all pairs of a .csv file, or the case of one scan, as the evaluation split."""
        is_list = name.lower().endswith(".csv")
        cases = ("*",) if is_list else (stem(name),)
        return self.model_copy(update={"eval_cases": cases} | ({"pairs_file": name} if is_list else {}))

    def check(self, directory: Path) -> None:
        """Reads the headers of all cases; raises FormatError for more bad ones than may be, and no split."""
        layout = self._layout(directory)
        faults = [fault for case in layout.cases if (fault := self._fault(case))]
        self._check_bad(faults[:1], len(faults), len(layout.cases))
        for split in self.input_splits:
            self.parts(directory, split)

    def parts(self, directory: Path, split: Split) -> list[VolumePart]:
        """Returns the cases of a split, one each; raises FormatError where there is none."""
        cases = self._cases(self._layout(directory), split)
        return [VolumePart(case, directory, self, split.name == VALIDATION) for case in cases]

    def raw_files(self, directory: str, split: Split) -> list[str]:
        """Returns the locations of scans and masks, and of what lists or describes them."""
        layout = self._layout(Path(directory))
        paths = [path for case in self._cases(layout, split) for path in case.paths]
        return [str(path) for path in (*paths, *([layout.description] if layout.description else []))]

    def check_found(self, file: str, found: Found) -> None:
        """Does nothing: what all cases hold counts."""

    def check_all_found(self, found: Mapping[str, Found]) -> None:
        """Raises FormatError for too many bad cases, and where no case has foreground."""
        bad = [each.first_bad for each in found.values() if each.num_bad]
        self._check_bad(bad, len(bad), len(found))
        if bad:
            _logger.warning("left out %d of %d cases, such as %s", len(bad), len(found), bad[0])
        if bright := [file for file, each in found.items() if TOO_BRIGHT in each.kinds]:
            clipped = f"clipped to source.window_hu {list(self.window_hu)}"
            _logger.warning("%d %s, such as %s; they are %s", len(bright), TOO_BRIGHT, bright[0], clipped)
        empty = [each.first_note for each in found.values() if NO_FOREGROUND in each.kinds]
        if len(empty) + len(bad) == len(found):
            names = ", ".join(self.label_names[1:])
            raise FormatError(f"{empty[0]}; nor has any other case {names}" if empty else bad[0])

    def surveys(self, directory: Path) -> list[Callable[[], Surveyed]]:
        """Returns what reads one case each, in the order of their names."""
        return [
            partial(surveyed, case.name, partial(self.opened, case), self.label_names)
            for case in self._layout(directory).cases
        ]

    def grids(self, directory: Path) -> list[Grid]:
        """Returns the own grid of each case that can be used, however small; raises FormatError."""
        source = self.model_copy(update={"pad_small": True})
        found, faults = [], []
        for case in source._layout(directory).cases:
            try:
                scan = source.opened(case).scan
                found.append(Grid(case.name, scan.shape, scan.spacing_mm))
            except FormatError as error:
                faults.append(str(error))
        self._check_bad(faults[:1], len(faults), len(found) + len(faults))
        return found

    def compared(self, records: Sequence[Surveyed]) -> list[Surveyed]:
        return compared(records)

    def sample(self, count: int, seed: int) -> list[Record]:
        """Returns noisy ellipsoids with a smaller one inside; the same for the same seed."""
        generator = np.random.default_rng(seed)
        spacing_mm = self.spacing_mm or _MADE_SPACING_MM
        return [_scan(_made(generator), spacing_mm) for _ in range(count)]

    def opened(self, case: Case) -> Pair:
        """Returns the files of a case, whose headers fit; raises FormatError. No voxel is read."""
        if case.fault or case.image is None or case.label is None:
            raise FormatError(case.fault)
        by_voxels = self.place_of_label == "voxels"
        found = open_files(case.image, case.label, self.npy_spacing_mm, by_voxels=by_voxels)
        pair = Pair(*found, self._ids, self.window_hu)
        self._check_grid(pair.scan)
        return pair

    def _check_grid(self, scan: VoxelFile) -> None:
        """Raises FormatError where a scan has fewer voxels on the working grid than a patch, or too many."""
        spacing_mm = self.spacing_mm or scan.spacing_mm
        shape = new_shape(scan.shape, scan.spacing_mm, spacing_mm)
        got = f"got {_times(shape)} of {_times(scan.shape)} voxels of {_times(scan.spacing_mm)} mm"
        if math.prod(shape) > MAX_VOXELS:
            most = f"at most {MAX_VOXELS:,} voxels of {_times(spacing_mm)} mm"
            raise FormatError(f"{scan.path}: expected {most}, {got}: look at its unit and spacing")
        if not self.pad_small and any(size < patch for size, patch in zip(shape, self.patch, strict=True)):
            least = f"at least {_times(self.patch)} voxels of {_times(spacing_mm)} mm, a patch"
            raise FormatError(f"{scan.path}: expected {least}, {got}; source.pad_small=true fills them up")

    def boxes(self, pair: Pair, shape: Shape, extents: Extents) -> list[Box]:
        """Returns the boxes of a case on the working grid of this shape, in order."""
        region = self._region(pair, shape, extents)
        if self.box_size is None:
            return [region]
        return tiles(region, self.box_size, self.box_stride or self.box_size)

    def _region(self, pair: Pair, shape: Shape, extents: Extents) -> Box:
        """Returns what of the working grid trains: what is cropped to, at least a patch; or all."""
        around = {"none": None, "body": extents.body, "label": extents.foreground}[self.crop]
        if around is None:
            return whole(shape)
        spacing_mm = self.spacing_mm or pair.scan.spacing_mm
        margin = [round(self.crop_margin_mm / each) for each in spacing_mm]
        return on_grid(around, pair.scan.shape, shape, margin, self.box_size or self.patch)

    def patient(self, case: Case) -> str:
        """Returns whose case it is; raises FormatError where the pattern does not tell."""
        return patient_of(case.name, self.patient_pattern)

    def _layout(self, directory: Path) -> Layout:
        layout = find_layout(str(directory), self.pairs_file)
        if layout.description is not None and layout.description.name.endswith(".json"):
            self._check_declared(layout.description)
        return layout

    def _check_declared(self, path: Path) -> None:
        """Raises FormatError where a dataset.json declares other classes than the settings."""
        names, values = declared(path)
        if self.label_mapping:
            return
        wanted = {"label_names": names, "label_values": values}
        got = {"label_names": self.label_names, "label_values": self._values}
        settings = [
            f"--set 'source.{key}=[{', '.join(map(str, wanted[key]))}]'"
            for key in wanted
            if wanted[key] != got[key]
        ]
        if settings:
            raise FormatError(
                f"{path}: expected labels {', '.join(self.label_names)}, got {', '.join(names)}; "
                f"use {' '.join(settings)}"
            )

    def _fault(self, case: Case) -> str:
        try:
            self.opened(case)
        except FormatError as error:
            return str(error)
        return ""

    def _check_bad(self, first: Sequence[str], count: int, total: int) -> None:
        if count > self.max_bad_cases:
            of = f"the first of {count} of {total} cases, above source.max_bad_cases {self.max_bad_cases}"
            raise FormatError(f"{first[0]} ({of})")

    def _cases(self, layout: Layout, split: Split) -> list[Case]:
        """Returns the cases of a split; raises FormatError for none."""
        names = [case.name for case in layout.cases]
        if self.eval_cases is None:
            held_out = held_out_by_hash(names, self.patient_pattern, self.validation_fraction)
        else:
            held_out = held_out_by_name(names, self.patient_pattern, self.eval_cases)
        found = [case for case in layout.cases if (case.name in held_out) == (split.name == VALIDATION)]
        if not found:
            patients = len({self.patient(case) for case in layout.cases})
            raise FormatError(
                f"split {split.name!r}: expected patients beside those of the other, got {patients} in all; "
                "cases of another patient would help"
            )
        return found


def _check_pattern(pattern: str | None) -> None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(
            f"patient_pattern: expected a regular expression, got {pattern!r}: {error}"
        ) from error


def _scan(image: Any, spacing_mm: Sequence[float]) -> dict[str, Any]:
    """Returns what is served of a scan."""
    return {
        # A part of a row of boxes is slow to copy as it lies.
        IMAGE: np.ascontiguousarray(image, "<i2").tobytes(),
        SHAPE: list(image.shape),
        SPACING_MM: [float(each) for each in spacing_mm],
    }


def _made(generator: np.random.Generator) -> Any:
    axes = np.ogrid[tuple(slice(-1, 1, _MADE_SIZE * 1j) for _ in range(_NUM_AXES))]
    radii, shift = generator.uniform(0.5, 0.9, _NUM_AXES), generator.uniform(-0.2, 0.2, _NUM_AXES)
    outer = sum((axis / radius) ** 2 for axis, radius in zip(axes, radii, strict=True)) < 1
    inner = sum(((axis - by) / 0.2) ** 2 for axis, by in zip(axes, shift, strict=True)) < 1
    image = np.where(outer, np.where(inner, _TUMOUR, _LIVER), _AIR)
    return np.rint(image + generator.normal(0, 20, image.shape)).astype(np.int16)


def _times(sizes: Sequence[float]) -> str:
    return "×".join(f"{size:g}" for size in sizes)
