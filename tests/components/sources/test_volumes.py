"""Scans and masks as records: in every layout, on the working grid, and what is refused."""

from __future__ import annotations

import json
import logging
import pickle
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydantic
import pytest

from components.example_gen.found import AllFound, ShardFound, Tally, accept
from components.features import CASE, FOREGROUND, IMAGE, LABEL, PATIENT, SHAPE, SPACING_MM
from components.formats.errors import FormatError
from components.formats.resampling import linear, nearest
from components.protocols import BadRecord, ChecksAllFound, EvaluatesFile, FindsFiles, Found, Note, Source
from components.reference import Reference
from components.sources.volumes import VolumeSource

# Voxels in the axes of files, x, y and z, and millimetres between them.
FILE_SHAPE = (12, 10, 8)
FILE_SPACING = (1.0, 2.0, 3.0)
SMALL = {"patch_size": (4, 4, 4)}


def scan(shape: Sequence[int] = FILE_SHAPE) -> Any:
    return np.random.default_rng(1).integers(-1000, 400, shape).astype(np.int16)


def mask(shape: Sequence[int] = FILE_SHAPE) -> Any:
    """A liver of 4 × 3 × 2 voxels, with a tumour of one."""
    labels = np.zeros(shape, np.uint8)
    labels[5:9, 4:7, 3:5] = 1
    labels[6, 5, 4] = 2
    return labels


def save(path: Path, voxels: Any, spacing: Sequence[float] = FILE_SPACING, origin: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*spacing, 1.0])
    affine[0, 3] = origin
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def write(directory: Path, count: int = 5) -> Path:
    """Writes cases as LiTS has them."""
    for number in range(count):
        save(directory / f"volume-{number}.nii.gz", scan())
        save(directory / f"segmentation-{number}.nii.gz", mask())
    return directory


def source_of(**settings: Any) -> VolumeSource:
    return VolumeSource(**{**SMALL, **settings})


def records_of(source: VolumeSource, directory: Path, split: str = "train") -> list[Any]:
    (input_split,) = [each for each in source.input_splits if each.name == split]
    return [record for part in source.parts(directory, input_split) for record in part.records()]


def good(records: list[Any]) -> list[Any]:
    return [record for record in records if not isinstance(record, BadRecord | Note)]


def image_of(record: Any, key: str = IMAGE) -> Any:
    return np.frombuffer(record[key], "<i2" if key == IMAGE else np.uint8).reshape(record[SHAPE])


def names_by_split(source: VolumeSource, directory: Path) -> dict[str, list[str]]:
    return {
        split.name: [part.case.name for part in source.parts(directory, split)]
        for split in source.input_splits
    }


def run(source: VolumeSource, directory: Path) -> None:
    """What ExampleGen does with a source, without writing."""
    source.check(directory)
    shards, counts = [], {}
    for split in source.input_splits:
        for part in source.parts(directory, split):
            tally = Tally(source.counted_by)
            counts[split.name] = counts.get(split.name, 0) + len(list(tally.pass_on(part.records())))
            shards.append(ShardFound(len(shards), part.file, tally.found, {split.name: 1}))
    accept(source, AllFound.of(shards), counts)


def test_the_source_is_one_whose_requests_are_images_with_their_shape_and_spacing() -> None:
    source = VolumeSource()
    for protocol in (Source, FindsFiles, EvaluatesFile, ChecksAllFound):
        assert isinstance(source, protocol)
    assert source.num_classes == 3
    assert source.features[LABEL].names == ("background", "liver", "tumour")
    served = {key for key, feature in source.features.items() if feature.served}
    assert served == {IMAGE, SHAPE, SPACING_MM}
    made = source.sample(3, seed=0)
    assert all(record.keys() == served for record in made)
    assert made == source.sample(3, seed=0) != source.sample(3, seed=1)
    assert [image_of(record).shape for record in made] == [(32, 32, 32)] * 3


def test_settings_travel_as_json_values() -> None:
    source = source_of(label_mapping={255: 1}, spacing_mm=(1, 2, 3), eval_cases=("a*",))
    reference = Reference(**json.loads(json.dumps(Reference.to(source).model_dump())))
    assert reference.load(Source) == source


