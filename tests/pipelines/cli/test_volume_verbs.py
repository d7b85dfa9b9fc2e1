"""What is done with scans from the command line: made, looked at, planned for, asked about."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from json_documents import document
from PIL import Image

from components.formats.nifti import Volume
from components.protocols import Request
from components.transform.volumes import Volumes
from pipelines import presets
from pipelines.cli import main as cli
from pipelines.dag.settings import read_overrides
from pipelines.datasets.made_lits import make_lits
from pipelines.tasks.lits import LITS

Millrace = Callable[..., str]
# Of a made scan, what is denser than this is bone.
BONE_HU = 200


@pytest.fixture
def millrace(capfd: pytest.CaptureFixture[str]) -> Millrace:
    """Runs a command line in this process, and returns what it prints."""

    def run(*arguments: object) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert stop.value.code == 0, err
        return out

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lits")
    make_lits(folder, 2)
    return folder


def test_scans_are_made_looked_at_and_planned_for(millrace: Millrace, data: Path, tmp_path: Path) -> None:
    made = document("data", millrace("data", "make", "lits", "--cases", 1, "--out", tmp_path / "d", "--json"))
    assert [file["name"] for file in made["files"]] == ["segmentation-0.nii.gz", "volume-0.nii.gz"]

    table = millrace("data", "show", "lits", "--data", data, "--picture", tmp_path / "sheet.png")
    header, *rows = table.splitlines()
    assert header.split("\t")[:3] == ["case", "shape", "spacing mm"]
    assert [row.split("\t")[0] for row in rows[:2]] == ["volume-0", "volume-1"]
    assert rows[2] == "cases      2, of which 0 look wrong"
    Image.open(tmp_path / "sheet.png").verify()
    shown = document("survey", millrace("data", "show", "lits", "--data", data, "--json"))
    assert [case["orientation"] for case in shown["cases"]] == ["RAS", "LPS"]

    plan = tmp_path / "plan.yaml"
    arguments = ("plan", "lits", "--data", data, "--memory", "2GB")
    assert millrace(*arguments, "--out", plan) == ""
    planned = document("plan", millrace(*arguments, "--json"))
    assert planned["step_bytes"] <= 2e9
    assert read_overrides([plan], ()) == planned["settings"]
    assert millrace(*arguments) == plan.read_text()
    fitted = LITS.override(read_overrides([plan], ()))
    # Halves of 3.54 and 3.66, and of 2.42 and 2.59 mm.
    assert fitted.windowing.spacing_mm == (3.6, 2.505, 2.505)


def test_a_plan_is_run_with_the_settings_that_it_was_made_with(
    capfd: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    given = "--config unet2d", "--set source.max_bad_cases=1"
    with pytest.raises(SystemExit):
        cli.main(f"plan lits --data {data} --memory 2GB {' '.join(given)} --out {plan}".split())
    told = capfd.readouterr().err.strip()
    assert told.endswith(f"run lits --data {data} {given[0]} --config {plan} {given[1]}")
    assert f"plan lits --data {data} {' '.join(given)} --memory 2GB" in plan.read_text()
    planned = LITS.override(read_overrides([*presets.located("lits", [Path("unet2d")]), plan], ()))
    assert planned.model.spatial_dims == 2
    assert planned.model.dropout_rate == 0.5


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model, below the folder of its versions, to which bone is liver."""
    import tensorflow as tf

    def answer(raw: Any) -> dict[str, Any]:
        voxels = tf.map_fn(
            lambda each: tf.reshape(tf.io.decode_raw(each[0], tf.int16), each[1]),
            (raw["image"], raw["shape"]),
            fn_output_signature=tf.TensorSpec([None] * 3, tf.int16),
        )
        label = tf.cast(voxels > BONE_HU, tf.uint8)
        voxel_ml = tf.reduce_prod(raw["spacing_mm"], axis=1) / 1000
        bone_ml = voxel_ml * tf.reduce_sum(tf.cast(label, tf.float32), axis=(1, 2, 3))
        return {"label": label, "volumes_ml": tf.stack([bone_ml, 0 * bone_ml], axis=1)}

    def signature(request: Request) -> Any:
        def respond(**inputs: Any) -> Any:
            return request.answered(inputs, answer(request.to_raw(inputs)))

        return tf.function(respond).get_concrete_function(**request.inputs)

    folder = tmp_path_factory.mktemp("bones") / "1"
    signatures = {name: signature(request) for name, request in Volumes().requests().items()}
    tf.saved_model.save(tf.Module(), str(folder), signatures=signatures)
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "millrace.json").write_text('{"task": "lits"}')
    return str(folder)


def bone(path: Path) -> Any:
    return (Volume(path).read() > BONE_HU).astype(np.uint8)


def test_a_scan_is_asked_about_and_its_mask_written_and_drawn(
    millrace: Millrace, data: Path, model_dir: str, tmp_path: Path
) -> None:
    scan, mask = data / "volume-1.nii.gz", tmp_path / "mask.nii.gz"
    expected_ml = bone(scan).sum() * Volume(scan).voxel_ml
    asked = ("predict", "lits", scan, "--model", model_dir)
    (told,) = document("predict", millrace(*asked, "--json"))
    assert told["volumes_ml"] == {"liver": pytest.approx(expected_ml, rel=1e-4), "tumour": 0.0}
    out = millrace(*asked, "--out", mask, "--picture", tmp_path / "overlay.png").splitlines()
    assert out == [f"liver {expected_ml:,.0f} ml, tumour 0.0 ml", f"1 prediction is in {mask}"]
    assert np.array_equal(Volume(mask).read_labels((0, 1)), bone(scan))
    Image.open(tmp_path / "overlay.png").verify()


@pytest.fixture(scope="module")
def address(model_dir: str) -> Iterator[str]:
    """A server of the model, by gRPC."""
    flags = ["--model_name=lits", f"--model_base_path={Path(model_dir).parent}", "--port=0"]
    command = [sys.executable, "-m", "components.serving", *flags]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[3]
    ) as process:
        assert process.stdout
        found = (re.match(r"listening on (\S+) \(gRPC\)", line) for line in process.stdout)
        yield next(filter(None, found))[1]
        process.terminate()


@pytest.mark.slow
def test_all_scans_of_a_folder_are_asked_about_of_a_server(
    millrace: Millrace, data: Path, address: str, tmp_path: Path
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("volume-0.nii.gz", "volume-1.nii.gz"):
        (scans / name).write_bytes((data / name).read_bytes())
    array = Volume(scans / "volume-0.nii.gz")
    np.save(tmp_path / "array.npy", array.read())
    spacing = ",".join(map(str, array.spacing_mm))
    out = tmp_path / "out"
    told = millrace(
        "predict", "lits", scans, tmp_path / "array.npy", "--spacing_mm", spacing,
        "--server", address, "--out", out, "--json",
    )  # fmt: skip
    assert len(json.loads(told)) == 3
    for name in ("volume-0.nii.gz", "volume-1.nii.gz"):
        assert np.array_equal(Volume(out / name).read_labels((0, 1)), bone(scans / name))
    assert np.array_equal(np.load(out / "array.npy"), bone(scans / "volume-0.nii.gz"))
    assert len((out / "volumes.csv").read_text().splitlines()) == 4
