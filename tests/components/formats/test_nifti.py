"""Volumes in every orientation come in with one set of axes, and masks go back into the scan's own."""

from __future__ import annotations

import gzip
import itertools
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from components.formats import nifti
from components.formats.errors import FormatError
from components.formats.nifti import Box, Volume, files_of, is_nifti_name

SHAPE = (3, 4, 5)
SPACING = (0.5, 2.0, 3.0)
ORIENTATIONS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
# About an axis along a diagonal, by less than what would change the nearest axes.
OBLIQUE = nib.eulerangles.euler2mat(0.2, -0.15, 0.1)


def affine_of(
    order: tuple[int, ...], signs: tuple[int, ...], rotation: np.ndarray | None = None
) -> np.ndarray:
    """Returns an affine whose file axis i goes along world axis order[i], in direction signs[i]."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, axis] = sign * SPACING[axis]
    if rotation is not None:
        affine[:3, :3] = rotation @ affine[:3, :3]
    affine[:3, 3] = (-11.5, 7.25, 100)
    return affine


def save(path: Path, voxels: np.ndarray, affine: np.ndarray, **header: object) -> Path:
    image = nib.Nifti1Image(voxels, affine)
    image.set_sform(affine, code=int(header.pop("sform", 1)))
    image.set_qform(affine, code=int(header.pop("qform", 1)), strip_shears=True)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def ramp(shape: tuple[int, ...] = SHAPE, dtype: str = "int16") -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("rotation", [None, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_a_voxel_is_where_its_place_in_the_body_says(
    tmp_path: Path, order: tuple[int, ...], signs: tuple[int, ...], rotation: np.ndarray | None
) -> None:
    affine = affine_of(order, signs, rotation)
    voxels = np.zeros(SHAPE, np.int16)
    marker = (2, 1, 4)
    voxels[marker] = 7
    volume = Volume(save(tmp_path / "a.nii", voxels, affine))
    read = volume.read()

    # By definition: sorted by head, front and right, the marker is as many planes from the lowest ones.
    unrotated = affine_of(order, signs)
    at = nib.affines.apply_affine(unrotated, marker)
    lowest = nib.affines.apply_affine(unrotated, np.array(list(np.ndindex(SHAPE)))).min(axis=0)
    step = np.linalg.norm(unrotated[:3, :3], axis=1)
    wanted = tuple(((at - lowest) / step).round().astype(int)[::-1])
    assert np.argwhere(read == 7).tolist() == [list(wanted)]
    assert volume.shape == read.shape
    assert np.allclose(volume.spacing_mm, step[::-1])
    assert volume.voxel_ml == pytest.approx(0.003)
    assert np.array_equal(volume.to_file_axes(read), voxels)


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_type_and_byte_order_is_read(tmp_path: Path, kind: type, endianness: str, dtype: str) -> None:
    header = kind.header_class(endianness=endianness)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(endianness))
    voxels = ramp(dtype=dtype)
    image = kind(voxels, affine_of((0, 1, 2), (1, 1, 1)), header)
    nib.save(image, tmp_path / "a.nii.gz")
    read = Volume(tmp_path / "a.nii.gz").read()
    assert read.dtype.isnative
    assert np.array_equal(read, voxels.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("slope", "intercept", "wanted"),
    [(2.0, -1024.0, -1014.0), (0.0, 5.0, 5.0), (np.nan, 0.0, 5.0), (1.0, 0.0, 5.0)],
    ids=["both", "slope 0", "no slope", "one"],
)
def test_a_slope_of_zero_or_none_scales_nothing(
    tmp_path: Path, slope: float, intercept: float, wanted: float
) -> None:
    path = save(tmp_path / "a.nii", np.full(SHAPE, 5, np.int16), affine_of((0, 1, 2), (1, 1, 1)))
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([slope, intercept], "<f4").tobytes()
    path.write_bytes(content)
    assert np.unique(Volume(path).read()).tolist() == [wanted]


@pytest.mark.parametrize(("order", "signs"), [((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1))])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_box_is_a_part_of_the_whole(
    tmp_path: Path, order: tuple[int, ...], signs: tuple[int, ...], suffix: str
) -> None:
    volume = Volume(save(tmp_path / f"a{suffix}", ramp(), affine_of(order, signs)))
    box = Box((1, 0, 1), (volume.shape[0], 2, 3))
    assert np.array_equal(volume.read(box), volume.read()[box.slices])


def test_a_gzip_file_is_decompressed_once_whichever_way_its_boxes_are_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", ramp(), affine_of((0, 1, 2), (1, 1, 1)))
    volume = Volume(path)
    boxes = [volume.whole.cut(0, first, first + 1) for first in reversed(range(volume.shape[0]))]
    planes = [volume.read(boxes[0])]
    os.truncate(path, 0)
    planes += [volume.read(box) for box in boxes[1:]]
    np.testing.assert_array_equal(np.concatenate(planes[::-1]), volume.read())


@pytest.mark.parametrize("rotation", [None, nib.eulerangles.euler2mat(1.44)], ids=["straight", "by 83°"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_mask_has_the_scans_geometry_bit_for_bit(
    tmp_path: Path, rotation: np.ndarray | None, suffix: str
) -> None:
    affine = affine_of((1, 2, 0), (-1, 1, -1), rotation)
    scan = Volume(save(tmp_path / f"scan{suffix}", ramp(), affine, sform=2, qform=3, xyzt_units=2 | 8))
    labels = np.zeros(scan.shape, np.uint8)
    labels[0, 1, 2] = 2
    scan.write_labels(tmp_path / f"mask{suffix}", labels)

    mask, image = nib.load(tmp_path / f"mask{suffix}"), nib.load(tmp_path / f"scan{suffix}")
    for key in ("srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
                "qoffset_z", "pixdim", "sform_code", "qform_code", "xyzt_units"):  # fmt: skip
        assert mask.header[key].tobytes() == image.header[key].tobytes()
    assert mask.affine.tobytes() == image.affine.tobytes()
    assert mask.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(mask.dataobj), scan.to_file_axes(labels))
    assert np.array_equal(Volume(tmp_path / f"mask{suffix}").read(), labels)


def test_a_mask_of_a_pair_with_a_fourth_axis_is_one_file_with_that_axis(tmp_path: Path) -> None:
    image = nib.Nifti1Pair(ramp((*SHAPE, 1)), affine_of((0, 1, 2), (1, 1, 1)))
    nib.save(image, tmp_path / "a.hdr")
    volume = Volume(tmp_path / "a.hdr")
    volume.write_labels(tmp_path / "mask.nii", np.ones(volume.shape, np.uint8))
    assert nib.load(tmp_path / "mask.nii").shape == (*SHAPE, 1)
    assert volume.shape == (5, 4, 3)


def test_a_file_is_gzipped_by_its_content_and_not_its_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", ramp(), affine_of((0, 1, 2), (1, 1, 1)))
    (tmp_path / "b.nii").write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(Volume(tmp_path / "b.nii").read(), Volume(path).read())


def test_labels_are_their_places_among_those_declared(tmp_path: Path) -> None:
    voxels = np.zeros(SHAPE, np.float32)
    voxels[0, 0, 0], voxels[1, 0, 0] = 6, 2
    volume = Volume(save(tmp_path / "a.nii", voxels, affine_of((0, 1, 2), (1, 1, 1))))
    ids = volume.read_labels([0, 2, 6])
    assert ids.dtype == np.uint8
    assert [ids[0, 0, 0], ids[0, 0, 1], ids.sum()] == [2, 1, 3]
    with pytest.raises(FormatError, match=r"expected labels 0, 2, got 6 at voxel \(0, 0, 0\)"):
        volume.read_labels([0, 2])


def test_micrometres_are_said_in_millimetres(tmp_path: Path) -> None:
    volume = Volume(save(tmp_path / "a.nii", ramp(), affine_of((0, 1, 2), (1, 1, 1)), xyzt_units=3))
    assert np.allclose(volume.spacing_mm, (0.003, 0.002, 0.0005))


def test_the_sform_counts_where_the_qform_says_another_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = nib.Nifti1Image(ramp(), affine_of((0, 1, 2), (1, 1, 1)))
    image.set_qform(affine_of((0, 1, 2), (-1, -1, 1)), code=1)
    image.set_sform(affine_of((0, 1, 2), (1, 1, 1)), code=1)
    nib.save(image, tmp_path / "a.nii")
    assert Volume(tmp_path / "a.nii").orientation == "RAS"
    assert "sform and qform differ; the sform counts" in caplog.text


class TestMatches:
    def test_a_mask_of_the_same_place_is_right(self, tmp_path: Path) -> None:
        affine = affine_of((0, 1, 2), (1, 1, 1), OBLIQUE)
        scan = Volume(save(tmp_path / "scan.nii", ramp(), affine))
        affine[0, 3] += 1e-4
        Volume(save(tmp_path / "mask.nii", ramp(dtype="uint8"), affine)).check_matches(scan)

    def test_another_shape_is_refused(self, tmp_path: Path) -> None:
        affine = affine_of((0, 1, 2), (1, 1, 1))
        scan = Volume(save(tmp_path / "scan.nii", ramp(), affine))
        mask = Volume(save(tmp_path / "mask.nii", ramp((3, 4, 6)), affine))
        with pytest.raises(FormatError, match=r"mask.nii: expected 3×4×5 voxels as scan.nii has, got 3×4×6"):
            mask.check_matches(scan)

    def test_another_place_is_refused_by_how_far_it_is(self, tmp_path: Path) -> None:
        affine = affine_of((0, 1, 2), (1, 1, 1))
        scan = Volume(save(tmp_path / "scan.nii", ramp(), affine))
        mask = Volume(save(tmp_path / "mask.nii", ramp(), affine_of((0, 1, 2), (-1, 1, 1))))
        # Two voxels of half a millimetre, there and back.
        with pytest.raises(FormatError, match=r"place of scan.nii, got corners 2 mm away"):
            mask.check_matches(scan)


class TestBadFiles:
    @pytest.fixture
    def good(self, tmp_path: Path) -> Path:
        return save(tmp_path / "a.nii", ramp(), affine_of((0, 1, 2), (1, 1, 1)))

    def check(self, path: Path, message: str) -> None:
        with pytest.raises(FormatError, match=message) as caught:
            Volume(path).read()
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "got 0 bytes"),
            (b"abc", "got 3 bytes"),
            (b"\0" * 128 + b"DICM" + b"\0" * 500, "DICOM"),
            (b"NRRD0004\ntype: short\n" + b"\0" * 600, "NRRD"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
            (b"<!DOCTYPE html><html>", "HTML"),
            (b"\x89PNG\r\n\x1a\n" + b"\0" * 600, "a PNG image, which has no third axis"),
            (b"PK\x03\x04" + b"\0" * 600, "a zip archive: unpack it"),
            (b"\x5c\x01\0\0" + b"\0" * 600, "ANALYZE"),
        ],
        ids=["empty", "short", "dicom", "nrrd", "lfs", "html", "png", "zip", "analyze"],
    )
    def test_another_format_is_named(self, tmp_path: Path, content: bytes, message: str) -> None:
        (tmp_path / "b.nii").write_bytes(content)
        self.check(tmp_path / "b.nii", message)

    def test_a_file_that_is_cut_off_is_refused(self, good: Path) -> None:
        content = good.read_bytes()
        good.write_bytes(content[:-1])
        self.check(good, "cut off")
        good.write_bytes(gzip.compress(content)[:-30])
        self.check(good, "cut off or damaged")

    def test_a_gzip_file_with_a_wrong_sum_is_refused(self, good: Path) -> None:
        content = bytearray(gzip.compress(good.read_bytes()))
        content[-6] ^= 1
        good.write_bytes(content)
        self.check(good, "cut off or damaged")

    @pytest.mark.parametrize("shape", [(4, 4), (3, 4, 5, 2), (3, 4, 5, 1, 3)])
    def test_two_axes_and_a_series_are_refused(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        nib.save(nib.Nifti1Image(ramp(shape), np.eye(4)), tmp_path / "b.nii")
        hint = "one file has all slices of a scan" if len(shape) == 2 else "one channel or time at a time"
        got = "×".join(map(str, shape))
        self.check(tmp_path / "b.nii", f"expected three axes, got {got} voxels; {hint}")

    def test_colours_and_complex_numbers_are_refused(self, tmp_path: Path) -> None:
        colours = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
        nib.save(nib.Nifti1Image(colours, np.eye(4)), tmp_path / "b.nii")
        self.check(tmp_path / "b.nii", "got colours")
        nib.save(nib.Nifti1Image(ramp(dtype="complex64"), np.eye(4)), tmp_path / "b.nii")
        self.check(tmp_path / "b.nii", "got complex numbers")

    def test_a_file_without_an_orientation_is_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path / "b.nii", ramp(), affine_of((0, 1, 2), (1, 1, 1)), sform=0, qform=0)
        self.check(path, "expected an orientation, got sform and qform with code 0")

    def test_a_spacing_of_zero_is_refused(self, tmp_path: Path) -> None:
        affine = affine_of((0, 1, 2), (1, 1, 1))
        path = save(tmp_path / "b.nii", ramp(), affine, qform=0)
        content = bytearray(path.read_bytes())
        content[280:296] = bytes(16)
        path.write_bytes(content)
        self.check(path, r"expected a spacing above 0, got 0×2×3")

    @pytest.mark.parametrize(
        ("place", "value", "message"),
        [
            (108, np.float32(0), "expected voxels after the header, got them at byte 0"),
            (108, np.float32(348), "expected voxels after the header, got them at byte 348"),
            (84, np.float32(0), "expected a pixdim above 0, got 0.5×0×3"),
            (84, np.float32(-2), "expected a pixdim above 0, got 0.5×-2×3"),
            (123, np.uint8(5), "expected metres, millimetres or micrometres, got unit 5"),
        ],
        ids=["no offset", "low offset", "no spacing", "negative spacing", "unit"],
    )
    def test_what_nibabel_mends_without_a_word_is_refused(
        self, tmp_path: Path, place: int, value: np.generic, message: str
    ) -> None:
        path = save(tmp_path / "b.nii", ramp(), affine_of((0, 1, 2), (1, 1, 1)), sform=0)
        content = bytearray(path.read_bytes())
        content[place : place + value.nbytes] = value.tobytes()
        path.write_bytes(content)
        self.check(path, message)

    def test_a_header_of_the_second_version_that_is_cut_off_is_refused(self, tmp_path: Path) -> None:
        nib.save(nib.Nifti2Image(ramp(), np.eye(4)), tmp_path / "b.nii")
        (tmp_path / "b.nii").write_bytes((tmp_path / "b.nii").read_bytes()[:400])
        self.check(tmp_path / "b.nii", "expected a NIfTI file, got 400 bytes")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_voxels_that_are_not_finite_are_refused_with_their_place(
        self, tmp_path: Path, value: float
    ) -> None:
        voxels = ramp(dtype="float32")
        voxels[1, 2, 3] = value
        path = save(tmp_path / "b.nii", voxels, affine_of((2, 0, 1), (1, -1, 1)))
        message = rf"expected finite voxels, got {value} at voxel \(1, 2, 3\)"
        self.check(path, message)
        # The file's axes go to the head, to the left and to the front: voxel (1, 2, 3) is at [1, 3, 1].
        with pytest.raises(FormatError, match=message):
            Volume(path).read(Box((1, 3, 1), (2, 4, 2)))
        Volume(path).read(Box((1, 3, 2), (2, 4, 3)))

    def test_a_header_without_its_voxels_is_refused(self, tmp_path: Path) -> None:
        nib.save(nib.Nifti1Pair(ramp(), np.eye(4)), tmp_path / "b.hdr")
        (tmp_path / "b.img").unlink()
        self.check(tmp_path / "b.hdr", "expected b.img beside it")

    def test_no_file_is_said_as_such(self, tmp_path: Path) -> None:
        self.check(tmp_path / "none.nii", "cannot be read: No such file")


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_blocks_are_the_whole_once_and_in_the_order_of_the_file(
    tmp_path: Path, order: tuple[int, ...], signs: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nifti, "_BLOCK_VOXELS", 2 * SHAPE[0] * SHAPE[1])
    in_file_order = np.arange(60).reshape(SHAPE, order="F").astype(np.int16)
    volume = Volume(save(tmp_path / "a.nii.gz", in_file_order, affine_of(order, signs)))
    found = np.full(volume.shape, -1)
    firsts = []
    for box, voxels in volume.blocks():
        assert (found[box.slices] == -1).all()
        found[box.slices] = voxels
        firsts.append(voxels.min())
    assert np.array_equal(found, volume.read())
    # Of the five planes of 12 voxels that a file has one after another.
    assert firsts == [0, 24, 48]


def test_blocks_end_where_the_sum_of_a_gzip_file_does_not_hold(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", ramp(), affine_of((0, 1, 2), (1, 1, 1)))
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(FormatError, match="cut off or damaged"):
        list(Volume(path).blocks())


def test_a_mask_that_is_placed_as_its_scan_has_the_voxels_of_it(tmp_path: Path) -> None:
    scan = Volume(save(tmp_path / "a.nii", ramp(), affine_of((0, 1, 2), (1, 1, 1))))
    mask = Volume(save(tmp_path / "b.nii", ramp(), affine_of((0, 1, 2), (-1, -1, 1))))
    with pytest.raises(FormatError, match=r"expected the place of a\.nii"):
        mask.check_matches(scan)
    placed = mask.placed_as(scan)
    placed.check_matches(scan)
    assert np.array_equal(placed.read(), scan.read())
    assert not np.array_equal(mask.read(), scan.read())


def test_a_volume_is_in_one_file_or_in_two(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(ramp(), np.eye(4)), tmp_path / "a.hdr")
    assert files_of(tmp_path / "a.hdr") == [tmp_path / "a.hdr", tmp_path / "a.img"]
    assert files_of(tmp_path / "a.nii.gz") == [tmp_path / "a.nii.gz"]
    (tmp_path / "a.img").unlink()
    assert files_of(tmp_path / "a.hdr") == [tmp_path / "a.hdr"]


def test_names_of_volumes_are_known() -> None:
    names = ["a.nii", "A.NII.GZ", "b.hdr", "b.img", "c.nii.txt", "nii"]
    assert [is_nifti_name(name) for name in names] == [True, True, True, False, False, False]