def test_a_case_is_one_box_for_training_and_whole_for_evaluation(tmp_path: Path) -> None:
    source = source_of(eval_cases=("volume-4",))
    write(tmp_path)
    train, evaluated = (records_of(source, tmp_path, split) for split in ("train", "eval"))
    assert [record[CASE] for record in train] == [b"volume-0", b"volume-1", b"volume-2", b"volume-3"]
    (record,) = evaluated
    assert record.keys() == source.features.keys()
    assert (record[CASE], record[PATIENT], record[SHAPE]) == (b"volume-4", b"volume-4", [8, 10, 12])
    assert record[SPACING_MM] == [3.0, 2.0, 1.0]
    assert np.array_equal(image_of(record), scan().transpose(2, 1, 0))
    assert np.array_equal(image_of(record, LABEL), mask().transpose(2, 1, 0))


def test_training_is_on_the_working_grid_and_evaluation_on_the_own(tmp_path: Path) -> None:
    source = source_of(spacing_mm=(2, 2, 2), eval_cases=("volume-1",))
    write(tmp_path, 2)
    (train,), (evaluated,) = (records_of(source, tmp_path, split) for split in ("train", "eval"))
    assert (train[SHAPE], train[SPACING_MM]) == ([12, 10, 6], [2.0, 2.0, 2.0])
    assert np.array_equal(image_of(train), linear(scan().transpose(2, 1, 0), (12, 10, 6)))
    assert np.array_equal(image_of(train, LABEL), nearest(mask().transpose(2, 1, 0), (12, 10, 6)))
    assert evaluated[SHAPE] == [8, 10, 12]


def test_intensities_are_clipped_before_they_are_mixed(tmp_path: Path) -> None:
    voxels = np.full(FILE_SHAPE, 20000, np.float32)
    voxels[:6] = -3024.0
    save(tmp_path / "volume-0.nii", voxels)
    save(tmp_path / "segmentation-0.nii", mask())
    save(tmp_path / "volume-1.nii", voxels)
    save(tmp_path / "segmentation-1.nii", mask())
    source = source_of(window_hu=(-200, 300), spacing_mm=(3, 2, 0.5), eval_cases=("volume-1",))
    line = image_of(good(records_of(source, tmp_path))[0])[0, 0]
    # A quarter and three quarters between the voxels 5 and 6.
    assert line[10:14].tolist() == [-200, -75, 175, 300]
    assert np.unique(image_of(good(records_of(source, tmp_path, "eval"))[0])).tolist() == [-200, 300]


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("spacing_mm", [None, (1.5, 2, 1)])
def test_scans_of_any_type_are_stored_as_int16(tmp_path: Path, dtype: str, spacing_mm: Any) -> None:
    write(tmp_path, 2)
    voxels = (scan() % 100).astype(dtype)
    save(tmp_path / "volume-0.nii.gz", voxels)
    source = source_of(eval_cases=("volume-1",), spacing_mm=spacing_mm)
    (record,) = records_of(source, tmp_path)
    expected = voxels.transpose(2, 1, 0).astype(np.int16)
    assert np.array_equal(image_of(record), linear(expected, record[SHAPE]))


def test_parts_travel_to_workers(tmp_path: Path) -> None:
    source = source_of()
    parts = source.parts(write(tmp_path), source.input_splits[0])
    assert pickle.loads(pickle.dumps(parts)) == parts
    assert [part.file for part in parts] == [f"{part.case.name}.nii.gz" for part in parts]


def test_files_of_a_list_may_lie_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "scans", 2)
    (tmp_path / "list").mkdir()
    rows = [
        f"../scans/volume-0.nii.gz,{tmp_path}/scans/segmentation-0.nii.gz",
        f"{tmp_path}/scans/volume-1.nii.gz,../scans/segmentation-1.nii.gz",
    ]
    (tmp_path / "list/pairs.csv").write_text("\n".join(["image,label", *rows]))
    source = source_of(pairs_file="pairs.csv")
    run(source, tmp_path / "list")
    parts = [part for split in source.input_splits for part in source.parts(tmp_path / "list", split)]
    assert {part.file for part in parts} == {"../scans/volume-0.nii.gz", "../scans/volume-1.nii.gz"}


def test_files_are_those_of_the_split_and_what_describes_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"imagesTr/{name}.nii.gz", scan())
        save(tmp_path / f"labelsTr/{name}.nii.gz", mask())
    description = {"labels": {"background": 0, "liver": 1, "tumour": 2}}
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    source = source_of(eval_cases=("b",))
    train, evaluated = (source.raw_files(str(tmp_path), split) for split in source.input_splits)
    names = ("imagesTr/{}.nii.gz", "labelsTr/{}.nii.gz", "dataset.json")
    assert train == [f"{tmp_path}/{name.format('a')}" for name in names]
    assert evaluated == [f"{tmp_path}/{name.format('b')}" for name in names]


