"""From the grids of all cases and a memory to the settings of a run, each with its reason."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from components.errors import UserError
from components.formats.resampling import new_shape
from components.models.unet import UNet
from components.protocols import Grid
from components.task import Task
from components.train_config import TrainConfig
from pipelines.planning.memory import step_bytes
from pipelines.planning.topology import BOTTOM, Topology, reduced, topology

# As nnU-Net has them. How many times as far apart voxels are along a thick axis as along the others.
_THICK: Final = 3.0
_THICK_PERCENTILE: Final = 10
# Voxels of the first patch that is tried, by the number of its axes.
_FIRST_VOXELS: Final = {2: 2048**2, 3: 256**3}
_FIRST_FILTERS: Final = 32
_MOST_FILTERS: Final = {2: 512, 3: 320}
_FEWEST_PATCHES: Final = 2
# Of the voxels of all cases, what one step may see.
_MOST_OF_DATA: Final = 0.05
# Networks with fewer filters on the first level are not worth their training.
_FEWEST_FILTERS: Final = 8
_AMOUNT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]i?)B", re.IGNORECASE)
_UNITS: Final = {
    f"{unit}{binary}": base**power
    for power, unit in enumerate("kmgt", start=1)
    for binary, base in (("", 1000), ("i", 1024))
}


class Setting(NamedTuple):
    """A setting, and why it has its value."""

    section: str
    key: str
    value: Any
    reason: str


class Plan(NamedTuple):
    """Settings, and what a step of training with them takes of memory."""

    settings: tuple[Setting, ...]
    step_bytes: int
    # Of each case on the working grid, the median along each axis.
    median_shape: tuple[int, ...]

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """The settings as `--config` has them."""
        sections: dict[str, dict[str, Any]] = {}
        for setting in self.settings:
            sections.setdefault(setting.section, {})[setting.key] = setting.value
        return sections


class _Spacing(NamedTuple):
    spacing_mm: tuple[float, ...]
    reason: str


class _Fit(NamedTuple):
    """A network that fits the memory, and what a step on the fewest patches takes."""

    model: UNet
    step_bytes: int


def read_bytes(text: str) -> int:
    """Returns an amount of memory: "4GB" -> 4000000000, "4GiB" -> 4294967296; raises UserError."""
    found = _AMOUNT.fullmatch(text.strip())
    if not found or not float(found[1]):
        raise UserError(f"--memory {text}: expected an amount such as 8GB or 512MiB")
    return round(float(found[1]) * _UNITS[found[2].lower()])


def plan(task: Task, grids: Sequence[Grid], memory_bytes: int) -> Plan:
    """Returns settings for the task's own kind of network; raises UserError where nothing fits the memory."""
    if not isinstance(task.model, UNet):
        raise UserError(f"plan: expected a task with a U-Net, got {task.name}")
    if not grids:
        raise UserError("plan: expected at least one case that can be used, got none")
    spacing = _target_spacing(grids)
    shapes = [new_shape(grid.shape, grid.spacing_mm, spacing.spacing_mm) for grid in grids]
    median = tuple(round(float(size)) for size in np.median(shapes, axis=0))
    fit = _fitted(task.model, task.train, spacing.spacing_mm, median, memory_bytes)
    batch = _batch(fit, task.train, memory_bytes, sum(map(math.prod, shapes)))
    taken = step_bytes(fit.model, task.train, batch.value)
    settings = (
        Setting("source", "spacing_mm", list(spacing.spacing_mm), spacing.reason),
        *_filled_up(fit.model, shapes),
        *_network(fit.model, median, memory_bytes),
        batch._replace(value=batch.value * task.train.gradient_accumulation_steps),
    )
    return Plan(settings, taken, median)


def to_json(made: Plan) -> dict[str, Any]:
    """Returns a plan as JSON values, reasons by the same sections and keys as the settings."""
    reasons: dict[str, dict[str, str]] = {}
    for setting in made.settings:
        reasons.setdefault(setting.section, {})[setting.key] = setting.reason
    return {
        "settings": made.sections,
        "reasons": reasons,
        "step_bytes": made.step_bytes,
        "median_shape": list(made.median_shape),
    }


def as_yaml(made: Plan, command: str, num_cases: int) -> str:
    """Returns a file for `--config`, each setting below its reason."""
    lines = [
        f"# Proposed by `{command}` for {_cases(num_cases)}, by the rules of nnU-Net",
        "# (F. Isensee et al., Nature Methods 18, 2021). A step of training takes about "
        f"{_amount(made.step_bytes)}, beside the programs.",
    ]
    for section, values in made.sections.items():
        lines.append(f"{section}:")
        for setting in made.settings:
            if setting.section == section and setting.key in values:
                lines += [f"  # {setting.reason}", f"  {setting.key}: {json.dumps(setting.value)}"]
    return "\n".join(lines) + "\n"


