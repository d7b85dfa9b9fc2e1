"""The graph reads what nibabel reads, and labels go back to where their voxels were."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scan_files import ORIENTATIONS, SHAPE, affine_of, content_of, ramp, traced, volume_of

from components.formats.nifti import Volume

OBLIQUE = nib.eulerangles.euler2mat(0.2, -0.15, 0.1)
TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


def read(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    import tensorflow as tf

    from components.transform.nifti.scans import read_scan

    voxels, spacing_mm = traced(read_scan, tf.TensorSpec([], tf.string))(content)
    return voxels.numpy(), spacing_mm.numpy()


def back(contents: list[bytes], labels: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    from components.transform.nifti.scans import labels_of_files

    signature = tf.TensorSpec([None], tf.string), tf.TensorSpec([None] * 4, tf.uint8)
    return traced(labels_of_files, *signature)(contents, labels).numpy()


def check_same(content: bytes, volume: Volume) -> None:
    """Checks voxels and spacing, and that each voxel's label goes back to it."""
    voxels, spacing_mm = read(content)
    wanted = volume.read()
    assert voxels.dtype == np.int16
    assert np.array_equal(voxels, np.clip(np.rint(wanted), -32768, 32767))
    assert np.allclose(spacing_mm, volume.spacing_mm, rtol=1e-6)
    labels = ramp(voxels.shape, "uint8")
    assert np.array_equal(back([content], labels[np.newaxis])[0], volume.to_file_axes(labels))


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("rotation", [np.eye(3), OBLIQUE], ids=["straight", "oblique"])
def test_every_orientation_is_read_as_nibabel_reads_it(
    tmp_path: Path, endianness: str, rotation: np.ndarray
) -> None:
    for order, signs in ORIENTATIONS:
        affine = affine_of(order, signs)
        affine[:3, :3] = rotation @ affine[:3, :3]
        content = content_of(ramp(), affine, endianness=endianness)
        check_same(content, volume_of(content, tmp_path))


def test_a_marker_comes_back_where_it_was() -> None:
    # The head is along the first axis, backwards; the right along the second; the front along the third.
    voxels = np.zeros(SHAPE, np.int16)
    voxels[0, 1, 2] = 7
    content = content_of(voxels, affine_of((2, 0, 1), (-1, 1, 1)))
    found, spacing_mm = read(content)
    # Depth, height, width: of 3 planes the highest, of 5 rows the third, of 4 columns the second.
    assert np.argwhere(found == 7).tolist() == [[2, 2, 1]]
    assert spacing_mm.tolist() == [0.5, 3.0, 2.0]
    assert np.argwhere(back([content], (found == 7)[np.newaxis].astype(np.uint8))[0]).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_every_type_is_read_in_both_byte_orders_and_versions(
    tmp_path: Path, kind: type, endianness: str
) -> None:
    for dtype in TYPES:
        content = content_of(ramp(dtype=dtype), affine_of((1, 0, 2), (1, -1, 1)), kind, endianness)
        check_same(content, volume_of(content, tmp_path))
        assert read(content)[0].max() == 59


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize(
    ("slope", "intercept"), [(2.0, -1024.0), (1.0, -0.5), (0.1, 0.3), (0.0, 5.0), (np.nan, 0.0), (1e4, 0.0)]
)
def test_voxels_are_scaled_rounded_and_clipped(
    tmp_path: Path, kind: type, endianness: str, slope: float, intercept: float
) -> None:
    place, dtype = (112, "f4") if kind is nib.Nifti1Image else (176, "f8")
    scaling = np.array([slope, intercept], endianness + dtype).tobytes()
    for stored in TYPES:
        content = bytearray(content_of(ramp(dtype=stored), kind=kind, endianness=endianness))
        content[place : place + len(scaling)] = scaling
        check_same(bytes(content), volume_of(content, tmp_path))


def test_numbers_that_int16_does_not_have_are_its_last_ones() -> None:
    voxels = np.array([-1e30, -32768.4, 2.5, 3.5, 32767.6, 1e300]).reshape(6, 1, 1)
    assert read(content_of(voxels))[0].ravel().tolist() == [-32768, -32768, 2, 4, 32767, 32767]
    unsigned = np.array([2**64 - 1, 2**63, 7], np.uint64).reshape(3, 1, 1)
    assert read(content_of(unsigned))[0].ravel().tolist() == [32767, 32767, 7]


def test_a_gzipped_file_is_the_same_whatever_its_own_header_holds(tmp_path: Path) -> None:
    content = content_of(ramp(), affine_of((2, 1, 0), (-1, 1, 1)))
    compressed = gzip.compress(content)
    # FLG 4: a field of 65,000 bytes follows the ten of the header.
    extra = compressed[:3] + b"\4" + compressed[4:10] + (65_000).to_bytes(2, "little") + bytes(65_000)
    for each in (compressed, extra + compressed[10:]):
        check_same(each, volume_of(content, tmp_path))


def test_a_fourth_axis_of_one_is_dropped(tmp_path: Path) -> None:
    content = content_of(ramp((*SHAPE, 1, 1)))
    check_same(content, volume_of(content, tmp_path))


def test_voxels_may_be_further_behind_the_header(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ramp(), affine_of((0, 1, 2), (1, -1, 1)))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 500))
    check_same(image.to_bytes() + b"behind", volume_of(image.to_bytes(), tmp_path))


