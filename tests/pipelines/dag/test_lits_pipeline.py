"""Segmentation from scans to a published model that gives every voxel its class, on the scan's own grid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.formats.nifti import Volume
from pipelines.cli.main import main
from pipelines.prediction.predict import PredictError, load
from pipelines.tasks.lits import LITS

pytestmark = pytest.mark.slow

CASES = 5


@pytest.fixture(scope="module")
def report(lits_run: Any) -> Any:
    return lits_run


@pytest.fixture(scope="module")
def data(report: Any) -> Path:
    return Path(report.pushed_dir).parents[2] / "data"


def printed(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert end.value.code == 0, err
    return out


def test_a_model_is_evaluated_on_whole_cases_and_published(report: Any) -> None:
    result = json.loads(Path(report.evaluation_dir, "metrics.json").read_text())
    counts = json.loads(next(Path(report.evaluation_dir).parents[2].rglob("counts.json")).read_text())
    assert result["num_examples"] == counts["eval"]
    assert counts["train"] + counts["eval"] == CASES
    assert 0 <= result["metrics"]["mean_dice"] <= 1
    assert report.pushed_version == 1
    assert "data:image/png;base64," in Path(report.evaluation_dir, "report.html").read_text()


def test_volumes_are_not_written_a_second_time(report: Any) -> None:
    artifacts = Path(report.evaluation_dir).parents[2]
    assert not (artifacts / "Transform" / "transformed_examples").exists()


@pytest.mark.parametrize("case", range(CASES))
def test_a_mask_lies_where_its_scan_does_whatever_the_axes(
    report: Any, data: Path, case: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = data / f"volume-{case}.nii.gz"
    mask, picture = tmp_path / "mask.nii.gz", tmp_path / "overlay.png"
    asked = ("predict", "lits", path, "--model", report.pushed_dir)
    out = printed(capfd, *asked, "--out", mask, "--picture", picture, "--json")
    scan, found = nib.load(path), nib.load(mask)
    assert found.shape == scan.shape
    assert found.get_data_dtype() == np.uint8
    for coded in ("get_sform", "get_qform"):
        (affine, code), (expected, expected_code) = (
            getattr(each, coded)(coded=True) for each in (found, scan)
        )
        assert code == expected_code
        assert (affine is None and expected is None) or np.array_equal(affine, expected)
    Image.open(picture).verify()
    volumes = json.loads(out)[0]["volumes_ml"]
    voxels = np.asarray(found.dataobj)
    for label, name in enumerate(("liver", "tumour"), start=1):
        assert volumes[name] == pytest.approx((voxels == label).sum() * Volume(path).voxel_ml, rel=1e-3)


def test_what_the_graph_refuses_of_a_scan_is_told_in_its_words(report: Any) -> None:
    ask = load(LITS, report.pushed_dir)
    with pytest.raises(PredictError, match=r"^signature 'nifti': nifti_bytes: expected a NIfTI file .*$"):
        ask("nifti", {"nifti_bytes": np.array([b"none"], object)})


def test_all_requests_are_answered_alike(report: Any, data: Path) -> None:
    model = tf.saved_model.load(report.pushed_dir)
    signatures = model.signatures
    for case in range(CASES):
        scan = Volume(data / f"volume-{case}.nii.gz")
        content = tf.constant([scan.path.read_bytes()])
        by_file = signatures["nifti"](nifti_bytes=content)["label"].numpy()[0]
        spacing = tf.constant([scan.spacing_mm], tf.float32)
        voxels = scan.read()[None]
        labels = [
            signatures[name](image=tf.constant(voxels, dtype), spacing_mm=spacing)["label"].numpy()[0]
            for name, dtype in (("segment", tf.int16), ("segment_float", tf.float32))
        ]
        np.testing.assert_array_equal(labels[0], labels[1])
        np.testing.assert_array_equal(labels[0], scan.from_file_axes(by_file))
        assert by_file.shape == scan.file_shape
        # What `predict` asks, which tells how far it is.
        watched = model.watched["nifti"]({"nifti_bytes": content})
        np.testing.assert_array_equal(watched["label"].numpy()[0], by_file)
