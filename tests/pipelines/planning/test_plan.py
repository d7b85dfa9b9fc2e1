"""Settings for scans and a memory, each with its reason, as a run takes them."""

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

from components.errors import UserError
from components.formats.errors import FormatError
from components.protocols import Grid, HasGrids
from components.sources.volumes import VolumeSource
from pipelines.dag.settings import read_overrides
from pipelines.planning import plan as planning
from pipelines.planning.memory import step_bytes
from pipelines.planning.plan import Plan
from pipelines.tasks import TASKS

LITS = TASKS["lits"]
# As CTs are: of 100 slices of 1 mm, and 512 × 512 voxels of 0.75 mm.
CT = Grid("a", (100, 512, 512), (1.0, 0.75, 0.75))


def planned(*grids: Grid, memory: str = "8GB", **settings: Any) -> Plan:
    return planning.plan(LITS.override(settings), grids, planning.read_bytes(memory))


def thick(mm: float) -> Grid:
    return Grid("a", (12, 200, 200), (mm, 1.5, 1.5))


def test_spacing_is_the_median_of_the_cases() -> None:
    grids = [CT._replace(spacing_mm=(mm, 0.75, 0.5 + mm / 10)) for mm in (1.0, 2.5, 1.25)]
    assert planned(*grids).sections["source"]["spacing_mm"] == [1.25, 0.75, 0.625]


def test_of_a_thick_axis_with_few_slices_it_is_the_tenth_percentile() -> None:
    # Of 5, 10, 10, 10, 10 at four tenths of the way from the first to the second.
    made = planned(*map(thick, (10, 10, 5, 10, 10)))
    assert made.sections["source"]["spacing_mm"] == [7.0, 1.5, 1.5]
    assert "10th percentile of the thick axis, whose median is 10 mm" in made.settings[0].reason
    # With as many slices as voxels across, it is the median all the same.
    tall = [thick(mm)._replace(shape=(100, 200, 200)) for mm in (10, 10, 5, 10, 10)]
    assert planned(*tall).sections["source"]["spacing_mm"] == [10.0, 1.5, 1.5]


@pytest.mark.parametrize("memory", ["600MB", "2GB", "8GB", "24GB"])
def test_two_patches_at_least_fit_the_memory_and_the_task_takes_the_settings(memory: str) -> None:
    made = planned(CT, CT, memory=memory)
    fitted = LITS.override(made.sections)
    taken = step_bytes(fitted.model, fitted.train, fitted.train.global_batch_size)
    assert taken == made.step_bytes <= planning.read_bytes(memory)
    assert fitted.train.global_batch_size >= 2
    # One setting is for all parts.
    assert fitted.source.patch_size == fitted.windowing.patch_size == fitted.model.patch_size
    assert fitted.windowing.spacing_mm == (1.0, 0.75, 0.75)
    assert fitted.model.filters[0] == 32
    # What is left would not hold a larger patch: less than twice as much.
    assert taken > planning.read_bytes(memory) / 2


def test_more_memory_gives_larger_patches() -> None:
    sizes = [
        math.prod(planned(CT, memory=memory).sections["model"]["patch_size"]) for memory in ("1GB", "8GB")
    ]
    assert sizes[1] > 4 * sizes[0]


def test_where_hardly_anything_fits_filters_are_halved() -> None:
    made = planned(CT, memory="22MB")
    filters = made.sections["model"]["filters"]
    assert filters[0] in (8, 16)
    (reason,) = [setting.reason for setting in made.settings if setting.key == "filters"]
    assert "halved from 32 to fit" in reason
    with pytest.raises(
        UserError, match=r"--memory: expected at least \d+ MB for the smallest network, got 1 MB"
    ):
        planned(CT, memory="1MB")


def test_small_cases_are_filled_up_to_a_patch() -> None:
    # 50 voxels become 56, the next multiple of 8.
    made = planned(Grid("a", (50, 64, 64), (1.0, 1.0, 1.0)), memory="24GB")
    assert made.sections["model"]["patch_size"] == [56, 64, 64]
    assert made.sections["source"]["pad_small"] is True
    assert "pad_small" not in planned(CT).sections["source"]


