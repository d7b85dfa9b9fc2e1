"""Scans find their masks in folders as people keep, unpack and download them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.formats.errors import FormatError
from components.sources.volume_layouts import Case, Declared, declared, find_layout, stem


def touch(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    return directory


def cases_in(directory: Path, pairs_file: str | None = None) -> list[Case]:
    return list(find_layout(str(directory), pairs_file).cases)


def pairs_in(directory: Path, pairs_file: str | None = None) -> list[tuple[str, str, str]]:
    """Names, scans and masks, relative to the directory, of cases without a fault."""
    cases = cases_in(directory, pairs_file)
    assert [case.fault for case in cases] == [""] * len(cases)
    return [
        (case.name, *(str(path.relative_to(directory)) for path in (case.image, case.label) if path))
        for case in cases
    ]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".npy", ".NII.GZ", ".hdr", ".nrrd"])
def test_numbered_files_are_pairs_in_the_order_of_their_numbers(tmp_path: Path, suffix: str) -> None:
    numbers = (10, 9, 0)
    touch(tmp_path, *(f"{kind}-{n}{suffix}" for n in numbers for kind in ("volume", "segmentation")))
    assert pairs_in(tmp_path) == [
        (f"volume-{n}", f"volume-{n}{suffix}", f"segmentation-{n}{suffix}") for n in (0, 9, 10)
    ]


def test_numbered_files_lie_in_several_folders_below(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "Training Batch 1/volume-0.nii",
        "Training Batch 2/volume-1.nii",
        "segmentations/segmentation-0.nii",
        "segmentations/segmentation-1.nii",
        ".cache/volume-2.nii",
        "Test/test-volume-0.nii",
    )
    assert pairs_in(tmp_path) == [
        ("volume-0", "Training Batch 1/volume-0.nii", "segmentations/segmentation-0.nii"),
        ("volume-1", "Training Batch 2/volume-1.nii", "segmentations/segmentation-1.nii"),
    ]


def test_a_folder_with_the_name_of_a_file_is_that_file_unpacked(tmp_path: Path) -> None:
    touch(tmp_path, "volume-0.nii/volume-0.nii", "segmentation-0.nii")
    assert pairs_in(tmp_path) == [("volume-0", "volume-0.nii/volume-0.nii", "segmentation-0.nii")]


@pytest.mark.parametrize("below", ["", "Task03_Liver/"])
@pytest.mark.parametrize("suffix", ["", "_0000"])
def test_decathlon_and_nnunet_folders_are_pairs(tmp_path: Path, below: str, suffix: str) -> None:
    images = [f"{below}imagesTr/liver_{n}{suffix}.nii.gz" for n in (0, 1)]
    labels = [f"{below}labelsTr/liver_{n}.nii.gz" for n in (0, 1)]
    # What macOS adds to archives, and scans without masks.
    others = [f"{below}imagesTr/._liver_0.nii.gz", f"{below}imagesTs/liver_2.nii.gz"]
    touch(tmp_path, *images, *labels, *others)
    assert pairs_in(tmp_path) == [
        (f"liver_{n}", image, label) for n, (image, label) in enumerate(zip(images, labels, strict=True))
    ]


def test_a_case_whose_name_ends_like_a_channel_keeps_it(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/scan_0001.nii.gz", "labelsTr/scan_0001.nii.gz")
    assert [name for name, *_ in pairs_in(tmp_path)] == ["scan_0001"]


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["volume-0.nii"], "volume-0.nii: expected the mask segmentation-0.nii[.gz], got none"),
        (["segmentation-0.nii"], "segmentation-0.nii: expected the scan volume-0.nii[.gz], got none"),
        (
            ["volume-0.nii", "volume-0.nii.gz", "segmentation-0.nii"],
            "expected one scan of case volume-0, got volume-0.nii and volume-0.nii.gz",
        ),
        (
            ["volume-0.nii", "a/segmentation-0.nii", "b/segmentation-0.nii"],
            "expected one mask of case volume-0, got {0}/a/segmentation-0.nii and {0}/b/segmentation-0.nii",
        ),
        (["imagesTr/a.nii.gz"], "imagesTr/a.nii.gz: expected the mask labelsTr/a.nii.gz, got none"),
        (
            ["labelsTr/a.nii.gz", "imagesTr/b.nii.gz", "labelsTr/b.nii.gz"],
            "labelsTr/a.nii.gz: expected the scan imagesTr/a.nii.gz, got none",
        ),
        (
            ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz"],
            "expected one channel of case a, got a_0000.nii.gz and a_0001.nii.gz",
        ),
    ],
)
def test_what_has_no_partner_or_several_is_a_fault_of_its_case(
    tmp_path: Path, names: list[str], fault: str
) -> None:
    case = cases_in(touch(tmp_path, *names))[0]
    assert fault.format(tmp_path) in case.fault
    assert set(case.paths) <= {tmp_path / name for name in names}
    assert case.paths


def test_a_list_of_pairs_names_files_anywhere(tmp_path: Path) -> None:
    touch(tmp_path, "p1/ct.nii", "p1/mask.nii", "p2/ct.hdr", "p2/ct.img", "p2/mask.nii", "volume-0.nii")
    text = "\ufeffage,label,image\n61,p1/mask.nii, p1/ct.nii\n58,p2/mask.nii,./p2/ct.hdr\n"
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
    assert pairs_in(tmp_path, "pairs.csv") == [
        ("p1/ct", "p1/ct.nii", "p1/mask.nii"),
        ("p2/ct", "p2/ct.hdr", "p2/mask.nii"),
    ]
    paths = [path.name for path in cases_in(tmp_path, "pairs.csv")[1].paths]
    assert paths == ["ct.hdr", "ct.img", "mask.nii"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,mask\na,b\n", "expected a first line image,label, got no label in image,mask"),
        ("", "expected a first line image,label, got no image in none"),
        ("image,label\n", "expected at least one pair, got none"),
        ("image,label\na.nii,m.nii\na.nii,m.nii\n", "expected each image once, got 'a' twice"),
        ("image,label\n\xff", "expected a CSV file, got: "),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pairs.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError) as caught:
        find_layout(str(tmp_path), "pairs.csv")
    assert str(caught.value).startswith(f"{tmp_path}/pairs.csv: {message}")


def test_a_listed_file_that_is_not_there_is_a_fault_of_its_line(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii", "m.nii")
    (tmp_path / "pairs.csv").write_text("image,label\na.nii,m.nii\nb.nii,m.nii\nc.nii\n")
    assert [case.fault for case in cases_in(tmp_path, "pairs.csv")] == [
        "",
        f"{tmp_path}/pairs.csv: line 3: image: expected a file, got 'b.nii'",
        f"{tmp_path}/pairs.csv: line 4: image: expected a file, got 'c.nii'",
    ]
    with pytest.raises(FormatError, match=r"other.csv: cannot be read: No such file"):
        find_layout(str(tmp_path), "other.csv")


def test_a_series_of_dicom_is_told_what_makes_a_scan_of_it(tmp_path: Path) -> None:
    touch(tmp_path, "readme.txt", "patient/slice-1.dcm", "patient/slice-2.dcm")
    (tmp_path / "patient/slice-1.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 600)
    with pytest.raises(
        FormatError, match=r"patient/slice-1\.dcm: expected.*a DICOM file: dcm2niix makes NIfTI"
    ):
        find_layout(str(tmp_path), None)


def test_no_layout_and_several_are_refused_in_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "scan.nii.gz", "mask.nii.gz")
    with pytest.raises(FormatError) as caught:
        find_layout(str(tmp_path), None)
    assert str(caught.value) == (
        f"{tmp_path}: expected volume-N.nii[.gz] with segmentation-N.nii[.gz] or volume-N.npy with "
        "segmentation-N.npy or imagesTr with labelsTr or a list of pairs as source.pairs_file, "
        "got only mask.nii.gz, scan.nii.gz"
    )
    touch(tmp_path, "volume-0.nii", "segmentation-0.nii", "volume-1.nii", "imagesTr/a.nii", "labelsTr/a.nii")
    several = r"expected one layout.*got volume-N\.nii.* \(2\) and imagesTr with labelsTr \(1\)$"
    with pytest.raises(FormatError, match=several):
        find_layout(str(tmp_path), None)
    with pytest.raises(FormatError, match=r"expected a folder with volume-N.*No such file"):
        find_layout(str(tmp_path / "nowhere"), None)


@pytest.mark.parametrize(
    "content",
    [
        {"labels": {"0": "background", "2": "cancer", "1": "liver"}, "modality": {"0": "CT"}},
        {"labels": {"background": 0, "cancer": 2, "liver": 1}, "channel_names": {"0": "CT"}},
    ],
    ids=["number to name", "name to number"],
)
def test_both_forms_of_a_dataset_json_say_the_same(tmp_path: Path, content: Any) -> None:
    touch(tmp_path, "imagesTr/a.nii", "labelsTr/a.nii")
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    description = find_layout(str(tmp_path), None).description
    assert description == tmp_path / "dataset.json"
    assert declared(description) == Declared(("background", "liver", "cancer"), (0, 1, 2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON, got: "),
        ("[]", "expected an object, got list"),
        ("{}", "labels: expected a number for each name, got None"),
        ('{"labels": {"background": 0, "all": [1, 2]}}', r"got \[1, 2\] for 'all'"),
        (
            '{"labels": {"a": 0}, "channel_names": {"0": "T1", "1": "T2"}}',
            "expected one channel, got 2: T1, T2",
        ),
        (
            '{"labels": {"0": "a"}, "modality": {"0": "FLAIR", "1": "T1w"}}',
            "expected one channel, got 2: FLAIR, T1w",
        ),
    ],
)
def test_a_dataset_json_that_cannot_be_used_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(content)
    with pytest.raises(FormatError, match=message) as caught:
        declared(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_stem_is_a_name_without_what_its_format_adds() -> None:
    names = ["a.b.nii.gz", "a.nii", "a.hdr", "a.npy", "a.txt"]
    assert [stem(name) for name in names] == ["a.b", "a", "a", "a", "a.txt"]
