"""Arrays of NumPy as volumes: read a box at a time, and refused where they are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.formats import npy_volume
from components.formats.errors import FormatError
from components.formats.nifti import Box
from components.formats.npy_volume import NpyVolume

SPACING = (3.0, 2.0, 1.0)


def save(path: Path, voxels: Any) -> Path:
    np.save(path, voxels)
    return path


def ramp(dtype: str = "int16") -> Any:
    return np.arange(60).reshape(3, 4, 5).astype(dtype)


@pytest.mark.parametrize("dtype", ["bool", "uint8", ">i2", "float32", "float64"])
@pytest.mark.parametrize("fortran", [False, True])
def test_a_box_is_a_part_of_the_array(
    tmp_path: Path, dtype: str, fortran: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    voxels = ramp(dtype)
    volume = NpyVolume(save(tmp_path / "a.npy", np.asfortranarray(voxels) if fortran else voxels), SPACING)
    assert (volume.shape, volume.spacing_mm) == ((3, 4, 5), SPACING)
    box = Box((1, 0, 2), (3, 4, 5))
    assert np.array_equal(volume.read(box), voxels[1:, :, 2:])
    monkeypatch.setattr(npy_volume, "_BLOCK_VOXELS", 45)
    blocks = list(volume.blocks())
    assert [(box.start[0], box.stop[0]) for box, _ in blocks] == [(0, 2), (2, 3)]
    assert np.array_equal(np.concatenate([found for _, found in blocks]), voxels)


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (ramp()[0], "expected three axes, got 4×5 voxels"),
        (ramp()[None], "expected three axes, got 1×3×4×5 voxels"),
        (ramp()[:0], "expected three axes, got 0×4×5 voxels"),
        (np.array(1), "expected three axes, got 0 voxels"),
        (ramp("complex64"), "expected a number for each voxel, got complex64"),
        (ramp("U2"), "expected a number for each voxel, got <U2"),
        (np.array([None] * 8).reshape(2, 2, 2), "expected an array of numbers, got: "),
    ],
)
def test_an_array_that_is_no_volume_is_refused(tmp_path: Path, voxels: Any, message: str) -> None:
    path = save(tmp_path / "a.npy", voxels)
    with pytest.raises(FormatError) as caught:
        NpyVolume(path, SPACING)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_array_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", ramp())
    whole = path.read_bytes()
    for content in (b"", b"abc", whole[:-1], whole[:100], b"\x93NUMPX" + whole[6:]):
        path.write_bytes(content)
        with pytest.raises(FormatError, match="expected an array of numbers, got: "):
            NpyVolume(path, SPACING)
    np.savez(tmp_path / "b.npz", ramp())
    (tmp_path / "b.npz").rename(path)
    with pytest.raises(FormatError, match="expected a number for each voxel, got several arrays"):
        NpyVolume(path, SPACING)
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        NpyVolume(tmp_path / "c.npy", SPACING)


def test_voxels_that_are_no_numbers_are_refused_when_they_are_read(tmp_path: Path) -> None:
    voxels = ramp("float32")
    voxels[2, 3, 4] = np.inf
    volume = NpyVolume(save(tmp_path / "a.npy", voxels), SPACING)
    assert volume.read(Box((0, 0, 0), (2, 4, 5))).shape == (2, 4, 5)
    with pytest.raises(FormatError, match=r"expected finite voxels, got inf at voxel \(2, 3, 4\)"):
        list(volume.blocks())


def test_a_mask_has_the_shape_of_its_scan(tmp_path: Path) -> None:
    scan = NpyVolume(save(tmp_path / "a.npy", ramp()), SPACING)
    NpyVolume(save(tmp_path / "b.npy", ramp("uint8")), SPACING).check_matches(scan)
    with pytest.raises(FormatError, match=r"c.npy: expected 3×4×5 voxels as a.npy has, got 2×4×5"):
        NpyVolume(save(tmp_path / "c.npy", ramp()[:2]), SPACING).check_matches(scan)
