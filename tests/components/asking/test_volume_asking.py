"""Scans in, masks with the place and the axes of the scan out."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from components.asking.volumes import NotScans, VolumeAsking
from components.features import IMAGE, LABEL, SHAPE, SPACING_MM, VOLUMES_ML
from components.formats.errors import FormatError
from components.formats.nifti import Volume
from components.protocols import Asking, Draws, Given, Question, Reply, TakesFiles, WritesFiles
from components.sources.volumes import VolumeSource
from components.transform.volumes import Volumes

ASKING = VolumeAsking().fitted_to(VolumeSource(), Volumes())
# Of the file's axes, the first of which goes to the feet, the second to the back, the third to the right.
FILE_SHAPE = (2, 3, 4)
AFFINE = np.array([[0, 0, 1.5, 7], [0, -2, 0, 8], [-3, 0, 0, 9], [0, 0, 0, 1]], float)


def write_scan(path: Path, shape: tuple[int, ...] = FILE_SHAPE, affine: Any = AFFINE) -> Path:
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), affine), path)
    return path


def asked(*paths: Path, **fields: str) -> list[Question]:
    return list(ASKING.questions(Given([str(path) for path in paths], fields=fields)))


def answered(question: Question, label: Any, volumes_ml: Any = ((1523.4, 1.25),)) -> list[Reply]:
    return list(ASKING.replies(question, {LABEL: label, VOLUMES_ML: np.array(volumes_ml, np.float32)}))


def mask() -> Any:
    """Labels in the file's axes: a tumour in the first voxel, liver beside it."""
    label = np.zeros((1, *FILE_SHAPE), np.uint8)
    label[0, 0, 0, :2] = 2, 1
    return label


def test_it_is_asked_about_files_and_writes_files() -> None:
    for protocol in (Asking, Draws, TakesFiles, WritesFiles):
        assert isinstance(ASKING, protocol)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_model_gets_the_bytes_of_a_file(tmp_path: Path, name: str) -> None:
    path = write_scan(tmp_path / name)
    (question,) = asked(path)
    assert (question.signature, question.names) == ("nifti", [str(path)])
    assert {key: value.tolist() for key, value in question.inputs.items()} == {
        "nifti_bytes": [path.read_bytes()]
    }


def test_scans_are_read_only_when_a_model_is_asked(tmp_path: Path) -> None:
    (question,) = asked(write_scan(tmp_path / "a.nii"))
    (tmp_path / "a.nii").unlink()
    with pytest.raises(FormatError, match=r"a\.nii: cannot be read"):
        question.rows(0, 1)


def test_all_scans_of_a_folder_are_asked_about_by_name(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.nii", "._a.nii", "notes.txt"):
        write_scan(tmp_path / "scans" / "x.nii").rename(tmp_path / "scans" / name)
    assert [question.names for question in asked(tmp_path / "scans")] == [
        [str(tmp_path / "scans" / "a.nii")],
        [str(tmp_path / "scans" / "b.nii.gz")],
    ]


def test_a_pair_of_files_is_asked_about_by_its_voxels(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(FILE_SHAPE)
    nib.save(nib.Nifti1Pair(voxels, AFFINE), tmp_path / "a.hdr")
    (question,) = asked(tmp_path / "a.hdr")
    assert question.signature == "segment_float"
    assert question.inputs[SPACING_MM].tolist() == [[3.0, 2.0, 1.5]]
    # Towards the head and the front, where the file goes to the feet and the back.
    assert np.array_equal(question.inputs[IMAGE], voxels[np.newaxis, ::-1, ::-1])
    assert question.inputs[IMAGE].dtype == np.float32


def test_a_file_beyond_what_a_graph_unpacks_is_asked_about_by_its_voxels(tmp_path: Path) -> None:
    # 2 GiB of which the disk keeps the header.
    path = write_scan(tmp_path / "a.nii")
    header = nib.load(path).header
    header.set_data_shape((1024, 1024, 1024))
    header.set_data_offset(352)
    with path.open("r+b") as file:
        file.write(header.binaryblock)
        file.truncate(352 + 2**31)
    (question,) = asked(path)
    assert (question.signature, set(question.inputs)) == ("segment_float", {"image", "spacing_mm"})


def test_masks_beside_their_scans_are_no_scans(tmp_path: Path) -> None:
    for name in ("volume-0.nii", "segmentation-0.nii", "segmentation-1.nii"):
        write_scan(tmp_path / name)
    # Of the second one nothing says that it is no scan.
    names = ["segmentation-1.nii", "volume-0.nii"]
    assert [question.names for question in asked(tmp_path)] == [[str(tmp_path / name)] for name in names]


def test_an_array_is_asked_about_with_the_spacing_that_is_given(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 3, 4), 7, np.int16))
    (question,) = asked(tmp_path / "a.npy", spacing_mm="5,0.75,0.5")
    assert question.inputs[SPACING_MM].tolist() == [[5.0, 0.75, 0.5]]
    assert question.inputs[IMAGE].tolist() == np.full((1, 2, 3, 4), 7.0).tolist()
    fitted = VolumeAsking(VolumeSource(npy_spacing_mm=(4, 1, 2)))
    (question,) = fitted.questions(Given([str(tmp_path / "a.npy")]))
    assert question.inputs[SPACING_MM].tolist() == [[4.0, 1.0, 2.0]]