@pytest.mark.parametrize("layout", ["numbers", "arrays", "decathlon", "list"])
def test_every_layout_gives_the_same_examples(tmp_path: Path, layout: str) -> None:
    names = {
        "numbers": ("volume-0.nii.gz", "segmentation-0.nii.gz", "volume-1.nii.gz", "segmentation-1.nii.gz"),
        "arrays": ("volume-0.npy", "segmentation-0.npy", "volume-1.npy", "segmentation-1.npy"),
        "decathlon": ("imagesTr/a.nii", "labelsTr/a.nii", "imagesTr/b.nii", "labelsTr/b.nii"),
        "list": ("a.nii", "a-mask.nii", "b.nii", "b-mask.nii"),
    }[layout]
    for name, voxels in zip(names, (scan(), mask()) * 2, strict=True):
        if layout == "arrays":
            np.save(tmp_path / name, voxels.transpose(2, 1, 0))
        else:
            save(tmp_path / name, voxels)
    settings: dict[str, Any] = {"arrays": {"npy_spacing_mm": (3, 2, 1)}, "list": {"pairs_file": "pairs.csv"}}
    (tmp_path / "pairs.csv").write_text("image,label\na.nii,a-mask.nii\nb.nii,b-mask.nii\n")
    source = source_of(**settings.get(layout, {}))
    run(source, tmp_path)
    for split in ("train", "eval"):
        (record,) = records_of(source, tmp_path, split)
        assert (record[SHAPE], record[SPACING_MM]) == ([8, 10, 12], [3.0, 2.0, 1.0])
        assert np.array_equal(image_of(record), scan().transpose(2, 1, 0))
        assert np.array_equal(image_of(record, LABEL), mask().transpose(2, 1, 0))


def test_a_scan_in_other_axes_gives_the_same_example(tmp_path: Path) -> None:
    source = source_of(eval_cases=("volume-1",))
    write(tmp_path, 2)
    for name in ("volume-0", "segmentation-0"):
        image = nib.load(tmp_path / f"{name}.nii.gz")
        turned = image.as_reoriented(np.array([[1, -1], [2, 1], [0, -1]]))
        nib.save(turned, tmp_path / f"{name}.nii.gz")
    assert nib.load(tmp_path / "volume-0.nii.gz").shape == (8, 12, 10)
    (train,), (evaluated,) = (records_of(source, tmp_path, split) for split in ("train", "eval"))
    assert [train[key] for key in (IMAGE, LABEL, SHAPE, SPACING_MM)] == [
        evaluated[key] for key in (IMAGE, LABEL, SHAPE, SPACING_MM)
    ]


def test_one_scan_is_evaluated_and_one_that_is_no_case_is_told_with_its_folder(tmp_path: Path) -> None:
    write(tmp_path, 3)
    (part,) = parts_of(source_of().with_evaluation_file("volume-1.nii.gz"), tmp_path)
    assert part.file == "volume-1.nii.gz"
    with pytest.raises(FormatError) as caught:
        parts_of(source_of().with_evaluation_file("scan.nii.gz"), tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: source.eval_cases: unknown case 'scan.nii.gz'; ")


def parts_of(source: VolumeSource, directory: Path) -> list[Any]:
    return source.parts(directory, source.input_splits[1])


def test_values_of_masks_become_classes(tmp_path: Path) -> None:
    write(tmp_path, 2)
    for number in range(2):
        labels = np.choose(mask(), [0.0, 255.0, 4.0])
        labels[0, 0, 0] = 7
        save(tmp_path / f"segmentation-{number}.nii.gz", labels.astype(np.float32))
    source = source_of(label_values=(0, 1, 4), label_mapping={255: 1, 7: 0})
    wanted = mask().transpose(2, 1, 0)
    assert np.array_equal(image_of(records_of(source, tmp_path)[0], LABEL), wanted)


def test_a_dataset_json_of_other_classes_is_refused_with_what_to_set(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"imagesTr/{name}.nii.gz", scan())
        save(tmp_path / f"labelsTr/{name}.nii.gz", mask())
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"labels": {"0": "background", "1": "liver", "2": "cancer"}}))
    with pytest.raises(FormatError) as caught:
        source_of().check(tmp_path)
    assert str(caught.value) == (
        f"{path}: expected labels background, liver, tumour, got background, liver, cancer; "
        "use --set 'source.label_names=[background, liver, cancer]'"
    )
    source_of(label_names=("background", "liver", "cancer")).check(tmp_path)
    path.write_text(json.dumps({"labels": {"background": 0, "spleen": 1}}))
    with pytest.raises(FormatError, match=r"use --set 'source.label_names=\[background, spleen\]'$"):
        source_of().check(tmp_path)
    path.write_text(json.dumps({"labels": {"background": 0, "liver": 1, "tumour": 4}}))
    with pytest.raises(FormatError, match=r"use --set 'source.label_values=\[0, 1, 4\]'$"):
        source_of().check(tmp_path)
    # Whoever says what other values stand for knows better.
    source_of(label_mapping={4: 2}).check(tmp_path)


