"""What is told of scans and masks before training, and which of them look wrong."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from components.formats.errors import FormatError
from components.protocols import Surveyed, Surveys
from components.sources.volumes import VolumeSource

SOURCE = VolumeSource(patch_size=(2, 2, 2))
# In the axes of files.
SHAPE = (10, 8, 5)
SPACING = (1.0, 2.0, 5.0)


def write(
    folder: Path,
    number: int,
    image: Any = None,
    label: Any = None,
    spacing: tuple[float, ...] = SPACING,
    axes: tuple[int, ...] = (1, 1, 1),
) -> None:
    affine = np.diag([*(length * sign for length, sign in zip(spacing, axes, strict=True)), 1.0])
    for name, voxels in (("volume", scan() if image is None else image), ("segmentation", label)):
        voxels = mask() if voxels is None else voxels
        nib.save(nib.Nifti1Image(voxels, affine), folder / f"{name}-{number}.nii.gz")


def scan() -> Any:
    """Air, and in it a body of 60 of its 400 voxels."""
    image = np.full(SHAPE, -1000, np.int16)
    image[2:8, 2:7, 1:3] = 60
    image[2, 2, 1] = 400
    return image


def mask() -> Any:
    """A liver of 7 voxels, and a tumour of 1."""
    label = np.zeros(SHAPE, np.uint8)
    label[3:5, 3:5, 1:3] = 1
    label[3, 3, 1] = 2
    return label


def looked(folder: Path, source: VolumeSource = SOURCE) -> list[Surveyed]:
    return source.compared([look() for look in source.surveys(folder)])


def test_a_case_is_told_by_its_grid_its_intensities_and_its_classes(tmp_path: Path) -> None:
    assert isinstance(SOURCE, Surveys)
    write(tmp_path, 0, axes=(-1, -1, 1))
    (case,) = looked(tmp_path)
    # A voxel has 10 mm³. Of 400, 340 are air.
    assert (case.name, case.doubts) == ("volume-0", ())
    assert case.values == {
        "shape": [5, 8, 10],
        "spacing_mm": [5.0, 2.0, 1.0],
        "orientation": "LPS",
        "minimum": -1000,
        "median": -1000,
        "maximum": 400,
        "volumes_ml": {"liver": 0.07, "tumour": 0.01},
    }
    assert case.cells == {
        "shape>": "5×8×10",
        "spacing mm>": "5×2×1",
        "axes": "LPS",
        "HU>": "-1000 … -1000 … 400",
        "liver ml>": "0.1",
        "tumour ml>": "0.0",
    }


def test_the_median_is_that_of_all_voxels(tmp_path: Path) -> None:
    # 1 to 400 in halves: the 200th of 400 is 100, and halves are rounded to even ones.
    image = (np.arange(1, 401).reshape(SHAPE) / 2).astype(np.float32)
    write(tmp_path, 0, image)
    values = looked(tmp_path)[0].values
    assert (values["minimum"], values["median"], values["maximum"]) == (0, 100, 200)


def test_a_case_is_drawn(tmp_path: Path) -> None:
    write(tmp_path, 0)
    (case,) = looked(tmp_path)
    assert case.picture is not None
    assert Image.open(io.BytesIO(case.picture())).format == "PNG"


@pytest.mark.parametrize(
    ("image", "label", "doubt"),
    [
        (None, np.zeros(SHAPE, np.uint8), "expected a label above 0, got none"),
        (
            None,
            # The mask is upside down: 4 of the 8 labelled voxels are in air.
            mask()[:, :, ::-1].copy(),
            "expected labels inside of the body, got 50% of their voxels in air",
        ),
        (
            (scan() + 1000).astype(np.int16),
            None,
            "expected Hounsfield units, of which air has -1000, got 0 and above",
        ),
    ],
)
def test_what_looks_wrong_is_said(tmp_path: Path, image: Any, label: Any, doubt: str) -> None:
    write(tmp_path, 0, image, label)
    assert looked(tmp_path)[0].doubts == (doubt,)


def test_some_labels_at_the_edge_of_the_lungs_are_right(tmp_path: Path) -> None:
    image, label = np.full(SHAPE, -1000, np.int16), np.zeros(SHAPE, np.uint8)
    label[:, :4, 0] = 1
    image[:, :4, 0] = 60
    # 2 of 40 voxels are 5%, which is the most.
    image[:2, 0, 0] = -900
    write(tmp_path, 0, image, label)
    assert looked(tmp_path)[0].doubts == ()


def test_cases_that_differ_from_most_others_are_told(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path, number)
    write(tmp_path, 4, spacing=(1.0, 2.0, 12.0), axes=(-1, 1, 1))
    cases = looked(tmp_path)
    assert [case.doubts for case in cases[:4]] == [()] * 4
    assert cases[4].doubts == (
        "expected a spacing of about 5 mm along the depth, got 12",
        "expected axes RAS, as most cases have, got LAS; they are turned when read",
    )


def test_where_axes_differ_throughout_none_is_the_usual_one(tmp_path: Path) -> None:
    for number, axes in enumerate([(1, 1, 1), (-1, 1, 1), (-1, -1, 1)]):
        write(tmp_path, number, axes=axes)
    assert not any(case.doubts for case in looked(tmp_path))


def test_a_case_that_cannot_be_used_is_told_with_the_others(tmp_path: Path) -> None:
    write(tmp_path, 0)
    write(tmp_path, 1, label=np.full(SHAPE, 3, np.uint8))
    write(tmp_path, 2)
    (tmp_path / "segmentation-2.nii.gz").unlink()
    good, wrong, lone = looked(tmp_path)
    assert good.doubts == ()
    for case, doubt in (
        (wrong, "expected labels 0, 1, 2, got 3"),
        (lone, "expected the mask segmentation-2.nii"),
    ):
        assert doubt in case.doubts[0]
        assert (case.cells, case.picture) == ({}, None)
        assert case.values == dict.fromkeys(good.values)


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"expected .*volume-N"):
        looked(tmp_path)