def test_a_step_sees_no_more_than_a_twentieth_of_the_data() -> None:
    small = Grid("a", (32, 32, 32), (1.0, 1.0, 1.0))
    # A twentieth of 100 cases as large as a patch, and of 10 less than the two that there are at least.
    assert planned(*[small] * 100).sections["train"]["global_batch_size"] == 5
    assert planned(*[small] * 10).sections["train"]["global_batch_size"] == 2


def test_slices_are_planned_in_two_dimensions() -> None:
    made = planned(CT, model={"spatial_dims": 2})
    model = made.sections["model"]
    assert model["spatial_dims"] == 2
    # No larger than a slice.
    assert model["patch_size"] == [512, 512]
    assert model["filters"] == [32, 64, 128, 256, 512, 512, 512, 512]
    assert LITS.override(made.sections).model.spatial_dims == 2


def test_accumulated_steps_share_a_batch() -> None:
    once = planned(CT).sections["train"]["global_batch_size"]
    settings = {"train": {"global_batch_size": 6, "gradient_accumulation_steps": 3}}
    assert planned(CT, **settings).sections["train"]["global_batch_size"] == 3 * once


def test_the_file_has_the_reason_above_each_setting_and_is_read_by_a_run(tmp_path: Path) -> None:
    made = planned(CT)
    text = planning.as_yaml(made, "millrace plan lits --data D", 1)
    (tmp_path / "plan.yaml").write_text(text)
    assert read_overrides([tmp_path / "plan.yaml"], ()) == made.sections == yaml.safe_load(text)
    lines = text.splitlines()
    assert lines[0].startswith("# Proposed by `millrace plan lits --data D` for 1 case")
    for setting in made.settings:
        place = next(i for i, line in enumerate(lines) if line.startswith(f"  {setting.key}: "))
        assert lines[place - 1] == f"  # {setting.reason}"
    assert planning.to_json(made)["reasons"]["source"]["spacing_mm"] == "The median of 1 case."


@pytest.mark.parametrize(
    ("text", "num_bytes"), [("4GB", 4_000_000_000), ("0.5 GiB", 536_870_912), ("512mb", 512_000_000)]
)
def test_memory_is_an_amount(text: str, num_bytes: int) -> None:
    assert planning.read_bytes(text) == num_bytes


@pytest.mark.parametrize("text", ["4", "GB", "-4GB", "0GB", "4 G", "1e3MB"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected an amount such as 8GB"):
        planning.read_bytes(text)


def test_other_tasks_and_no_cases_are_refused() -> None:
    with pytest.raises(UserError, match="plan: expected a task with a U-Net, got mnist"):
        planning.plan(TASKS["mnist"], [CT], 10**9)
    with pytest.raises(UserError, match="plan: expected at least one case"):
        planned()


def write(folder: Path, number: int, spacing: float = 2.0) -> None:
    for name in ("volume", "segmentation"):
        image = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([1, spacing, 3, 1.0]))
        nib.save(image, folder / f"{name}-{number}.nii.gz")


def test_a_source_tells_the_grids_of_cases_of_any_size(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path, number)
    (tmp_path / "segmentation-2.nii.gz").unlink()
    # Smaller than its patches, which are yet to be planned.
    source = VolumeSource(spacing_mm=(9.0, 9.0, 9.0), max_bad_cases=1)
    assert isinstance(source, HasGrids)
    assert source.grids(tmp_path) == [
        Grid("volume-0", (6, 5, 4), (3.0, 2.0, 1.0)),
        Grid("volume-1", (6, 5, 4), (3.0, 2.0, 1.0)),
    ]
    with pytest.raises(FormatError, match="the first of 1 of 3 cases"):
        source.override({"max_bad_cases": 0}, "source").grids(tmp_path)
