"""How good segmentations of volumes are, by class: Dice, volumes, surfaces and lesions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from pydantic import Field
from typing_extensions import Self

from components import html
from components.config import Config, ConfigError, unknown_name
from components.features import CASE, IMAGE, LABEL, SHAPE, SPACING_MM, Feature
from components.metrics.lesions import largest_component
from components.metrics.mask_tables import (
    OF_CLASS,
    OF_LESIONS,
    OTHERS,
    case_table,
    classes_table,
    empty_table,
    largest_table,
    lesions_table,
)
from components.metrics.masks import MaskSums, compare_masks, dice
from components.metrics.surfaces import bounding_box
from components.protocols import Model, Raw, Section

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.protocols import Arrays

    Mask = NDArray[np.bool_]

_MEAN_DICE: Final = "mean_dice"
_VOXEL_ACCURACY: Final = "voxel_accuracy"
# Those that are right, and all.
_NUM_VOXEL_SUMS: Final = 2


_ALT: Final = "An axial, a coronal and a sagittal plane with the contours of the label and of the answer"
# Reports show pictures of a few pixels as large ones.
_STYLE: Final = "width: auto; max-width: 100%; image-rendering: auto"


class _Case(NamedTuple):
    """The box of a case outside of which there is background alone."""

    label: NDArray[np.uint8]
    answer: NDArray[np.uint8]
    spacing_mm: tuple[float, ...]
    # Of the whole case: those that are right, and all.
    voxels: tuple[int, int]


class _Total(NamedTuple):
    """Sums by their names."""

    voxels: NDArray[Any]
    by_class: dict[str, MaskSums]
    # With the largest component alone.
    cleaned: dict[str, MaskSums]


class SegmentationEvaluation(Config):
    """Compares the volume `label` of an answer with the label, voxel by voxel.

    Its sums are the voxels that are right, and all; then MaskSums of every class but the background; and
    those of each `largest_component`.
    """

    class_names: tuple[str, ...] = Field(
        ("background", "liver", "tumour"),
        min_length=2,
        description="The class of each label; taken from the task's source.",
    )
    parts: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description='Classes that count as parts of another, too: {"liver": ["tumour"]}, as in LiTS.',
    )
    surface_tolerance_mm: float = Field(
        2.0, gt=0, description="How far apart surfaces may be that are as good as the same."
    )
    lesion_classes: tuple[str, ...] | None = Field(
        None, description="Classes whose pieces are found one by one. Default: the last class."
    )
    largest_component: tuple[str, ...] = Field(
        (),
        description="Classes of which a body has one piece: measured a second time with the largest alone.",
    )

    @property
    def metrics(self) -> tuple[str, ...]:
        names = [f"{name}_{measured}" for name in OF_CLASS for measured in self._measured]
        names += [f"{name}_{lesion}" for name in OF_LESIONS for lesion in self._lesion_classes]
        return (_MEAN_DICE, *names, _VOXEL_ACCURACY)

    @property
    def numbers(self) -> tuple[str, ...]:
        others = {f"{name}_{measured}" for name in OTHERS for measured in self._measured}
        return tuple(name for name in self.metrics if name not in {_VOXEL_ACCURACY, *others})

    def fitted_to(self, features: Mapping[str, Feature], model: Model) -> Self:
        """Returns itself with the names of the classes; raises ConfigError where a setting has others."""
        fitted = self.model_copy(update={"class_names": features[LABEL].names})
        for setting in ("parts", "lesion_classes", "largest_component"):
            for name in _names(getattr(fitted, setting)):
                if name not in fitted._measured:
                    raise ConfigError(
                        f"evaluation.{setting}: {unknown_name('class', name, fitted._measured)}"
                    )
        return fitted

    def sums(self, raw: Raw, answer: Arrays) -> NDArray[Any]:
        case = _read(raw, answer)
        masks = {name: self._masks(case, name) for name in self._measured}
        rows = {name: self._compare(case, name, *both) for name, both in masks.items()}
        cleaned = [self._cleaned(case, name, *masks[name], rows[name]) for name in self.largest_component]
        return np.concatenate([case.voxels, *rows.values(), *cleaned]).astype(np.float64)

    def results(self, sums: NDArray[Any]) -> dict[str, float | list[float]]:
        total = self._total(sums)
        by_class = {name: each.metrics for name, each in total.by_class.items()}
        right, voxels = total.voxels.tolist()
        known = {
            f"{name}_{measured}": value
            for measured, found in by_class.items()
            for name, value in found.items()
        }
        known[_MEAN_DICE] = _mean(found["dice"] for found in by_class.values())
        known[_VOXEL_ACCURACY] = right / voxels if voxels else math.nan
        return {name: known[name] for name in self.metrics}

    def details(self, sums: NDArray[Any]) -> dict[str, Any]:
        """Returns the classes' sums by name, and what is measured of the largest components alone."""
        total = self._total(sums)
        return {
            "class_names": list(self.class_names),
            "surface_tolerance_mm": self.surface_tolerance_mm,
            "sums_by_class": {name: each._asdict() for name, each in total.by_class.items()},
            "largest_component": {name: each.metrics for name, each in total.cleaned.items()},
        }

    def badness(self, raw: Raw, answer: Arrays) -> float:
        """Returns 1 - the mean Dice of the case's classes; 0 where it has none."""
        case = _read(raw, answer)
        found = _mean(dice(*self._masks(case, name)) for name in self._measured)
        return 0.0 if math.isnan(found) else 1 - found

    def show(self, raw: Raw, answer: Arrays) -> str:
        """Returns the name of the case, three planes with both contours, and a table of its classes."""
        # Every command imports tasks, and few draw.
        from components.pictures import Scan, planes

        case, volumes = _read(raw, answer), _volumes(raw, answer)
        by_class = {name: self._compare(case, name, *self._masks(case, name)) for name in self._measured}
        image = np.frombuffer(raw[IMAGE], "<i2").reshape(volumes[0].shape)
        png = planes(Scan(image, case.spacing_mm, *volumes), self.class_names)
        of_case = case_table(by_class, math.prod(case.spacing_mm) / 1000)
        return f"<p><strong>{escape(_name(raw))}</strong></p>{html.image(png, _ALT, _STYLE)}{of_case}"

    def sections(self, sums: NDArray[Any]) -> Iterator[Section]:
        """Yields tables of the classes, of empty masks, of lesions, and of largest components."""
        total = self._total(sums)
        lesions = {name: total.by_class[name] for name in self._lesion_classes}
        yield Section("Classes", classes_table(total.by_class, self.surface_tolerance_mm))
        yield Section("Cases without a class", empty_table(total.by_class))
        yield Section("Lesions", lesions_table(lesions))
        yield Section("With the largest component alone", largest_table(total.by_class, total.cleaned))

    @property
    def _measured(self) -> tuple[str, ...]:
        return self.class_names[1:]

    @property
    def _lesion_classes(self) -> tuple[str, ...]:
        return self.class_names[-1:] if self.lesion_classes is None else self.lesion_classes

    def _masks(self, case: _Case, name: str) -> tuple[Mask, Mask]:
        """Returns where the label and the answer have a class, or one of its parts."""
        is_of_class = np.zeros(256, bool)
        for part in (name, *self.parts.get(name, ())):
            is_of_class[self.class_names.index(part)] = True
        return is_of_class[case.label], is_of_class[case.answer]

    def _compare(self, case: _Case, name: str, label: Mask, answer: Mask) -> MaskSums:
        has_lesions = name in self._lesion_classes
        return compare_masks(label, answer, case.spacing_mm, self.surface_tolerance_mm, has_lesions)

    def _cleaned(self, case: _Case, name: str, label: Mask, answer: Mask, before: MaskSums) -> MaskSums:
        largest = largest_component(answer)
        # Surfaces take time, and most answers have one component.
        unchanged = np.array_equal(largest, answer)
        return before if unchanged else self._compare(case, name, label, largest)

    def _total(self, sums: NDArray[Any]) -> _Total:
        rows = [MaskSums(*row) for row in sums[_NUM_VOXEL_SUMS:].reshape(-1, len(MaskSums._fields)).tolist()]
        by_class = dict(zip(self._measured, rows, strict=False))
        cleaned = dict(zip(self.largest_component, rows[len(by_class) :], strict=True))
        return _Total(sums[:_NUM_VOXEL_SUMS], by_class, cleaned)