@pytest.mark.parametrize(
    "spacing", [{}, {"spacing_mm": "1,2"}, {"spacing_mm": "1,2,x"}, {"spacing_mm": "1,2,0"}]
)
def test_an_array_without_its_spacing_is_refused(tmp_path: Path, spacing: dict[str, str]) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4)))
    with pytest.raises(NotScans, match=r"a\.npy: expected --spacing_mm 5,0\.7,0\.7, its spacing"):
        asked(tmp_path / "a.npy", **spacing)


def test_what_is_no_scan_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "dicom").write_bytes(bytes(128) + b"DICM" + bytes(600))
    whole = write_scan(tmp_path / "a.nii")
    for path, message in (
        (tmp_path / "none.nii", r"none\.nii: cannot be read: No such file"),
        (tmp_path / "empty", r"empty: expected \.nii or \.nii\.gz files, got none"),
        (tmp_path / "dicom", r"got a DICOM file: dcm2niix makes NIfTI"),
        (write_scan(tmp_path / "four.nii", (2, 2, 2, 2)), r"four\.nii: expected three axes, got 2×2×2×2"),
    ):
        with pytest.raises(FormatError, match=message):
            asked(whole, path)
    for given in (Given(["a"], texts=["A text."]), Given(rows=Path("rows.tsv"))):
        with pytest.raises(NotScans, match=r"expected a \.nii or \.nii\.gz file"):
            list(ASKING.questions(given))


def test_a_file_that_is_cut_off_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.nii.gz", (20, 20, 20))
    path.write_bytes(path.read_bytes()[:-20])
    (question,) = asked(path)
    with pytest.raises(FormatError, match=r"a\.nii\.gz: expected a whole gzip file"):
        question.rows(0, 1)


def test_volumes_are_told_by_the_names_of_classes(tmp_path: Path) -> None:
    (question,) = asked(write_scan(tmp_path / "a.nii"))
    (reply,) = answered(question, mask())
    assert reply.sentence == "liver 1,523 ml, tumour 1.2 ml"
    assert reply.cells == {"liver>": "1,523 ml", "tumour>": "1.2 ml"}
    assert reply.values == {"volumes_ml": {"liver": pytest.approx(1523.4), "tumour": 1.25}}
    (unnamed,) = VolumeAsking().replies(question, {LABEL: mask(), VOLUMES_ML: np.array([[3.0, 0.0]])})
    assert unnamed.sentence == "class 1 3.0 ml, class 2 0.0 ml"


def test_a_model_of_other_classes_than_the_task_s_tells_its_own(tmp_path: Path) -> None:
    (question,) = asked(write_scan(tmp_path / "a.nii"))
    outputs = {LABEL: mask(), VOLUMES_ML: np.array([[3.0, 0.0]], np.float32)}
    # As a graph has them, and as JSON.
    for names in ([[b"kidney", b"cyst"]], [["kidney", "cyst"]]):
        (reply,) = ASKING.replies(question, {**outputs, "class_names": np.array(names, object)})
        assert reply.sentence == "kidney 3.0 ml, cyst 0.0 ml"
    (reply,) = ASKING.replies(question, {**outputs, VOLUMES_ML: np.array([[3.0]], np.float32)})
    assert reply.sentence == "class 1 3.0 ml"


def test_the_mask_of_a_file_is_turned_to_the_axes_of_the_body(tmp_path: Path) -> None:
    (question,) = asked(write_scan(tmp_path / "a.nii"))
    # A server's JSON has lists of integers.
    (reply,) = answered(question, mask().astype(np.int64))
    label = reply.arrays[LABEL]
    assert label.dtype == np.uint8
    assert label.shape == (2, 3, 4)
    # The first voxel is at the head and the front; a step along the third axis is one to the right.
    assert np.argwhere(label).tolist() == [[1, 2, 0], [1, 2, 1]]
    assert label[1, 2, :2].tolist() == [2, 1]


def test_answers_of_another_shape_or_kind_are_refused(tmp_path: Path) -> None:
    (question,) = asked(write_scan(tmp_path / "a.nii"))
    with pytest.raises(NotScans, match=r"a\.nii: expected a label for each of 2×3×4 voxels, got 2×3×5"):
        answered(question, np.zeros((1, 2, 3, 5), np.uint8))
    with pytest.raises(NotScans, match="expected outputs label, volumes_ml, got classes"):
        list(ASKING.replies(question, {"classes": np.zeros(1)}))


