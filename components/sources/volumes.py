"""Scans with masks, as files of volumes: LiTS, the Medical Segmentation Decathlon, nnU-Net, or a list."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from components.features import CASE, FOREGROUND, IMAGE, LABEL, PATIENT, SHAPE, SPACING_MM, Feature
from components.formats.errors import FormatError
from components.protocols import VALIDATION, Found, Grid, Record, Split, Surveyed
from components.sources.volume_cases import NO_FOREGROUND, TOO_BRIGHT, VolumePart, opened, scan_features
from components.sources.volume_layouts import LOOKED_FOR, Case, Layout, declared, find_layout
from components.sources.volume_settings import VolumeSettings
from components.sources.volume_splits import held_out_by_hash, held_out_by_name, patient_of
from components.sources.volume_survey import compared, surveyed

_logger = logging.getLogger(__name__)

_NUM_AXES: Final = 3
# Of made volumes: voxels along each axis, millimetres between them, and intensities.
_MADE_SIZE: Final = 32
_MADE_SPACING_MM: Final = (3.0, 3.0, 3.0)
_AIR, _LIVER, _TUMOUR = -1000, 100, 50


class VolumeSource(VolumeSettings):
    """Scans in Hounsfield units with a class for each voxel, split by patient."""

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

    def with_evaluation_file(self, name: str) -> VolumeSource:
        """Returns itself with all pairs of a .csv file, or the case of one scan, as the evaluation split."""
        is_list = name.lower().endswith(".csv")
        cases = ("*",) if is_list else (name,)
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
        cases = self._cases(directory, self._layout(directory), split)
        return [VolumePart(case, directory, self, split.name == VALIDATION) for case in cases]

    def raw_files(self, directory: str, split: Split) -> list[str]:
        """Returns the locations of scans and masks, and of what lists or describes them."""
        layout = self._layout(Path(directory))
        paths = [path for case in self._cases(Path(directory), layout, split) for path in case.paths]
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
            partial(surveyed, case.name, partial(opened, self, case), self.label_names)
            for case in self._layout(directory).cases
        ]

    def grids(self, directory: Path) -> list[Grid]:
        """Returns the own grid of each case that can be used, however small; raises FormatError."""
        source = self.model_copy(update={"pad_small": True})
        found, faults = [], []
        for case in source._layout(directory).cases:
            try:
                scan = opened(source, case).scan
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
        return [scan_features(_made(generator), spacing_mm) for _ in range(count)]

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
        # By default they count the names.
        got_values = self.label_values or tuple(range(len(names)))
        got = {"label_names": self.label_names, "label_values": got_values}
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
            opened(self, case)
        except FormatError as error:
            return str(error)
        return ""

    def _check_bad(self, first: Sequence[str], count: int, total: int) -> None:
        if count > self.max_bad_cases:
            of = f"the first of {count} of {total} cases, above source.max_bad_cases {self.max_bad_cases}"
            raise FormatError(f"{first[0]} ({of})")

    def _cases(self, directory: Path, layout: Layout, split: Split) -> list[Case]:
        """Returns the cases of a split; raises FormatError for none."""
        held_out = self._held_out(directory, [case.name for case in layout.cases])
        found = [case for case in layout.cases if (case.name in held_out) == (split.name == VALIDATION)]
        if not found:
            patients = len({patient_of(case.name, self.patient_pattern) for case in layout.cases})
            raise FormatError(
                f"split {split.name!r}: expected patients beside those of the other, got {patients} in all; "
                "cases of another patient would help"
            )
        return found

    def _held_out(self, directory: Path, names: Sequence[str]) -> set[str]:
        if self.eval_cases is None:
            return held_out_by_hash(names, self.patient_pattern, self.validation_fraction)
        try:
            return held_out_by_name(names, self.patient_pattern, self.eval_cases)
        except FormatError as error:
            raise FormatError(f"{directory}: {error}") from error


def _made(generator: np.random.Generator) -> Any:
    axes = np.ogrid[tuple(slice(-1, 1, _MADE_SIZE * 1j) for _ in range(_NUM_AXES))]
    radii, shift = generator.uniform(0.5, 0.9, _NUM_AXES), generator.uniform(-0.2, 0.2, _NUM_AXES)
    outer = sum((axis / radius) ** 2 for axis, radius in zip(axes, radii, strict=True)) < 1
    inner = sum(((axis - by) / 0.2) ** 2 for axis, by in zip(axes, shift, strict=True)) < 1
    image = np.where(outer, np.where(inner, _TUMOUR, _LIVER), _AIR)
    return np.rint(image + generator.normal(0, 20, image.shape)).astype(np.int16)