class TestBoxes:
    """A case of 8 × 10 × 12 voxels, with foreground at 3:5, 4:7, 5:9."""

    def boxes(self, directory: Path, **settings: Any) -> list[Any]:
        source = source_of(eval_cases=("volume-1",), **settings)
        return records_of(source, write(directory, 2))

    def place(self, record: Any) -> tuple[int, ...]:
        """Where a box is in the scan, whose voxels all differ enough."""
        whole = scan().transpose(2, 1, 0)
        found = image_of(record)
        (places,) = [
            start
            for start in np.ndindex(*(n - m + 1 for n, m in zip(whole.shape, found.shape, strict=True)))
            if np.array_equal(
                whole[tuple(slice(a, a + n) for a, n in zip(start, found.shape, strict=True))], found
            )
        ]
        return places

    def test_boxes_cover_the_case_and_end_where_it_does(self, tmp_path: Path) -> None:
        boxes = self.boxes(tmp_path, box_size=(5, 10, 8))
        assert [self.place(box) for box in boxes] == [(0, 0, 0), (0, 0, 4), (3, 0, 0), (3, 0, 4)]
        assert all(box[SHAPE] == [5, 10, 8] for box in boxes)
        for box in boxes:
            part = tuple(slice(a, a + n) for a, n in zip(self.place(box), box[SHAPE], strict=True))
            assert np.array_equal(image_of(box, LABEL), mask().transpose(2, 1, 0)[part])

    def test_boxes_overlap_by_what_the_stride_leaves(self, tmp_path: Path) -> None:
        boxes = self.boxes(tmp_path, box_size=(8, 10, 6), box_stride=(8, 10, 3))
        assert [self.place(box)[2] for box in boxes] == [0, 3, 6]

    def test_a_box_larger_than_the_case_is_all_of_it(self, tmp_path: Path) -> None:
        (box,) = self.boxes(tmp_path, box_size=(100, 100, 100))
        assert box[SHAPE] == [8, 10, 12]

    def test_boxes_on_the_working_grid_are_parts_of_the_resampled_case(self, tmp_path: Path) -> None:
        whole = linear(scan().transpose(2, 1, 0), (12, 20, 6))
        boxes = self.boxes(tmp_path, spacing_mm=(2, 1, 2), box_size=(7, 20, 4))
        starts = [(0, 0), (0, 2), (5, 0), (5, 2)]
        for box, (z, x) in zip(boxes, starts, strict=True):
            assert np.array_equal(image_of(box), whole[z : z + 7, :, x : x + 4])

    @pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
    def test_a_share_of_the_boxes_without_foreground_is_kept(self, tmp_path: Path, share: float) -> None:
        boxes = self.boxes(tmp_path, patch_size=(2, 2, 3), box_size=(2, 2, 3), background_share=share)
        labelled = [box for box in boxes if image_of(box, LABEL).any()]
        # Along the axes 2 of 4, 2 of 5, and 2 of 4 boxes.
        assert len(labelled) == 2 * 2 * 2
        # Of 72 others: binomial.
        assert abs(len(boxes) - len(labelled) - share * 72) <= (0 if share in (0, 1) else 15)

    def test_the_same_boxes_are_kept_again(self, tmp_path: Path) -> None:
        settings = {"patch_size": (2, 2, 3), "box_size": (2, 2, 3), "background_share": 0.5}
        assert self.boxes(tmp_path, **settings) == self.boxes(tmp_path, **settings)

    def test_a_crop_to_labels_keeps_a_margin_in_millimetres(self, tmp_path: Path) -> None:
        (box,) = self.boxes(tmp_path, crop="label", crop_margin_mm=2, patch_size=(1, 1, 1))
        # 2 mm are two thirds, one and two voxels.
        assert (self.place(box), box[SHAPE]) == ((2, 3, 3), [4, 5, 8])

    def test_a_crop_is_at_least_a_patch(self, tmp_path: Path) -> None:
        (box,) = self.boxes(tmp_path, crop="label", crop_margin_mm=0, patch_size=(4, 4, 12))
        assert (self.place(box), box[SHAPE]) == ((2, 4, 0), [4, 4, 12])

    def test_a_crop_to_the_body_leaves_the_air_out(self, tmp_path: Path) -> None:
        write(tmp_path, 2)
        voxels = np.full(FILE_SHAPE, -1000, np.int16)
        voxels[2:11, 1:9, 0:6] = 40
        save(tmp_path / "volume-0.nii.gz", voxels)
        source = source_of(eval_cases=("volume-1",), crop="body", crop_margin_mm=0)
        (box,) = records_of(source, tmp_path)
        assert box[SHAPE] == [6, 8, 9]
        assert (image_of(box) == 40).all()