def test_a_mask_is_written_with_the_axes_and_the_place_of_its_scan(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "a.nii.gz")
    (question,) = asked(scan)
    with ASKING.writing(tmp_path / "liver.nii.gz", question.names) as add:
        add(*answered(question, mask()))
    written = nib.load(tmp_path / "liver.nii.gz")
    assert np.array_equal(np.asarray(written.dataobj), mask()[0])
    assert np.array_equal(written.affine, AFFINE)
    Volume(tmp_path / "liver.nii.gz").check_matches(Volume(scan))


def test_a_mask_is_gzipped_whatever_the_case_of_its_name(tmp_path: Path) -> None:
    scan = Volume(write_scan(tmp_path / "a.nii"))
    scan.write_labels(tmp_path / "M.NII.GZ", np.ones(scan.shape, np.uint8))
    assert gzip.decompress((tmp_path / "M.NII.GZ").read_bytes())[344:347] == b"n+1"


def test_a_folder_gets_a_mask_for_each_scan_and_a_table(tmp_path: Path) -> None:
    paths = [write_scan(tmp_path / "in" / name) for name in ("a.nii", "b.nii.gz")]
    nib.save(nib.Nifti1Pair(np.zeros(FILE_SHAPE, np.int16), AFFINE), tmp_path / "in" / "c.hdr")
    np.save(tmp_path / "in" / "d.npy", np.zeros((2, 3, 4), np.int16))
    questions = asked(*paths, tmp_path / "in" / "c.hdr", tmp_path / "in" / "d.npy", spacing_mm="1,1,1")
    out = tmp_path / "out"
    with ASKING.writing(out, [name for question in questions for name in question.names]) as add:
        for question in questions:
            add(*answered(question, mask()))
        assert not (out / "volumes.csv").exists()
    assert sorted(path.name for path in out.iterdir()) == [
        "a.nii.gz", "b.nii.gz", "c.nii.gz", "d.npy", "volumes.csv",
    ]  # fmt: skip
    rows = list(csv.reader((out / "volumes.csv").open(newline="")))
    assert rows[:2] == [
        ["scan", "mask", "liver_ml", "tumour_ml"],
        [str(paths[0]), "a.nii.gz", "1523.400", "1.250"],
    ]
    assert [row[1] for row in rows[2:]] == ["b.nii.gz", "c.nii.gz", "d.npy"]
    assert np.array_equal(np.load(out / "d.npy"), mask()[0])
    # A pair is answered in the axes of the body, and written in its own.
    assert np.array_equal(np.asarray(nib.load(out / "c.nii.gz").dataobj), mask()[0, ::-1, ::-1])
    # Equal masks are equal files.
    assert gzip.decompress((out / "a.nii.gz").read_bytes())[352:] == mask()[0].tobytes(order="F")


@pytest.mark.parametrize(
    ("out", "inputs", "message"),
    [
        ("in", ["in/a.nii.gz"], r"in/a\.nii\.gz: expected another place than the scan's"),
        ("in/a.nii.gz", ["in/a.nii.gz"], r"expected another place than the scan's"),
        ("out.nii", ["in/a.nii", "in/b.nii"], r"out\.nii: expected one scan, got .*a\.nii and .*b\.nii"),
        ("out", ["in/a.nii", "in/a.nii.gz"], r"out/a\.nii\.gz: expected one scan, got .*a\.nii and "),
        ("out.nii.gz", ["in/a.npy"], r"out\.nii\.gz: expected a name that ends in \.npy"),
        ("out.npy", ["in/a.nii"], r"out\.npy: expected a name that ends in \.nii\.gz"),
    ],
)  # fmt: skip
def test_no_mask_takes_the_place_of_another_file(
    tmp_path: Path, out: str, inputs: list[str], message: str
) -> None:
    names = [str(tmp_path / name) for name in inputs]
    with pytest.raises(NotScans, match=message), ASKING.writing(tmp_path / out, names):
        pass
    assert not list(tmp_path.iterdir())


def test_a_picture_shows_the_mask_over_its_scan_and_several_are_on_one_sheet(tmp_path: Path) -> None:
    label = np.zeros((1, 30, 30, 30), np.uint8)
    label[0, 10:20, 10:20, 10:20] = 1
    write_scan(tmp_path / "a.nii", label.shape[1:])
    np.save(tmp_path / "b.npy", np.zeros((30, 30, 30)))
    questions = asked(tmp_path / "a.nii", tmp_path / "b.npy", spacing_mm="1,1,1")
    for name, some in (("one.png", questions[:1]), ("sheet.png", questions)):
        with ASKING.drawing(tmp_path / name) as add:
            for question in some:
                add(*answered(question.rows(0, 1), label))
            assert not (tmp_path / name).exists()
    one, sheet = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("one.png", "sheet.png"))
    # Contours of an answer are yellow, as no voxel is.
    yellow = np.count_nonzero((one[..., 0] > 200) & (one[..., 2] < 100))
    assert yellow > 100
    assert sheet.shape[1] > 2 * one.shape[1] - 10
    assert np.count_nonzero((sheet[..., 0] > 200) & (sheet[..., 2] < 100)) > 1.5 * yellow


