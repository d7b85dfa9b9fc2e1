"""Volumes that are split over devices in training, by JAX, end in a model that answers in TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.formats.nifti import Volume
from pipelines.dag.settings import RunConfig
from pipelines.datasets.made_lits import make_lits
from pipelines.runs import launch
from pipelines.tasks.lits import LITS

pytestmark = pytest.mark.slow

SETTINGS = {
    "source": {"spacing_mm": [8.0, 8.0, 8.0], "patch_size": [8, 16, 16]},
    "windowing": {"patches_per_example": 2},
    "model": {"filters": [4, 8]},
    "train": {"num_steps": 2, "global_batch_size": 2, "partition": [1, 2, 1, 1, 1]},
    "blessing": {"threshold": 0.0},
}


def test_a_model_trained_in_parts_is_published_and_answers(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_lits(data, 4)
    config = RunConfig(
        data_dir=str(data), pipeline_root=str(tmp_path / "root"), models_dir=str(tmp_path / "models")
    )
    report = launch.launch(LITS, config, SETTINGS)
    assert report.pushed_version == 1
    trained = json.loads(Path(report.pushed_dir, "assets.extra/millrace.json").read_text())
    assert (trained["num_steps"], trained["train"]["partition"]) == (2, [1, 2, 1, 1, 1])
    scan = Volume(data / "volume-0.nii.gz")
    answer = tf.saved_model.load(report.pushed_dir).signatures["nifti"]
    label = answer(nifti_bytes=tf.constant([scan.path.read_bytes()]))["label"].numpy()[0]
    assert label.shape == scan.file_shape
    assert set(np.unique(label)) <= {0, 1, 2}