class TestForeground:
    def foreground(self, directory: Path, labels: Any) -> list[int]:
        for number in range(2):
            save(directory / f"volume-{number}.nii", scan(labels.shape))
            save(directory / f"segmentation-{number}.nii", labels)
        record: Any = good(records_of(source_of(), directory))[0]
        classes = image_of(record, LABEL).ravel()[record[FOREGROUND]]
        assert (classes > 0).all()
        return [int((classes == each).sum()) for each in (1, 2)]

    def test_classes_are_there_equally_often(self, tmp_path: Path) -> None:
        # 24 voxels, one of which is the tumour.
        assert self.foreground(tmp_path, mask()) == [23, 23]

    def test_there_are_at_most_4096(self, tmp_path: Path) -> None:
        labels = np.ones((20, 20, 20), np.uint8)
        assert self.foreground(tmp_path, labels) == [4096, 0]
        labels[:1] = 2
        assert self.foreground(tmp_path, labels) == [2048, 2048]

    def test_they_are_shuffled_by_the_case(self, tmp_path: Path) -> None:
        source = source_of(eval_cases=("volume-2",))
        first, second = (record[FOREGROUND] for record in records_of(source, write(tmp_path, 3)))
        assert first != second
        assert sorted(set(first)) == sorted(set(second)) == np.flatnonzero(mask().transpose(2, 1, 0)).tolist()
        assert records_of(source, tmp_path)[0][FOREGROUND] == first


def bad(directory: Path, name: str, **settings: Any) -> str:
    """What is said of the case of a file; nothing is yielded of it, and the others are good."""
    found = {"train": [], "eval": []}
    for split, records in found.items():
        records += records_of(source_of(**settings), directory, split)
    reasons = [
        record.reason for records in found.values() for record in records if isinstance(record, BadRecord)
    ]
    (reason,) = reasons
    assert len(good(found["train"] + found["eval"])) == 4
    assert reason.startswith(f"{directory}/{name}: ")
    assert "\n" not in reason
    return reason.removeprefix(f"{directory}/{name}: ")


def replace(directory: Path, voxels: Any, name: str = "segmentation-0.nii.gz", **place: Any) -> str:
    write(directory)
    save(directory / name, voxels, **place)
    return name