def test_slices_show_the_mask_where_it_is(tmp_path: Path) -> None:
    label = np.zeros((1, 4, 30, 30), np.uint8)
    label[0, 2, 10:20, 10:20] = 1
    np.save(tmp_path / "a.npy", np.zeros((4, 30, 30)))
    (question,) = asked(tmp_path / "a.npy", spacing_mm="1,1,1")
    (reply,) = answered(question, label)
    drawn = [np.asarray(Image.open(io.BytesIO(png))).astype(int) for png in ASKING.slices(reply, 10)]
    # Contours of an answer are yellow, as no voxel is.
    assert [bool(((one[..., 0] > 200) & (one[..., 2] < 100)).any()) for one in drawn] == [
        False, False, True, False
    ]  # fmt: skip


def test_a_raw_example_becomes_a_scan_to_ask_about(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype="<i2").reshape(2, 3, 4)
    record = {IMAGE: voxels.tobytes(), SHAPE: [2, 3, 4], SPACING_MM: [5.0, 0.75, 0.5]}
    given = ASKING.written(record, tmp_path / "lits")
    assert given.inputs == [str(tmp_path / "lits.nii.gz")]
    scan = Volume(tmp_path / "lits.nii.gz")
    assert np.array_equal(scan.read(), voxels)
    assert scan.spacing_mm == (5.0, 0.75, 0.5)


def phantom(tmp_path: Path) -> tuple[Question, Any]:
    """A scan of 20 planes of 8 × 8 voxels, in the canonical axes, and a mask of liver in plane 10."""
    path = tmp_path / "scan.nii"
    voxels = np.zeros((20, 8, 8), np.int16)
    voxels[:, 0, 0] = 100
    nib.save(nib.Nifti1Image(voxels.T, np.eye(4)), path)
    (question,) = asked(path)
    label = np.zeros((20, 8, 8), np.uint8)
    label[10, :4, :2] = 1
    return question, label


def test_what_a_mask_hangs_on_is_asked_about_planes_around_it_without_each_square(tmp_path: Path) -> None:
    question, label = phantom(tmp_path)
    scan = Volume(tmp_path / "scan.nii")
    (reply,) = answered(question, np.ascontiguousarray(label.T)[np.newaxis])
    assert np.array_equal(reply.arrays[LABEL], label)
    found = ASKING.occluded(question, reply)
    assert found is not None
    rows = found.question.inputs[IMAGE]
    assert (found.question.signature, rows.shape, rows.dtype) == ("segment_float", (17, 16, 8, 8), np.float32)
    assert found.question.inputs[SPACING_MM].tolist() == [[1.0, 1.0, 1.0]] * 17
    np.testing.assert_array_equal(rows[0], scan.read()[2:18])
    # Pictures show the ends of both axes first: the last square is the one at their starts, 2 × 2 voxels.
    changed = [int((row != rows[0]).sum()) for row in rows[1:]]
    assert changed == [0] * 15 + [4 * 16]
    assert rows[16, 0, :2, :2].tolist() == [[25.0, 25.0], [25.0, 25.0]]
    assert "the liver outside the square" in found.how


def test_what_is_lost_of_a_mask_is_counted_outside_the_square_alone(tmp_path: Path) -> None:
    question, label = phantom(tmp_path)
    (reply,) = answered(question, np.ascontiguousarray(label.T)[np.newaxis])
    found = ASKING.occluded(question, reply)
    assert found is not None
    whole = label[2:18]
    lost = whole.copy()
    # Of the four voxels in the last square two, and of the four in the one above it one.
    lost[8, 0, :2] = lost[8, 2, 0] = 0
    masks = [whole] * 11 + [lost] + [whole] * 2 + [lost] * 2
    drops = found.drops([Reply("", {}, "", {}, {LABEL: each}) for each in (whole, *masks)])
    assert drops == [0.0] * 11 + [0.5] + [0.0] * 2 + [0.375, 0.25]
    assert found.measure == "voxels of liver"


def test_an_empty_mask_hangs_on_nothing(tmp_path: Path) -> None:
    question, label = phantom(tmp_path)
    (reply,) = answered(question, np.zeros_like(label.T)[np.newaxis])
    assert ASKING.occluded(question, reply) is None
