"""A checkpoint that only the pods have: compiled without it, trained with it, as Kubeflow Pipelines does."""

import json
from pathlib import Path
from typing import Any

import pytest
from kfp_launcher import Launcher

from components.models.bert.config import BertConfig
from components.models.bert.encoder import build_encoder
from components.models.bert.weights.writers import write_huggingface
from components.registry import registry
from pipelines.dag.settings import Overrides
from pipelines.kubeflow.compiled import cluster_config, compile_task
from pipelines.tasks import TASKS

pytestmark = pytest.mark.slow

# With fewer positions than windows of squad's settings are long, and upper case, which the defaults lack.
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "A", "cat", "dog", "sat", "."]
ENCODER = BertConfig(
    vocabulary_size=len(TOKENS),
    hidden_dim=16,
    num_layers=1,
    num_heads=2,
    intermediate_dim=16,
    max_positions=64,
)
ROWS = ["A cat sat .", "A dog sat .", "cat A sat .", "dog A sat ."]


def write_cola(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, count in (("train", 24), ("dev", 8)):
        rows = [f"made\t{1 - i % 4 // 2}\t\t{ROWS[i % 4]}\n" for i in range(count)]
        (folder / f"{name}.tsv").write_text("".join(rows), encoding="utf-8")


def write_checkpoint(folder: Path) -> None:
    vocabulary = folder.with_name("vocab.txt")
    vocabulary.write_text("\n".join(TOKENS) + "\n")
    write_huggingface(build_encoder(ENCODER), ENCODER, str(folder), str(vocabulary))


def settings(volume: Path) -> Overrides:
    return {
        "model": {"init_checkpoint": str(volume / "bert"), "freeze_layers": 1},
        "preprocessing": {"max_sequence_length": 32},
        "train": {"num_epochs": 1, "global_batch_size": 8},
        "blessing": {"threshold": -1.0},
        "cluster": {"volume": {"mount_path": str(volume)}},
    }


def test_what_follows_from_it_is_taken_in_the_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume, task = tmp_path / "volume", TASKS["cola"]
    write_cola(volume / "data/cola")
    changes = settings(volume)
    compiled = compile_task(task, cluster_config(task, changes), changes, "millrace:test")
    write_checkpoint(volume / "bert")
    Launcher(compiled.yaml, tmp_path / "kfp", monkeypatch).run()
    live = registry.live(str(volume / "models"), "cola")
    assert live is not None
    folder = Path(live.path)
    assert (folder / "assets/vocabulary.txt").read_text().split() == TOKENS
    made_of: dict[str, Any] = json.loads((folder / "assets.extra/origin.json").read_text())
    assert made_of["settings"]["preprocessing"]["lower_case"] is False
    assert made_of["settings"]["model"]["init_checkpoint"] == "bert"
    assert {"model/model.safetensors", "preprocessing/vocab.txt"} <= made_of["files"].keys()


def test_a_checkpoint_that_is_nowhere_ends_the_first_node_that_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    volume, task = tmp_path / "volume", TASKS["cola"]
    write_cola(volume / "data/cola")
    changes = settings(volume)
    compiled = compile_task(task, cluster_config(task, changes), changes, "millrace:test")
    with pytest.raises(AssertionError, match="transform: exit code 1"):
        Launcher(compiled.yaml, tmp_path / "kfp", monkeypatch).run()
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{volume}/bert: expected" in last
    assert last.endswith(" (a mistake in what was given)")
