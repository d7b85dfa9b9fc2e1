"""Why a model is trained again: what the live version was made of, against what there is now."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import components
from components.config import ConfigError
from components.example_gen.digests import data_digests
from components.export.origin import ORIGIN_FILE, STATISTICS_FILE, Origin
from components.features import LABEL, LENGTH, Feature
from components.formats.idx import write_idx
from components.registry import refusals, registry
from components.sources.idx import IdxSource
from components.task import Drift, Task
from pipelines.cli import main as cli
from pipelines.dag import fingerprint
from pipelines.dag.judge import judge
from pipelines.dag.settings import RunConfig
from pipelines.runs import drift
from pipelines.runs.local import NodeReport
from pipelines.runs.retrain import (
    NOTHING_CHANGED,
    Comparison,
    NothingExecuted,
    changes,
    check_executed,
    compare,
)
from pipelines.tasks import TASKS

MNIST = TASKS["mnist"]
LABELS = "train-labels-idx1-ubyte"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for prefix in ("train", "t10k"):
        write_idx(folder / f"{prefix}-images-idx3-ubyte", np.zeros((10, 28, 28), np.uint8))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", np.arange(10, dtype=np.uint8))
    return folder


@pytest.fixture
def config(tmp_path: Path, data: Path) -> RunConfig:
    root = tmp_path / "root"
    return RunConfig(data_dir=str(data), pipeline_root=str(root), models_dir=str(root / "models"))


def publish(config: RunConfig, task: Task = MNIST, origin: bytes | None = None, name: str = "model") -> None:
    """Publishes a model that says what a run would be made of now, or `origin`."""
    export = Path(config.pipeline_root, name)
    (export / "assets.extra").mkdir(parents=True)
    (export / "saved_model.pb").write_text(name)
    if origin is None:
        data = data_digests(task.source, config.data_dir)
        origin = Origin(data=data, **fingerprint.ingredients(task)).to_bytes()
    if origin:
        (export / ORIGIN_FILE).write_bytes(origin)
        (export / STATISTICS_FILE).write_bytes(b"")
    registry.publish(str(export), config.models_dir, task.name, metrics={}, source={}, keep_versions=5)


def reasons(config: RunConfig, task: Task = MNIST) -> tuple[str, ...]:
    return compare(task, config).reasons


def test_a_live_model_made_of_the_same_gives_no_reason(config: RunConfig) -> None:
    publish(config)
    assert compare(MNIST, config) == (1, (), None, None)


def test_nothing_published_is_a_reason(config: RunConfig) -> None:
    assert reasons(config) == ("nothing is published yet",)


def test_a_model_that_says_nothing_is_a_reason(config: RunConfig) -> None:
    publish(config, origin=b"")
    assert reasons(config) == ("version 1 does not say what it was trained on",)


def test_a_model_that_says_something_else_is_a_reason(config: RunConfig) -> None:
    publish(config, origin=b'{"data": {}, "settings": {}, "files": {}}')
    (reason,) = reasons(config)
    assert reason == "version 1 does not say as expected what it was trained on: code: Field required"


def test_files_that_changed_came_or_went_are_named(config: RunConfig, data: Path) -> None:
    publish(config)
    write_idx(data / LABELS, np.zeros(10, np.uint8))
    (data / "t10k-images-idx3-ubyte").rename(data / "t10k-images-idx3-ubyte.gz")
    (data / "notes.txt").write_text("no data")
    found = compare(MNIST, config)
    assert found.reasons == (
        "data: t10k-images-idx3-ubyte is gone",
        "data: t10k-images-idx3-ubyte.gz is new",
        f"data: {LABELS} changed",
    )
    assert found.statistics == b""


def test_a_changed_setting_is_named_with_both_values(config: RunConfig) -> None:
    publish(config)
    task = MNIST.override({"train": {"num_epochs": 5}, "model": {"filters": [4, 4]}})
    assert reasons(config, task) == (
        "settings: model.filters is [4, 4], was [32, 64]",
        "settings: train.num_epochs is 5, was 40",
    )


def test_a_run_that_does_nothing_about_a_change_is_a_failure() -> None:
    def report(*states: str) -> Any:
        return SimpleNamespace(nodes=[NodeReport("Trainer", state, 0.0) for state in states])

    found = Comparison(3, ("data: train.tsv changed",))
    with pytest.raises(
        NothingExecuted, match=r"data: train.tsv changed since version 3, but nothing was exec"
    ):
        check_executed(report("cached", "skipped"), found)
    check_executed(report("cached", "complete"), found)
    check_executed(report("cached"), Comparison(3, ()))
    check_executed(report("cached"), Comparison(None, ("nothing is published yet",)))


def test_what_does_not_change_the_model_is_no_reason(config: RunConfig) -> None:
    publish(config)
    task = MNIST.override({"blessing": {"threshold": 0.5}, "drift": {"max_distance": 0.5}})
    assert reasons(config, task) == ()


def test_settings_that_came_or_went_are_named() -> None:
    before = Origin(data={}, settings={"train": {"old": 1}}, files={}, code={})
    now = Origin(data={}, settings={"train": {"new": None}}, files={}, code={})
    assert list(changes(before, now)) == [
        "settings: train.new is null, was not there",
        "settings: train.old is not there, was 1",
    ]


def test_a_changed_source_file_is_named(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (original,) = components.__path__
    shutil.copytree(original, tmp_path / "code")
    monkeypatch.setattr(components, "__path__", [str(tmp_path / "code")])
    publish(config)
    for name in ("models/mnist_cnn.py", "models/bert/encoder.py", "evaluator/report.py"):
        with (tmp_path / "code" / name).open("a") as file:
            file.write("# changed\n")
    # The others make no model of this task.
    assert reasons(config) == ("code: components/models/mnist_cnn.py changed",)


def test_another_version_of_a_package_is_named(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(config)
    original = importlib.metadata.version
    changed = {"keras": "99.0", "tensorflow-model-analysis": "99.0"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: changed.get(name) or original(name))
    assert reasons(config) == (f"code: keras is 99.0, was {original('keras')}",)


def test_a_file_that_a_setting_names_counts_by_its_content_and_not_by_its_folder(tmp_path: Path) -> None:
    def ingredients(folder: str, *tokens: str) -> Origin:
        vocabulary = tmp_path / folder / "vocab.txt"
        vocabulary.parent.mkdir(exist_ok=True)
        vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *tokens]))
        task = TASKS["cola"].override({"preprocessing": {"vocabulary": str(vocabulary)}})
        return Origin(data={}, **fingerprint.ingredients(task))

    one = ingredients("one", "cat")
    assert list(changes(one, ingredients("two", "cat"))) == []
    assert list(changes(one, ingredients("two", "dog"))) == ["files: preprocessing/vocab.txt changed"]
    assert str(tmp_path) not in one.model_dump_json()


@pytest.fixture
def retrain(config: RunConfig, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        where = ["--data", config.data_dir, "--pipeline-root", config.pipeline_root]
        with pytest.raises(SystemExit) as stop:
            cli.main(["retrain", "mnist", *where, *arguments])
        assert isinstance(stop.value.code, int)
        return (stop.value.code, *capfd.readouterr())

    return run


def test_nothing_changed_is_an_exit_code_of_its_own_and_no_run(
    config: RunConfig, retrain: Callable[..., tuple[int, str, str]]
) -> None:
    publish(config)
    assert retrain("--if-changed") == (NOTHING_CHANGED, "nothing changed since version 1\n", "")
    code, out, err = retrain("--if-changed", "--json")
    nothing = {"since_version": 1, "reasons": [], "held_back": None}
    assert (code, json.loads(out), err) == (NOTHING_CHANGED, nothing, "")
    assert not Path(config.pipeline_root, "metadata.sqlite").exists()


def test_a_damaged_origin_is_one_line(
    config: RunConfig, retrain: Callable[..., tuple[int, str, str]]
) -> None:
    publish(config)
    file = Path(config.models_dir, "mnist/1", ORIGIN_FILE)
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"num_epochs": 40', b'"num_epochs": 41'))
    code, out, err = retrain("--if-changed")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"millrace: error: {file}: expected SHA-256 ")
    file.unlink()
    assert retrain("--if-changed")[0] == 1
    with pytest.raises(registry.CorruptVersion, match="expected a published file, got none"):
        compare(MNIST, config)


@pytest.mark.parametrize("present", [True, False])
def test_a_folder_without_data_is_one_line_and_the_users_mistake(
    config: RunConfig, data: Path, retrain: Callable[..., tuple[int, str, str]], present: bool
) -> None:
    publish(config)
    shutil.rmtree(data)
    if present:
        data.mkdir()
    code, out, err = retrain("--if-changed")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"millrace: error: {data}: expected ")
    assert not Path(config.pipeline_root, "metadata.sqlite").exists()


def test_the_question_is_answered_without_tensorflow(config: RunConfig) -> None:
    publish(config)
    arguments = ["retrain", "mnist", "--if-changed", "--data", config.data_dir]
    code = (
        "import sys; from pipelines.cli import main as cli\n"
        f"try: cli.main({[*arguments, '--pipeline-root', config.pipeline_root]})\n"
        "finally: print([name for name in ('tensorflow', 'tfx', 'apache_beam') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == NOTHING_CHANGED
    assert done.stdout.endswith("\n[]\n")


def test_what_was_rolled_back_is_not_trained_again_the_same_night(
    config: RunConfig, data: Path, retrain: Callable[..., tuple[int, str, str]]
) -> None:
    publish(config)
    write_idx(data / LABELS, np.zeros(10, np.uint8))
    publish(config, name="bad")
    assert retrain("--if-changed")[:2] == (NOTHING_CHANGED, "nothing changed since version 2\n")
    registry.rollback(config.models_dir, "mnist")
    code, out, _ = retrain("--if-changed")
    assert code == NOTHING_CHANGED
    assert re.fullmatch(
        r"nothing new: version 2, made of the same, was rolled back on \S+; --force publishes it again\n", out
    )
    code, out, _ = retrain("--if-changed", "--json")
    assert (code, json.loads(out)["reasons"]) == (NOTHING_CHANGED, [f"data: {LABELS} changed"])
    assert "was rolled back" in json.loads(out)["held_back"]
    assert not Path(config.pipeline_root, "metadata.sqlite").exists()
    write_idx(data / LABELS, np.ones(10, np.uint8))
    assert compare(MNIST, config).idle is None


def test_what_was_refused_is_not_trained_again_every_night(
    config: RunConfig, data: Path, retrain: Callable[..., tuple[int, str, str]]
) -> None:
    publish(config)
    write_idx(data / LABELS, np.zeros(10, np.uint8))
    assert compare(MNIST, config).idle is None
    origin = Origin(data=data_digests(MNIST.source, config.data_dir), **fingerprint.ingredients(MNIST))
    refusals.remember(
        config.models_dir, "mnist", origin.digest, judge(MNIST, config), "accuracy 0.1 is below 0.9"
    )
    code, out, _ = retrain("--if-changed")
    assert code == NOTHING_CHANGED
    assert re.fullmatch(r"nothing new: equal training was refused on \S+: accuracy 0\.1 is below 0\.9\n", out)
    # Another judge may find otherwise.
    milder = MNIST.override({"blessing": {"threshold": 0.05}})
    assert compare(milder, config).idle is None


def statistics(task: Task, **columns: list[Any]) -> bytes:
    import pandas
    import tensorflow_data_validation as tfdv

    from components.example_gen.schema import to_schema

    options = tfdv.StatsOptions(schema=to_schema(task.source.features))
    found = tfdv.generate_statistics_from_dataframe(pandas.DataFrame(columns), options)
    return bytes(found.SerializeToString())


TENTHS = list(range(10))


def test_a_share_that_moved_too_far_is_drift_and_named() -> None:
    before = statistics(MNIST, label=TENTHS)
    # Of ten labels three more are 7, which had a tenth: 0.4 - 0.1.
    now = statistics(MNIST, label=[7, 7, 7, *TENTHS[3:]])
    assert drift.measure(MNIST, before, now) == ["label: L-infinity distance 0.3 > 0.05, most of all '7'"]
    assert drift.measure(MNIST, before, before) == []


@pytest.mark.parametrize(
    ("limits", "found"),
    [({"max_distance": 0.35}, 0), ({"by_feature": {LABEL: 0.35}}, 0), ({"by_feature": {LABEL: 0.25}}, 1)],
)
def test_how_far_is_too_far_the_task_says(limits: dict[str, Any], found: int) -> None:
    task = MNIST.override({"drift": limits})
    before, now = (statistics(task, label=labels) for labels in (TENTHS, [7, 7, 7, *TENTHS[3:]]))
    assert len(drift.measure(task, before, now)) == found


def test_texts_are_not_compared_but_their_lengths_are() -> None:
    cola = TASKS["cola"]
    assert cola.comparable == (LABEL, LENGTH)
    before = statistics(cola, label=[0, 1], text_a=["a", "b"], length=["1-32", "1-32"])
    now = statistics(cola, label=[0, 1], text_a=["c", "d"], length=["1-32", "33-64"])
    (line,) = drift.measure(cola, before, now)
    assert line.startswith("length: L-infinity distance 0.5 > 0.05")


class WithWeight(IdxSource):
    """Images that come with a quantity."""

    @property
    def features(self) -> dict[str, Feature]:
        return {**super().features, "weight": Feature(dtype="float32")}


def test_quantities_are_compared_by_their_histograms() -> None:
    task = MNIST.model_copy(update={"source": WithWeight()})
    before = statistics(task, label=[0] * 4, weight=[0.0, 0.0, 0.0, 1.0])
    now = statistics(task, label=[0] * 4, weight=[0.0, 1.0, 1.0, 1.0])
    # The entropy of the mean less the mean entropy, in bits: H(1/2) - H(1/4) = 1 - 0.811.
    (line,) = drift.measure(task, before, now)
    assert line == "weight: Jensen-Shannon divergence 0.189 > 0.05"


def test_a_limit_for_what_is_not_compared_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown comparable feature 'image'; known: label"):
        MNIST.override({"drift": {"by_feature": {"image": 0.1}}})
    with pytest.raises(ConfigError, match=r"drift.by_feature.label: .*less than or equal to 1"):
        MNIST.override({"drift": {"by_feature": {"label": 1.5}}})
    assert Drift(by_feature={"label": 0.3}).limit("length") == 0.05