class TestBadHeaders:
    """Found by `check`, before anything is read, and by the part, where some cases may be bad."""

    def check(self, directory: Path, name: str, message: str, **settings: Any) -> None:
        assert message in bad(directory, name, **settings)
        source = source_of(**settings)
        with pytest.raises(FormatError) as caught:
            source.check(directory)
        assert str(caught.value).startswith(f"{directory}/{name}: ")
        assert str(caught.value).endswith(" (the first of 1 of 5 cases, above source.max_bad_cases 0)")
        source.override({"max_bad_cases": 1}, "source").check(directory)

    def test_a_mask_of_another_shape(self, tmp_path: Path) -> None:
        name = replace(tmp_path, mask((12, 10, 7)))
        self.check(tmp_path, name, "expected 12×10×8 voxels as volume-0.nii.gz has, got 12×10×7")

    def test_a_mask_in_another_place(self, tmp_path: Path) -> None:
        name = replace(tmp_path, mask(), origin=5.0)
        message = (
            "expected the place of volume-0.nii.gz, got corners 5 mm away; if it fits the scan all the same, "
        )
        self.check(tmp_path, name, f"{message}source.place_of_label=voxels takes it voxel by voxel")
        run(source_of(place_of_label="voxels"), tmp_path)

    def test_a_mask_of_another_shape_fits_by_no_word(self, tmp_path: Path) -> None:
        name = replace(tmp_path, mask((12, 10, 7)))
        self.check(tmp_path, name, "expected 12×10×8 voxels", place_of_label="voxels")

    def test_a_missing_partner(self, tmp_path: Path) -> None:
        (write(tmp_path) / "segmentation-0.nii.gz").unlink()
        self.check(tmp_path, "volume-0.nii.gz", "expected the mask segmentation-0.nii[.gz], got none")

    @pytest.mark.parametrize(
        ("shape", "got"),
        [((12, 10, 8, 2), "12×10×8×2 voxels; one channel or time"), ((12, 10), "12×10 voxels")],
    )
    def test_another_number_of_axes(self, tmp_path: Path, shape: tuple[int, ...], got: str) -> None:
        name = replace(tmp_path, scan(shape), "volume-0.nii.gz")
        self.check(tmp_path, name, f"expected three axes, got {got}")

    def test_no_orientation(self, tmp_path: Path) -> None:
        write(tmp_path)
        image = nib.Nifti1Image(scan(), np.eye(4))
        image.set_sform(np.eye(4), code=0)
        image.set_qform(np.eye(4), code=0)
        nib.save(image, tmp_path / "volume-0.nii.gz")
        self.check(tmp_path, "volume-0.nii.gz", "expected an orientation")

    def test_colours(self, tmp_path: Path) -> None:
        colours = np.zeros(FILE_SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
        name = replace(tmp_path, colours, "volume-0.nii.gz")
        self.check(tmp_path, name, "expected a number for each voxel, got colours")

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"\0" * 128 + b"DICM", "dcm2niix makes NIfTI"), (b"NRRD0004", "SimpleITK saves it as NIfTI")],
    )
    def test_other_formats(self, tmp_path: Path, content: bytes, message: str) -> None:
        (write(tmp_path) / "volume-0.nii.gz").write_bytes(content.ljust(600, b"\0"))
        self.check(tmp_path, "volume-0.nii.gz", message)

    def test_a_volume_smaller_than_a_patch(self, tmp_path: Path) -> None:
        name = replace(tmp_path, scan((12, 10, 3)), "volume-0.nii.gz")
        save(tmp_path / "segmentation-0.nii.gz", mask()[:, :, 2:5])
        message = (
            "expected at least 4×4×4 voxels of 3×2×1 mm, a patch, got 3×10×12 of 3×10×12 voxels of 3×2×1 mm; "
            "source.pad_small=true fills them up"
        )
        self.check(tmp_path, name, message)
        source_of(pad_small=True).check(tmp_path)
        # On a finer grid it is large enough.
        source_of(spacing_mm=(1.5, 2, 1)).check(tmp_path)

    def test_a_volume_whose_unit_makes_it_enormous(self, tmp_path: Path) -> None:
        write(tmp_path)
        for name in ("volume-0.nii.gz", "segmentation-0.nii.gz"):
            image = nib.load(tmp_path / name)
            image.header.set_xyzt_units("meter")
            nib.save(image, tmp_path / name)
        message = (
            "expected at most 960,000 voxels of 3×2×1 mm, got 8000×10000×12000 of 8×10×12 voxels of "
            "3000×2000×1000 mm: look at its unit and spacing"
        )
        with pytest.raises(FormatError, match=message):
            source_of(spacing_mm=(3, 2, 1)).check(tmp_path)


class TestBadVoxels:
    """Found by the part alone."""

    def check(self, directory: Path, name: str, message: str, **settings: Any) -> None:
        assert message in bad(directory, name, **settings)
        source = source_of(**settings)
        source.check(directory)
        with pytest.raises(FormatError) as caught:
            run(source, directory)
        assert str(caught.value).startswith(f"{directory}/{name}: ")
        assert str(caught.value).endswith(" (the first of 1 of 5 cases, above source.max_bad_cases 0)")
        run(source.override({"max_bad_cases": 1}, "source"), directory)

    def test_a_label_that_is_not_declared(self, tmp_path: Path) -> None:
        labels = mask()
        labels[0, 0, 0] = 7
        self.check(
            tmp_path,
            replace(tmp_path, labels),
            "expected labels 0, 1, 2, got 0, 1, 2, 7; "
            "source.label_values, or source.label_mapping={7: …}, says what they are",
        )

    def test_a_label_that_is_no_whole_number(self, tmp_path: Path) -> None:
        name = replace(tmp_path, mask() * np.float32(0.5))
        hint = "labels are whole numbers, also of a mask that was resampled"
        self.check(tmp_path, name, f"expected labels 0, 1, 2, got 0, 0.5, 1; {hint}")

    @pytest.mark.parametrize("box_size", [None, (4, 4, 4)])
    def test_a_voxel_that_is_no_number(self, tmp_path: Path, box_size: Any) -> None:
        voxels = scan().astype(np.float32)
        voxels[11, 9, 7] = np.nan
        name = replace(tmp_path, voxels, "volume-0.nii.gz")
        if box_size is None:
            self.check(tmp_path, name, "expected finite voxels, got nan at voxel (11, 9, 7)")
        else:
            # Not one of the boxes before it is there.
            source = source_of(box_size=box_size, eval_cases=("volume-1",))
            part = source.parts(tmp_path, source.input_splits[0])[0]
            (record,) = part.records()
            assert isinstance(record, BadRecord)

    @pytest.mark.parametrize("name", ["volume-0.nii.gz", "segmentation-0.nii.gz"])
    def test_a_file_that_is_cut_off(self, tmp_path: Path, name: str) -> None:
        path = write(tmp_path) / name
        path.write_bytes(path.read_bytes()[:-6])
        self.check(tmp_path, name, "expected a whole gzip file, got one that is cut off or damaged")


