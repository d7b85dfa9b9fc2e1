"""What is found out of people's data before a project is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.errors import UserError
from components.formats.idx import read_idx, write_idx
from millrace.testing import write_scans
from pipelines.projects import idx, images, tables, volumes


def picture(path: Path, shape: tuple[int, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros(shape, np.uint8)).save(path)


def test_a_column_of_few_values_that_is_called_so_looks_like_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("label,words,kind\n1,some words,a\n2,other words,b\n1,some words,a\n")
    seen = tables.look(path)
    assert seen.label
    assert seen.label.name == "label"
    text = seen.text("label")
    assert text
    assert (text.name, text.length) == ("words", pytest.approx((10 + 11 + 10) / 3))
    assert [column.span for column in seen.columns] == [(1.0, 2.0), None, None]


@pytest.mark.parametrize(
    ("header", "delimiter"), [("a,b", ","), ("a;b", ";"), ("a|b", "|"), ('"a;x",b', ",")]
)
def test_the_delimiter_is_what_makes_most_columns(tmp_path: Path, header: str, delimiter: str) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\n1{delimiter}2\n")
    assert tables.look(tmp_path / "a.csv").delimiter == delimiter


def test_keys_of_later_objects_are_columns_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two", "label": 1}\n')
    assert tables.look(tmp_path / "a.jsonl").names == "text, label"


def test_small_images_that_are_all_alike_are_kept_as_they_are(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        picture(tmp_path / label / "1.png", (28, 30))
    seen = images.look(tmp_path, None)
    assert seen == images.Look(tmp_path, ".", None, ("cat", "dog"), (28, 30))


def test_images_of_several_sizes_are_made_of_one_and_one_colour_makes_all_coloured(tmp_path: Path) -> None:
    picture(tmp_path / "cat" / "1.png", (28, 28))
    picture(tmp_path / "dog" / "1.jpg", (300, 200, 3))
    for size, shape in ((None, (64, 64, 3)), ((20, 10), (20, 10, 3))):
        seen = images.look(tmp_path, size)
        assert seen
        assert seen.image_shape == shape


def test_folders_for_training_and_evaluation_are_found(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for label in ("cat", "dog"):
            picture(tmp_path / split / label / "1.png", (8, 8))
    seen = images.look(tmp_path, None)
    assert seen
    assert (seen.train, seen.evaluation, seen.labels) == ("train", "val", ("cat", "dog"))
    files = images.project("pets", "pets", seen).files
    assert set(files) == {f"tests/data/{s}/{c}/1.png" for s in ("train", "val") for c in ("cat", "dog")}


def test_one_class_is_none(tmp_path: Path) -> None:
    picture(tmp_path / "cat" / "1.png", (8, 8))
    assert images.look(tmp_path, None) is None


def test_an_image_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "cat" / "1.png", (8, 8))
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"dog/1\.png: expected an image, got: "):
        images.look(tmp_path, None)


def shapes(folder: Path, train: list[int], test: list[int]) -> Path:
    """Writes idx files of images of 9 by 12 pixels with these labels, each image as bright as its place."""
    for part, labels in (("train", train), ("t10k", test)):
        pixels = np.arange(len(labels), dtype=np.uint8).repeat(9 * 12).reshape(-1, 9, 12)
        folder.mkdir(exist_ok=True)
        write_idx(folder / f"{part}-images-idx3-ubyte", pixels)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", np.array(labels, np.uint8))
    return folder


def test_sizes_of_idx_files_are_their_own_and_names_of_classes_given_or_those_of_labels_txt(
    tmp_path: Path,
) -> None:
    shapes(tmp_path, [0, 2, 2, 0], [1, 2])
    seen = idx.look(tmp_path, None)
    # Also of a label that is only tested.
    assert (seen.image_shape, seen.labels, seen.has_names) == ((9, 12), ("0", "1", "2"), False)
    assert seen.counts == {0: 2, 2: 2}
    (tmp_path / "labels.txt").write_text("disc\nring\n\nbar \n")
    assert idx.look(tmp_path, None).labels == ("disc", "ring", "bar")
    seen = idx.look(tmp_path, ["a", "b", "c", "none yet"])
    assert (seen.labels, seen.has_names) == (("a", "b", "c", "none yet"), True)


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "b"]])
def test_each_class_of_idx_files_wants_a_name_of_its_own(tmp_path: Path, names: list[str]) -> None:
    shapes(tmp_path, [0, 2], [1])
    expected = "expected 3 different names or more, one for each of the labels 0 to 2, got a, b"
    with pytest.raises(UserError, match=f"--labels or labels.txt: {expected}"):
        idx.look(tmp_path, names)


def test_a_labels_txt_that_is_no_text_and_a_single_class_are_told(tmp_path: Path) -> None:
    shapes(tmp_path, [0, 0], [0])
    with pytest.raises(UserError, match="expected labels of two or more classes, got '0' alone"):
        idx.project("x", "x", idx.look(tmp_path, None))
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"labels\.txt: expected a name in UTF-8 a line"):
        idx.look(tmp_path, None)


def test_the_first_images_of_each_class_become_the_data_of_the_test(tmp_path: Path) -> None:
    shapes(tmp_path / "given", [0] * 20 + [1] * 3, [1, 0])
    made = idx.project("shapes", "shapes", idx.look(tmp_path / "given", None)).files
    for path, content in made.items():
        (tmp_path / Path(path).name).write_bytes(content)
    images, labels = (read_idx(tmp_path / f"train-{name}-ubyte") for name in ("images-idx3", "labels-idx1"))
    assert labels.tolist() == [0] * 8 + [1] * 3
    assert images.shape == (11, 9, 12)
    assert images[:, 0, 0].tolist() == [*range(8), 20, 21, 22]
    assert read_idx(tmp_path / "t10k-labels-idx1-ubyte").tolist() == [1, 0]


def test_classes_of_scans_are_given_or_those_of_a_dataset_json(tmp_path: Path) -> None:
    write_scans(tmp_path / "mine", (0, 1))
    assert volumes.has_scans(tmp_path / "mine")
    assert volumes.look(tmp_path / "mine", ["background", "liver"]).values == (0, 1)
    with pytest.raises(UserError, match="--labels: expected the names of what masks have as 0, 1"):
        volumes.look(tmp_path / "mine", None)
    for name, kind in (("imagesTr", "volume"), ("labelsTr", "segmentation")):
        folder = tmp_path / "theirs" / name
        folder.mkdir(parents=True)
        for number in range(5):
            (folder / f"case_{number}.nii.gz").write_bytes(
                (tmp_path / "mine" / f"{kind}-{number}.nii.gz").read_bytes()
            )
    labels = {"background": 0, "spleen": 5}
    (tmp_path / "theirs" / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert volumes.has_scans(tmp_path / "theirs")
    seen = volumes.look(tmp_path / "theirs", None)
    assert (seen.names, seen.values) == (("background", "spleen"), (0, 5))


def test_made_scans_hold_each_class(tmp_path: Path) -> None:
    import nibabel as nib

    write_scans(tmp_path, (0, 2, 7))
    for number in range(5):
        mask = np.asarray(nib.load(tmp_path / f"segmentation-{number}.nii.gz").dataobj)
        assert np.unique(mask).tolist() == [0, 2, 7]
