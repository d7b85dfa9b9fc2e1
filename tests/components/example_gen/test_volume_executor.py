"""Scans and masks through ExampleGen: shards, digests, counts, and bad cases, which count together."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from tfx.types import standard_artifacts

from components.example_gen.component import example_gen
from components.example_gen.driver import Driver
from components.example_gen.executor import Executor
from components.examples import to_raw
from components.features import CASE, FOREGROUND, IMAGE, LABEL, SHAPE, SPACING_MM
from components.formats.errors import FormatError
from components.sources.volumes import VolumeSource

BEAM_ARGS = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--sdk_container_image=none"]
HELD_OUT = ("volume-1", "volume-4")


def source_of(**settings: Any) -> VolumeSource:
    return VolumeSource(**{"patch_size": (4, 4, 4), "eval_cases": HELD_OUT, **settings})


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Five cases of 6 × 8 × 10 voxels, all of which differ."""
    directory = tmp_path / "data"
    directory.mkdir()
    for number in range(5):
        image = np.full((10, 8, 6), 100 + number, np.int16)
        labels = np.zeros(image.shape, np.uint8)
        labels[2:5, 2:5, number] = 1
        for name, voxels in (("volume", image), ("segmentation", labels)):
            affine = np.diag([1.0, 1.0, 2.0, 1.0])
            nib.save(nib.Nifti1Image(voxels, affine), directory / f"{name}-{number}.nii.gz")
    return directory


def run(source: VolumeSource, data_dir: Path, output: Path) -> None:
    examples = standard_artifacts.Examples()
    examples.uri = str(output)
    context = Executor.Context(beam_pipeline_args=BEAM_ARGS, tmp_dir=str(output.parent))
    Executor(context).Do(
        {}, {"examples": [examples]}, dict(example_gen(source, str(data_dir)).exec_properties)
    )


def raw_of(source: VolumeSource, output: Path, split: str) -> list[Any]:
    import tensorflow as tf

    files = [str(file) for file in sorted((output / f"Split-{split}").glob("*.gz"))]
    records = tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
    return [to_raw(record, source.features) for record in records]


def test_every_case_arrives_on_its_side(data_dir: Path, tmp_path: Path) -> None:
    source = source_of(spacing_mm=(1, 1, 1))
    run(source, data_dir, tmp_path / "out")
    train, evaluated = (raw_of(source, tmp_path / "out", split) for split in ("train", "eval"))
    assert [raw[CASE] for raw in train] == [b"volume-0", b"volume-2", b"volume-3"]
    assert [raw[CASE] for raw in evaluated] == [name.encode() for name in HELD_OUT]
    for raw, shape in ((train[1], [12, 8, 10]), (evaluated[0], [6, 8, 10])):
        voxels = np.frombuffer(raw[IMAGE], "<i2")
        assert (raw[SHAPE], len(voxels)) == (shape, np.prod(shape))
        assert len(set(voxels.tolist())) == 1
        assert np.frombuffer(raw[LABEL], np.uint8)[raw[FOREGROUND]].all()
    assert (train[0][SPACING_MM], evaluated[0][SPACING_MM]) == ([1, 1, 1], [2, 1, 1])
    assert json.loads((tmp_path / "out/counts.json").read_text()) == {"train": 3, "eval": 2}
    digests = json.loads((tmp_path / "out/data_digests.json").read_text())
    assert digests.keys() == {file.name for file in data_dir.iterdir()}


def test_another_mask_is_other_data(data_dir: Path) -> None:
    def fingerprint() -> str:
        properties = dict(example_gen(source_of(), str(data_dir)).exec_properties)
        return str(Driver(None).resolve_exec_properties(properties, None, None)["input_fingerprint"])

    before = fingerprint()
    assert before == fingerprint()
    path = data_dir / "segmentation-4.nii.gz"
    path.write_bytes(path.read_bytes())
    assert before.split("\n")[0] == fingerprint().split("\n")[0]
    assert before != fingerprint()


def test_bad_headers_and_bad_voxels_count_together(
    data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (data_dir / "segmentation-0.nii.gz").unlink()
    path = data_dir / "volume-2.nii.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(
        FormatError, match=r"volume-2.nii.gz: .*cut off or damaged \(the first of|the mask segm"
    ):
        run(source_of(max_bad_cases=1), data_dir, tmp_path / "none")
    assert not list((tmp_path / "none").iterdir())
    with caplog.at_level(logging.WARNING, logger="components.sources.volumes"):
        run(source_of(max_bad_cases=2), data_dir, tmp_path / "out")
    assert [record.getMessage().split(",")[0] for record in caplog.records] == ["left out 2 of 5 cases"]
    assert [raw[CASE] for raw in raw_of(source_of(), tmp_path / "out", "train")] == [b"volume-3"]