def _target_spacing(grids: Sequence[Grid]) -> _Spacing:
    """Returns the median; of a thick axis with few slices the 10th percentile."""
    spacings = np.array([grid.spacing_mm for grid in grids])
    target, sizes = np.median(spacings, axis=0), np.median([grid.shape for grid in grids], axis=0)
    thick = int(target.argmax())
    others = [axis for axis in range(len(target)) if axis != thick]
    finest = float(target[others].max())
    reason = f"The median of {_cases(len(grids))}"
    if target[thick] > _THICK * finest and sizes[thick] * _THICK < sizes[others].min():
        median = target[thick]
        target[thick] = max(float(np.percentile(spacings[:, thick], _THICK_PERCENTILE)), finest)
        reason += (
            f", but the {_THICK_PERCENTILE}th percentile of the thick axis, whose median is {median:g} mm: "
            "thin slices lose less"
        )
    return _Spacing(tuple(round(float(each), 4) for each in target), f"{reason}.")


def _fitted(
    model: UNet, train: TrainConfig, spacing_mm: Sequence[float], shape: Sequence[int], memory_bytes: int
) -> _Fit:
    """Returns the largest patch, and for it the most filters, of which two take no more than the memory."""
    axes = slice(-model.spatial_dims, None)
    filters = _FIRST_FILTERS
    while filters >= _FEWEST_FILTERS:
        patch: Topology | None = _first_patch(spacing_mm[axes], shape[axes])
        while patch is not None:
            candidate = _with(model, patch, filters)
            taken = step_bytes(candidate, train, _FEWEST_PATCHES)
            if taken <= memory_bytes:
                return _Fit(candidate, taken)
            patch = reduced(spacing_mm[axes], patch, shape[axes])
        filters //= 2
    expected, got = _amount(taken), _amount(memory_bytes)
    raise UserError(f"--memory: expected at least {expected} for the smallest network, got {got}")


def _first_patch(spacing_mm: Sequence[float], shape: Sequence[int]) -> Topology:
    """Returns a patch as wide, high and deep in mm, which is no larger than a case."""
    density = 1 / np.array(spacing_mm)
    scale = (_FIRST_VOXELS[len(shape)] / density.prod()) ** (1 / len(shape))
    first = topology(
        spacing_mm, [min(round(each), most) for each, most in zip(density * scale, shape, strict=True)]
    )
    if not first.strides:
        got = "×".join(map(str, shape))
        raise UserError(f"plan: expected cases of at least 8 voxels along two axes, got a median of {got}")
    return first


def _with(model: UNet, patch: Topology, filters: int) -> UNet:
    most = _MOST_FILTERS[model.spatial_dims]
    return model.override(
        {
            "patch_size": patch.patch_size,
            "filters": tuple(min(filters * 2**level, most) for level in range(len(patch.strides) + 1)),
            "strides": patch.strides,
        },
        "model",
    )


def _batch(fit: _Fit, train: TrainConfig, memory_bytes: int, num_voxels: int) -> Setting:
    """Returns how many patches fill the memory; at least two, and no more than a twentieth of the data."""
    one = step_bytes(fit.model, train, 1)
    each = step_bytes(fit.model, train, 2) - one
    by_memory = max(_FEWEST_PATCHES, 1 + (memory_bytes - one) // each)
    by_data = max(_FEWEST_PATCHES, round(_MOST_OF_DATA * num_voxels / math.prod(fit.model.patch)))
    reason = f"As many patches as fit {_amount(memory_bytes)}, two at least."
    if by_data < by_memory:
        reason = (
            f"At most {_MOST_OF_DATA:.0%} of the voxels of all cases, two patches at least; "
            f"the memory would hold {by_memory}."
        )
    return Setting("train", "global_batch_size", min(by_memory, by_data), reason)


def _filled_up(model: UNet, shapes: Sequence[Sequence[int]]) -> Iterator[Setting]:
    small = sum(any(size < patch for size, patch in zip(shape, model.patch, strict=True)) for shape in shapes)
    if small:
        reason = f"Smaller than a patch: {small} of {_cases(len(shapes))}."
        yield Setting("source", "pad_small", True, reason)


def _network(model: UNet, median: Sequence[int], memory_bytes: int) -> Iterator[Setting]:
    shape, most = "×".join(map(str, median)), _MOST_FILTERS[model.spatial_dims]
    if model.spatial_dims == 2:
        yield Setting("model", "spatial_dims", 2, "As asked: slices.")
    halved = f" (halved from {_FIRST_FILTERS} to fit)" if model.filters[0] < _FIRST_FILTERS else ""
    yield Setting(
        "model",
        "patch_size",
        list(model.patch_size),
        f"{_FEWEST_PATCHES} of them fit {_amount(memory_bytes)}; the median of cases is {shape} voxels.",
    )
    yield Setting(
        "model",
        "filters",
        list(model.filters),
        f"{model.filters[0]} on the first level{halved}, twice as many on each, {most} at most.",
    )
    yield Setting(
        "model",
        "strides",
        [list(each) for each in model.level_strides],
        f"Axes are halved together once their voxels are about as far apart, down to {BOTTOM} or more.",
    )


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"


def _amount(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2g} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"
