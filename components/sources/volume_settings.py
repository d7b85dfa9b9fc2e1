"""What can be set of scans with masks: files, classes, the working grid, what of a scan trains, the split."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import pydantic
from pydantic import Field, PositiveInt
from typing_extensions import Self

from components.patch_shape import PatchShape
from components.sources.volume_boxes import LabelIds

Positive = Annotated[float, Field(gt=0)]
Millimetres = tuple[Positive, Positive, Positive]
Voxels = tuple[PositiveInt, PositiveInt, PositiveInt]

_INT16: Final = (-(2**15), 2**15 - 1)


class VolumeSettings(PatchShape):
    """The settings of a VolumeSource."""

    pairs_file: str | None = Field(
        None,
        min_length=1,
        description="A CSV file of the data with the columns image and label. Default: files by their names.",
    )
    npy_spacing_mm: Millimetres | None = Field(
        None,
        description="Between voxels of .npy files along depth, height and width; NIfTI files say theirs.",
    )
    label_names: tuple[str, ...] = Field(
        ("background", "liver", "tumour"),
        min_length=2,
        max_length=255,
        description="The classes; the first is the background.",
    )
    label_values: tuple[int, ...] | None = Field(
        None, description="What masks have for each name. Default: 0, 1, 2, …"
    )
    label_mapping: dict[int, int] = Field(
        default_factory=dict,
        description="Other values of masks, such as {255: 1}, and the declared ones that they stand for.",
    )
    spacing_mm: Millimetres | None = Field(
        None, description="Between voxels of the working grid. Default: that of each scan."
    )
    pad_small: bool = Field(False, description="Scans smaller than a patch are good; windows go beyond them.")
    window_hu: tuple[int, int] = Field(
        (-1024, 3071), description="Intensities are clipped to it, and stored as int16."
    )
    crop: Literal["none", "body", "label"] = Field(
        "none", description="What of a scan trains: all, what is denser than air, or what is labelled."
    )
    crop_margin_mm: float = Field(20.0, ge=0, description="What is kept around that.")
    box_size: Voxels | None = Field(
        None, description="Voxels of the working grid that an example has. Default: all of the case."
    )
    box_stride: Voxels | None = Field(
        None, description="Voxels from box to box. Default: boxes side by side."
    )
    background_share: float = Field(
        1.0, ge=0, le=1, description="Of the boxes without foreground, the share that is kept, in [0, 1]."
    )
    validation_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the patients that are held out for evaluation, at least one."
    )
    eval_cases: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Cases that are held out instead: names, of files, too, or patterns such as volume-1*.",
    )
    patient_pattern: str | None = Field(
        None,
        description="What of a case's name is its patient: the first group, if any. Default: all of it.",
    )
    max_bad_cases: int = Field(
        0, ge=0, description="Cases that may be unusable: they are left out, counted and reported."
    )
    place_of_label: Literal["strict", "voxels"] = Field(
        "strict",
        description="strict: a mask lies where its scan does; voxels: it has as many, whatever headers say.",
    )

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        values = self.values
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
    def values(self) -> tuple[int, ...]:
        """What masks have for each class."""
        return tuple(range(len(self.label_names))) if self.label_values is None else self.label_values

    @property
    def ids(self) -> LabelIds:
        """The class of each value that a mask may have."""
        places = {value: place for place, value in enumerate(self.values)}
        return LabelIds(places | {value: places[other] for value, other in self.label_mapping.items()})


def _check_pattern(pattern: str | None) -> None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(
            f"patient_pattern: expected a regular expression, got {pattern!r}: {error}"
        ) from error
