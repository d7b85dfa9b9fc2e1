"""Scans and masks as records: in every layout, on the working grid, and what is refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from components.example_gen.found import AllFound, ShardFound, Tally, accept
from components.features import CASE, IMAGE, LABEL, PATIENT, SHAPE, SPACING_MM
from components.formats.resampling import linear, nearest
from components.protocols import BadRecord, ChecksAllFound, EvaluatesFile, FindsFiles, Note, Source
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


def write(directory: Path, count: int = 5, **files: Any) -> Path:
    """Writes cases as LiTS has them; `files` are other voxels by the name of a file."""
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
    line = image_of(records_of(source, tmp_path)[0])[0, 0]
    # A quarter and three quarters between the voxels 5 and 6.
    assert line[10:14].tolist() == [-200, -75, 175, 300]
    assert np.unique(image_of(records_of(source, tmp_path, "eval")[0])).tolist() == [-200, 300]


def test_parts_travel_to_workers(tmp_path: Path) -> None:
    source = source_of()
    parts = source.parts(write(tmp_path), source.input_splits[0])
    assert pickle.loads(pickle.dumps(parts)) == parts
    assert parts[0].file.startswith("volume-")
