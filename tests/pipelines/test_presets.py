"""Presets: each applies to its task, says what it is, and is what its name says."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.config import ConfigError
from components.models.bert.pretraining import BertPretraining
from components.models.segmentation import Segmentation
from components.models.unet import NNUNET_3D, UNET_2D, UNET_3D, UNet
from components.task import Task
from pipelines import presets
from pipelines.dag.settings import RunConfig, apply_overrides, read_overrides
from pipelines.tasks import TASKS

RUN = RunConfig(data_dir="data", pipeline_root="root", models_dir="root/models")
ALL = [(task, name) for task in TASKS for name in presets.names(task)]


def applied(task: str, name: str) -> Task:
    overrides = read_overrides(presets.located(task, [Path(name)]), ())
    return apply_overrides(TASKS[task], RUN, overrides)[0]


def test_the_presets_of_a_task_are_known() -> None:
    assert presets.names("lits") == ["nnunet", "unet2d", "unet3d"]
    assert presets.names("pretraining") == ["base", "mini", "small"]
    assert presets.names("cola") == []


@pytest.mark.parametrize(("task", "name"), ALL)
def test_a_preset_says_what_it_is_and_why(task: str, name: str) -> None:
    assert presets.summary(task, name).endswith(".")
    (path,) = presets.located(task, [Path(name)])
    lines = path.read_text().splitlines()
    assert all(len(line) <= 110 for line in lines)
    # Each setting, or what follows from it, stands below a comment.
    sections = [number for number, line in enumerate(lines) if line[0].isalpha()]
    assert all(lines[number + 1].startswith("  #") for number in sections)


@pytest.mark.parametrize(("task", "name"), ALL)
def test_a_preset_applies_to_its_task_and_changes_it(task: str, name: str) -> None:
    assert applied(task, name) != TASKS[task]


@pytest.mark.parametrize(
    ("name", "network"), [("unet2d", UNET_2D), ("unet3d", UNET_3D), ("nnunet", NNUNET_3D)]
)
def test_the_network_of_a_preset_is_the_one_of_its_name(name: str, network: UNet) -> None:
    model = applied("lits", name).model
    assert isinstance(model, UNet)
    differing = {key for key in type(network).model_fields if getattr(model, key) != getattr(network, key)}
    assert differing == ({"dropout_rate"} if name == "unet2d" else set())


@pytest.mark.parametrize("name", presets.names("lits"))
def test_the_network_of_a_preset_is_built(name: str) -> None:
    model = applied("lits", name).model
    assert isinstance(model, Segmentation)
    # The least that its levels divide; it has as many weights as for whole patches.
    network = model.override({"patch_size": model.divisors}, "model").build()
    outputs = network.output if model.deep_supervision else {"logits": network.output}
    assert outputs.keys() == set(model.outputs)
    assert outputs["logits"].shape == (None, *model.divisors, 3)


@pytest.mark.parametrize(("name", "shape"), [("mini", (4, 128)), ("small", (4, 512)), ("base", (12, 768))])
def test_an_encoder_has_the_shape_of_its_name(name: str, shape: tuple[int, int]) -> None:
    task = applied("pretraining", name)
    model = task.model
    assert isinstance(model, BertPretraining)
    encoder = model.encoder
    assert (encoder.num_layers, encoder.hidden_dim) == shape
    # As in google-research/bert's models of any size.
    assert encoder.num_heads == encoder.hidden_dim // 64
    assert encoder.intermediate_dim == 4 * encoder.hidden_dim
    assert encoder.vocabulary_size == getattr(task.preprocessing, "vocabulary_size", None)


def test_an_encoder_of_a_preset_is_built() -> None:
    network = applied("pretraining", "mini").model.build()
    assert network.output["masked_lm"].shape == (None, None, 8000)


def test_a_file_wins_over_a_preset_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unet2d").mkdir()
    (packaged,) = presets.located("lits", [Path("unet2d")])
    assert packaged.name == "unet2d.yaml"
    (tmp_path / "unet3d").write_text("train: {seed: 1}\n")
    assert presets.located("lits", [Path("unet3d"), Path("a/b"), Path("x.yaml")]) == [
        Path("unet3d"),
        Path("a/b"),
        Path("x.yaml"),
    ]


def test_an_unknown_preset_lists_those_of_the_task() -> None:
    with pytest.raises(ConfigError, match=r"no such file, and unknown preset 'unet'.*nnunet, unet2d, unet3d"):
        presets.located("lits", [Path("unet")])
    with pytest.raises(ConfigError, match="--config base: no such file, and cola has no presets"):
        presets.located("cola", [Path("base")])