def _read(raw: Raw, answer: Arrays) -> _Case:
    """Returns the box of both volumes; raises ValueError as `_volumes` does."""
    label, answered = _volumes(raw, answer)
    # With a margin, so that one slice of several is not taken for a volume of one.
    box = bounding_box((label > 0) | (answered > 0), margin=1)
    spacing_mm = tuple(map(float, raw[SPACING_MM]))
    return _Case(label[box], answered[box], spacing_mm, (np.count_nonzero(label == answered), label.size))


def _volumes(raw: Raw, answer: Arrays) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns the label and the answer; raises ValueError where the answer is smaller."""
    shape = tuple(raw[SHAPE])
    label = np.frombuffer(raw[LABEL], np.uint8).reshape(shape)
    # It is filled up to the largest volume of its batch.
    answered = answer[LABEL][tuple(map(slice, shape))]
    if answered.shape != shape:
        raise ValueError(f"{_name(raw)}: expected an answer of {shape} voxels, got {answer[LABEL].shape}")
    return label, answered


def _name(raw: Raw) -> str:
    return bytes(raw[CASE]).decode("utf-8", "replace")


def _mean(values: Iterable[float]) -> float:
    """Returns that of the values which exist."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _names(setting: Mapping[str, Iterable[str]] | Iterable[str] | None) -> list[str]:
    """Returns all names in a setting."""
    inner = [name for names in setting.values() for name in names] if isinstance(setting, Mapping) else []
    return [*(setting or ()), *inner]