def test_large_scans_are_read_in_chunks(tmp_path: Path) -> None:
    # Two and a half chunks.
    voxels = np.random.default_rng(1).integers(-1000, 1000, (256, 256, 40), np.int16)
    content = content_of(voxels, affine_of((1, 2, 0), (1, -1, -1)), endianness=">")
    check_same(content, volume_of(content, tmp_path))


def test_labels_of_a_batch_are_filled_up_to_the_largest_file() -> None:
    contents = [
        content_of(ramp((2, 3, 1)), affine_of((1, 0, 2), (1, 1, 1))),
        content_of(ramp((1, 1, 4)), affine_of((0, 1, 2), (1, 1, 1))),
    ]
    # Depth, height and width of the first: 1, 2, 3; of the second: 4, 1, 1.
    labels = np.zeros((2, 4, 2, 3), np.uint8)
    labels[0, 0, 1, 2] = 1
    labels[1, 3, 0, 0] = 2
    # Never an answer's, since it is beyond the second scan.
    labels[1, 0, 1, 1] = 9
    found = back(contents, labels)
    assert found.shape == (2, 2, 3, 4)
    assert np.argwhere(found).tolist() == [[0, 1, 2, 0], [1, 0, 0, 3]]


def test_a_file_is_written_that_nibabel_reads(tmp_path: Path) -> None:
    import tensorflow as tf

    from components.transform.nifti.scans import write_scan

    voxels = ramp()
    content = write_scan(tf.constant(voxels), tf.constant([3, 0.7, 0.5])).numpy()
    volume = volume_of(content, tmp_path)
    assert volume.orientation == "RAS"
    assert np.allclose(volume.spacing_mm, (3, 0.7, 0.5))
    assert np.array_equal(volume.read(), voxels)
    assert np.array_equal(read(content)[0], voxels)


class TestBadFiles:
    def check(self, content: bytes, message: str) -> None:
        import tensorflow as tf

        with pytest.raises(tf.errors.InvalidArgumentError, match=f"nifti_bytes: {message}"):
            read(content)

    @pytest.mark.parametrize(
        ("content", "got"),
        [
            (b"", "another file"),
            (b"\xff\xfe", "another file"),
            (b"\0" * 128 + b"DICM" + b"\0" * 500, "a DICOM file"),
            (b"NRRD0004\ntype: short\n" + b"\0" * 600, "an NRRD file"),
            (gzip.compress(b"<!DOCTYPE html><html>", mtime=0), "a page of HTML"),
            (b"\x5c\x01\0\0" + b"\0" * 600, "another file"),
            (b"\x5c\x01\0\0" + b"\0" * 340 + b"ni1\0" + bytes(500), "the header of a pair"),
        ],
        ids=["empty", "short", "dicom", "nrrd", "html", "analyze", "pair"],
    )
    def test_another_format_is_named(self, content: bytes, got: str) -> None:
        self.check(content, f"expected a NIfTI file with its voxels, plain or gzipped, got {got}")

    @pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
    def test_a_file_that_is_cut_off_is_refused(self, compress: Any) -> None:
        # 352 bytes, and two for each of 3 × 4 × 5 voxels.
        content = compress(content_of(ramp())[:-1])
        self.check(content, "expected 472 bytes, got 471: a file that is cut off, or of more than 2 GiB")
        self.check(compress(content_of(ramp())[:100]), "expected a NIfTI file")

    def test_a_gzip_file_that_is_cut_off_is_refused(self) -> None:
        noise = np.random.default_rng(1).integers(-1000, 1000, (20, 20, 20), np.int16)
        self.check(
            gzip.compress(content_of(noise))[:-500], "expected 16352 bytes, got .*: a file that is cut"
        )

    @pytest.mark.parametrize("sizes", [(3, -1, 5), (2**40, 2**40, 2**40), (2**32, 2**31, 2)])
    def test_sizes_that_no_file_has_are_refused(self, sizes: tuple[int, ...]) -> None:
        content = bytearray(content_of(ramp(), kind=nib.Nifti2Image))
        content[24:48] = np.array(sizes, "<i8").tobytes()
        self.check(bytes(content), "expected")

    @pytest.mark.parametrize("shape", [(4, 4), (3, 4, 5, 2), (3, 4, 5, 1, 3)])
    def test_two_axes_and_a_series_are_refused(self, shape: tuple[int, ...]) -> None:
        got = "×".join(map(str, shape))
        self.check(content_of(ramp(shape)), f"expected three axes of voxels, got {got}")

    def test_colours_complex_and_other_numbers_are_refused(self) -> None:
        colours = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
        self.check(content_of(colours), "expected a number for each voxel, got colours")
        self.check(content_of(ramp(dtype="complex64")), "expected a number for each voxel, got complex")
        content = bytearray(content_of(ramp()))
        content[70] = 1
        self.check(bytes(content), "expected a number for each voxel, got type 1")

    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_voxels_that_are_not_finite_are_refused(self, dtype: str, value: float) -> None:
        voxels = ramp(dtype=dtype)
        voxels[1, 2, 3] = value
        self.check(content_of(voxels), "expected finite voxels")

    def test_an_intercept_that_is_not_finite_is_refused(self) -> None:
        content = bytearray(content_of(ramp()))
        content[112:120] = np.array([1, np.inf], "<f4").tobytes()
        self.check(bytes(content), "expected a finite slope and intercept")

    def test_voxels_in_the_header_are_refused(self) -> None:
        content = bytearray(content_of(ramp()))
        content[108:112] = np.array(0, "<f4").tobytes()
        self.check(bytes(content), "expected voxels after the header, got them at byte 0")