def test_arrays_need_a_spacing(tmp_path: Path) -> None:
    for name in ("volume-0", "segmentation-0", "volume-1", "segmentation-1"):
        np.save(tmp_path / f"{name}.npy", mask())
    with pytest.raises(FormatError, match=r"volume-0.npy: expected source.npy_spacing_mm, since"):
        source_of().check(tmp_path)


def test_an_array_is_no_mask_of_a_file_with_a_place(tmp_path: Path) -> None:
    save(tmp_path / "a.nii", scan())
    np.save(tmp_path / "m.npy", mask())
    (tmp_path / "pairs.csv").write_text("image,label\na.nii,m.npy\n")
    source = source_of(pairs_file="pairs.csv", npy_spacing_mm=(1, 1, 1), validation_fraction=0.5)
    with pytest.raises(FormatError, match=r"m.npy: expected a file of the format of a.nii"):
        source.check(tmp_path)


def test_cases_of_which_none_has_foreground_are_refused_and_some_are_not(tmp_path: Path) -> None:
    write(tmp_path, 3)
    for number in (0, 1):
        save(tmp_path / f"segmentation-{number}.nii.gz", np.zeros(FILE_SHAPE, np.uint8))
    run(source_of(), tmp_path)
    save(tmp_path / "segmentation-2.nii.gz", np.zeros(FILE_SHAPE, np.uint8))
    with pytest.raises(FormatError, match=r"a label above 0, got none; nor has any other case liver"):
        run(source_of(), tmp_path)


def test_what_was_left_out_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = source_of(max_bad_cases=2)
    found = {
        "a.nii": Found(good=Counter(), num_bad=1, first_bad="a.nii: bad"),
        "b.nii": Found(good=Counter()),
    }
    with caplog.at_level(logging.WARNING):
        source.check_all_found(found)
    assert caplog.messages == ["left out 1 of 2 cases, such as a.nii: bad"]


def test_intensities_that_are_none_of_a_ct_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path)
    voxels = scan()
    # 9 of 960 voxels may be metal.
    voxels[0, 0, :5] = voxels[0, 1, :4] = 20_000
    save(tmp_path / "volume-0.nii.gz", voxels)
    with caplog.at_level(logging.WARNING):
        run(source_of(), tmp_path)
    assert not caplog.messages
    save(tmp_path / "volume-3.nii.gz", scan() + np.int16(4100))
    run(source_of(window_hu=(0, 5000)), tmp_path)
    assert not caplog.messages
    with caplog.at_level(logging.WARNING):
        run(source_of(), tmp_path)
    assert caplog.messages == [
        "1 cases brighter than a CT is, such as volume-3.nii.gz; "
        "they are clipped to source.window_hu [-1024, 3071]"
    ]


def test_one_patient_is_not_enough(tmp_path: Path) -> None:
    source = source_of()
    with pytest.raises(
        FormatError, match="split 'train': expected patients beside those of the other, got 1"
    ):
        source.check(write(tmp_path, 1))
    # To be measured on, it is.
    assert len(source.parts(tmp_path, source.input_splits[1])) == 1


def test_scans_of_a_patient_stay_on_one_side(tmp_path: Path) -> None:
    for name in ("p1_a", "p1_b", "p2_a"):
        save(tmp_path / f"imagesTr/{name}.nii", scan())
        save(tmp_path / f"labelsTr/{name}.nii", mask())
    source = source_of(patient_pattern="(p[0-9]+)_", validation_fraction=0.01)
    names = names_by_split(source, tmp_path)
    assert sorted(map(len, names.values())) == [1, 2]
    assert {record[PATIENT] for record in records_of(source, tmp_path)} in ({b"p1"}, {b"p2"})


