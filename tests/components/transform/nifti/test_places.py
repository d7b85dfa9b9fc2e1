"""Where voxels are: sform, qform, units, and what is no place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scan_files import SHAPE, STRAIGHT, affine_of, ramp, traced, volume_of

RNG = np.random.default_rng(3)


def affine_found(content: bytes) -> np.ndarray:
    import tensorflow as tf

    from components.transform.nifti.header import read_header

    return traced(read_header, tf.TensorSpec([], tf.string))(content).affine_mm.numpy()


def file_of(kind: type = nib.Nifti1Image, sform: Any = None, qform: Any = None, **fields: Any) -> bytes:
    """Returns a file with one affine or two, which has code 0 where it is None."""
    image = kind(ramp(), None)
    image.set_sform(STRAIGHT if sform is None else sform, 0 if sform is None else 1)
    image.set_qform(STRAIGHT if qform is None else qform, 0 if qform is None else 1)
    content = image.to_bytes()
    # Of what nibabel does not write, too.
    size = kind.header_class.template_dtype.itemsize
    header = kind.header_class(content[:size], check=False)
    for key, value in fields.items():
        header[key] = value
    return header.binaryblock + content[size:]


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_quaternion_is_what_nibabel_makes_of_it(tmp_path: Path, kind: type) -> None:
    quaternions = [*RNG.normal(size=(20, 4)), *np.eye(4), (0, 1, 1, 0), (0, 1, 1, 1), (0, -1, 2, 3)]
    for place, quaternion in enumerate(quaternions):
        rotation = nib.quaternions.quat2mat(quaternion) * (1, 1, (-1) ** place)
        content = file_of(kind, qform=nib.affines.from_matvec(rotation * (0.5, 2, 3)))
        volume = volume_of(content, tmp_path)
        # By half a turn, a quaternion holds half the digits of the angle.
        assert np.allclose(affine_found(content), volume.affine[:3, :3], rtol=0, atol=1e-6)


def test_the_sform_counts_where_both_are_there() -> None:
    flipped = affine_of((0, 1, 2), (-1, -1, 1))
    content = file_of(sform=affine_of((2, 1, 0), (1, 1, 1)), qform=flipped)
    assert affine_found(content).tolist() == [[0, 0, 3], [0, 2, 0], [0.5, 0, 0]]
    assert np.allclose(affine_found(file_of(qform=flipped)), flipped[:3, :3])


def test_a_code_that_means_nothing_is_none(tmp_path: Path) -> None:
    flipped = affine_of((0, 1, 2), (-1, -1, 1))
    content = file_of(sform=STRAIGHT, qform=flipped, sform_code=9)
    assert np.allclose(affine_found(content), volume_of(content, tmp_path).affine[:3, :3])
    assert np.allclose(affine_found(content), flipped[:3, :3])


@pytest.mark.parametrize(
    ("units", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (2 | 8, 1), (3 | 16, 0.001)]
)
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_lengths_are_said_in_millimetres(tmp_path: Path, kind: type, units: int, factor: float) -> None:
    content = file_of(kind, sform=STRAIGHT, xyzt_units=units)
    assert np.allclose(affine_found(content), STRAIGHT[:3, :3] * factor, rtol=1e-12)
    assert np.allclose(volume_of(content, tmp_path).affine[:3, :3], STRAIGHT[:3, :3] * factor, rtol=1e-12)


def test_a_file_says_its_shape_in_its_own_order() -> None:
    import tensorflow as tf

    from components.transform.nifti.header import read_header

    header = traced(read_header, tf.TensorSpec([], tf.string))(file_of(sform=STRAIGHT))
    assert tuple(header.shape.numpy()) == SHAPE
    assert (header.slope, header.intercept) == (1, 0)


class TestNoPlaces:
    def check(self, content: bytes, message: str) -> None:
        import tensorflow as tf

        with pytest.raises(tf.errors.InvalidArgumentError, match=f"nifti_bytes: expected {message}"):
            affine_found(content)

    def test_no_orientation_is_refused(self) -> None:
        self.check(file_of(), "an orientation, got sform and qform with code 0")

    @pytest.mark.parametrize("value", [0, np.nan, np.inf])
    def test_a_spacing_that_is_none_is_refused(self, value: float) -> None:
        affine = STRAIGHT.copy()
        affine[1, 1] = value
        self.check(file_of(sform=STRAIGHT, srow_y=affine[1]), "finite steps longer than 0")

    def test_two_axes_along_the_same_direction_are_refused(self) -> None:
        affine = STRAIGHT.copy()
        affine[:3, 1] = 2 * affine[:3, 0]
        self.check(file_of(sform=affine), "axes in three directions")

    @pytest.mark.parametrize("value", [0, -1, np.nan])
    def test_a_qform_without_a_spacing_is_refused(self, value: float) -> None:
        self.check(file_of(qform=STRAIGHT, pixdim=[1, 1, value, 1, 0, 0, 0, 0]), "a pixdim above 0")

    def test_a_quaternion_that_is_too_long_is_refused(self) -> None:
        content = file_of(qform=STRAIGHT, quatern_b=0.9, quatern_c=0.9)
        self.check(content, "a quaternion of length 1, got a longer one")

    def test_a_unit_that_is_none_is_refused(self) -> None:
        self.check(file_of(sform=STRAIGHT, xyzt_units=5), "metres, millimetres or micrometres, got unit 5")