def test_one_scan_or_a_list_is_enough_to_evaluate(tmp_path: Path) -> None:
    source = source_of()
    write(tmp_path)
    one = source.with_evaluation_file("volume-3.nii.gz")
    assert [record[CASE] for record in records_of(one, tmp_path, "eval")] == [b"volume-3"]
    rows = "".join(f"volume-{n}.nii.gz,segmentation-{n}.nii.gz\n" for n in (1, 2))
    (tmp_path / "mine.csv").write_text(f"image,label\n{rows}")
    listed = source.with_evaluation_file("mine.csv")
    assert [record[CASE] for record in records_of(listed, tmp_path, "eval")] == [b"volume-1", b"volume-2"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_values": (0, 1)}, "label_values: expected 3 different ones"),
        ({"label_values": (0, 1, 1)}, "label_values: expected 3 different ones"),
        ({"label_names": ("background", "liver", "liver")}, "label_names: expected different ones"),
        ({"label_names": ("background",)}, "label_names"),
        ({"label_mapping": {255: 3}}, "label_mapping: expected another value to one of 0, 1, 2, got 255: 3"),
        ({"label_mapping": {1: 2}}, "label_mapping: expected another value to one of 0, 1, 2, got 1: 2"),
        ({"patch_size": (32, 32)}, "patch_size: expected 3 numbers"),
        ({"spatial_dims": 2, "patch_size": (4,)}, "patch_size: expected 2 numbers"),
        ({"window_hu": (300, 300)}, "window_hu: expected a lower and a higher int16"),
        ({"window_hu": (-40000, 300)}, "window_hu: expected a lower and a higher int16"),
        ({"box_size": (4, 4, 3)}, "box_size: expected at least patch_size"),
        ({"box_stride": (4, 4, 4)}, "box_stride: expected none without box_size"),
        ({"patient_pattern": "("}, "patient_pattern: expected a regular expression"),
        ({"spacing_mm": (1, 1, 0)}, "spacing_mm"),
        ({"eval_cases": ()}, "eval_cases"),
        ({"validation_fraction": 0}, "validation_fraction"),
    ],
)
def test_settings_that_do_not_hold_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        source_of(**settings)


def test_in_two_dimensions_a_patch_is_of_one_slice(tmp_path: Path) -> None:
    source = source_of(spatial_dims=2, patch_size=(8, 8))
    for number in range(2):
        save(tmp_path / f"volume-{number}.nii", scan((12, 10, 1)))
        save(tmp_path / f"segmentation-{number}.nii", np.ones((12, 10, 1), np.uint8))
    run(source, tmp_path)


def test_slices_of_a_patch_are_boxes_of_one_slice(tmp_path: Path) -> None:
    source = source_of(spatial_dims=2, patch_size=(4, 8, 10), box_size=(1, 8, 10))
    assert (source.patch_size, source.patch) == ((8, 10), (1, 8, 10))
    for number in range(2):
        save(tmp_path / f"volume-{number}.nii", scan((10, 8, 3)))
        save(tmp_path / f"segmentation-{number}.nii", np.ones((10, 8, 3), np.uint8))
    run(source, tmp_path)
    assert [record[SHAPE] for record in records_of(source, tmp_path)] == [[1, 8, 10]] * 3


def test_the_real_scan_keeps_its_liver_and_its_place(tmp_path: Path, real_data: Path) -> None:
    folder = real_data / "lits"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    for name in ("volume", "segmentation"):
        for number in (0, 1):
            (tmp_path / f"{name}-{number}.nii.gz").symlink_to(folder / f"{name}-0.nii.gz")
    source = VolumeSource(spacing_mm=(1.5, 1.5, 1.5))
    run(source, tmp_path)
    ((evaluated,), (train,)) = (records_of(source, tmp_path, split) for split in ("eval", "train"))
    assert (evaluated[SHAPE], train[SHAPE]) == ([30, 101, 122], [60, 202, 244])
    label, finer = image_of(evaluated, LABEL), image_of(train, LABEL)
    assert int(label.sum()) == 38634
    # Each voxel becomes eight.
    assert int(finer.sum()) == 8 * 38634
    assert np.array_equal(finer, label.repeat(2, 0).repeat(2, 1).repeat(2, 2))
    # A liver's intensities, and in the right half of the body.
    assert 40 < np.median(image_of(evaluated)[label > 0]) < 200
    assert np.argwhere(label > 0)[:, 2].mean() > 61
