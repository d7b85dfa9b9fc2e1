"""The whole DAG on a few dozen images, with two Beam workers, in one process."""

import hashlib
import importlib.metadata
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.errors import UserError
from components.export.origin import ORIGIN_FILE, STATISTICS_FILE
from components.formats.idx import write_idx
from components.registry import registry
from pipelines.dag import fingerprint, nodes
from pipelines.dag.settings import RunConfig, apply_overrides
from pipelines.runs import cleaning, explain, history, lock, record
from pipelines.runs.record import Asked
from pipelines.tasks import TASKS

pytestmark = pytest.mark.slow

# Learned quickly by a network of a few thousand weights.
SETTINGS: dict[str, dict[str, Any]] = {
    "model": {"filters": [4, 4], "hidden_dim": 16, "dropout_rate": 0.0},
    "train": {"num_epochs": 12, "learning_rate": 0.01, "global_batch_size": 10},
    "blessing": {"threshold": 0.5},
}
BEAM = {"runner": "DirectRunner", "direct_num_workers": "2", "direct_running_mode": "multi_threading"}


def stripes(count: int, seed: int) -> tuple[Any, Any]:
    """Returns images whose label says which of ten pairs of rows is bright."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 10).astype(np.uint8)
    images = random.integers(0, 60, (count, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[label * 2 + 4 : label * 2 + 6] += 180
    return images, labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, count in (("train", 60), ("t10k", 30)):
        images, labels = stripes(count, seed=count)
        write_idx(folder / f"{name}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def execute(data: Path, root: Path) -> Callable[..., Any]:
    from pipelines.runs.local import run

    def execute_with(changes: dict[str, dict[str, Any]] | None = None, **options: Any) -> Any:
        overrides = {name: {**SETTINGS.get(name, {}), **(changes or {}).get(name, {})} for name in
                     {*SETTINGS, *(changes or {})}}  # fmt: skip
        config = RunConfig(
            data_dir=str(options.pop("data", data)),
            pipeline_root=str(root),
            models_dir=str(root / "models"),
            beam=options.pop("beam", BEAM),
            enable_cache=options.pop("enable_cache", True),
        )
        task, config = apply_overrides(TASKS["mnist"], config, overrides)
        return run(task, config, **options)

    return execute_with


@pytest.fixture(scope="module")
def first(execute: Callable[..., Any]) -> Any:
    return execute()


def states(report: Any) -> dict[str, str]:
    return {node.node: node.state for node in report.nodes}


def test_every_node_runs_and_a_model_is_published(first: Any, root: Path) -> None:
    assert states(first) == dict.fromkeys(nodes.NODES, "complete")
    assert (first.blessed, first.canary_reason, first.pushed_version) == (True, None, 1)
    assert (root / "models/mnist/1/saved_model.pb").is_file()
    assert json.loads((root / "models/mnist/latest.json").read_text())["version"] == 1


def test_the_published_folder_has_the_models_card(first: Any, root: Path) -> None:
    extra = root / "models/mnist/1/assets.extra"
    card = (extra / "card.md").read_text()
    assert card.startswith("# mnist\n\n## Quality\n\n| Metric | This model | 95% interval |\n")
    assert "| train.num_epochs | 12 |" in card
    page = (extra / "card.html").read_text()
    assert "<h2>Learning curves</h2>" in page
    # Of the data nothing is published, while the report shows the worst examples.
    assert "<img" not in page
    assert "<h2>Worst mistakes</h2>" in Path(first.evaluation_dir, "report.html").read_text()
    # It is no part of what equal models have in common.
    version = registry.verify(str(root / "models/mnist/1"))
    assert not {"assets.extra/card.md", "assets.extra/card.html"} & version.files.keys()


def test_the_splits_are_those_of_the_files(first: Any, root: Path) -> None:
    import tensorflow as tf

    counts = {}
    for split in (root / "artifacts/mnist/ExampleGen/examples").glob("*/Split-*"):
        files = [str(file) for file in split.iterdir()]
        records = tf.data.TFRecordDataset(files, compression_type="GZIP")
        counts[split.name] = sum(1 for _ in records)
    assert counts == {"Split-train": 60, "Split-eval": 30}


def test_the_served_model_answers_every_signature_alike(first: Any, data: Path) -> None:
    import tensorflow as tf

    images, labels = stripes(30, seed=30)
    signatures = tf.saved_model.load(first.pushed_dir).signatures
    pngs = tf.stack([tf.io.encode_png(image[..., None]) for image in images])
    examples = [example_of(image) for image in images]
    answers = [
        signatures["classify"](image=tf.constant(images / np.float32(255), tf.float32)),
        signatures["png"](png_bytes=pngs),
        signatures["serving_default"](examples=tf.constant(examples)),
    ]
    for answer in answers:
        assert answer["classes"].dtype == tf.int64
        np.testing.assert_allclose(answer["probabilities"], answers[0]["probabilities"], atol=1e-6)
        np.testing.assert_allclose(answer["probabilities"].numpy().sum(axis=1), 1, atol=1e-5)
    metrics = json.loads(Path(first.evaluation_dir, "metrics.json").read_text())["metrics"]
    assert metrics["accuracy"] == pytest.approx(np.mean(answers[0]["classes"].numpy() == labels))


def example_of(image: Any) -> bytes:
    import tensorflow as tf

    pixels = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()]))
    features = tf.train.Features(feature={"image": pixels})
    return bytes(tf.train.Example(features=features).SerializeToString())


def test_the_warm_up_requests_are_for_every_signature_and_hold_the_answers(first: Any) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    path = Path(first.pushed_dir, "assets.extra/tf_serving_warmup_requests")
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record).predict_log
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    assert {log.request.model_spec.signature_name for log in logs} == {"serving_default", "classify", "png"}
    probabilities = [tf.make_ndarray(log.response.outputs["probabilities"]) for log in logs]
    assert all(values.shape == (8, 10) for values in probabilities)


def test_the_model_says_what_it_was_trained_on(first: Any, data: Path) -> None:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    origin = json.loads(Path(first.pushed_dir, ORIGIN_FILE).read_text())
    names = (f"{p}-{n}" for p in ("train", "t10k") for n in ("images-idx3-ubyte.gz", "labels-idx1-ubyte"))
    assert origin["data"] == {name: hashlib.sha256((data / name).read_bytes()).hexdigest() for name in names}
    assert origin["settings"]["train"]["num_epochs"] == 12
    assert {
        "components/formats/idx.py", "components/models/mnist_cnn.py", "components/trainer/loop.py", "keras"
    } <= set(origin["code"])  # fmt: skip
    content = Path(first.pushed_dir, STATISTICS_FILE).read_bytes()
    (dataset,) = statistics_pb2.DatasetFeatureStatisticsList.FromString(content).datasets
    (label,) = dataset.features
    counts = {bucket.label: bucket.sample_count for bucket in label.string_stats.rank_histogram.buckets}
    assert counts == {str(digit): 6 for digit in range(10)}


def test_a_finished_training_leaves_no_checkpoints_behind(first: Any, root: Path) -> None:
    assert list((root / "unfinished").rglob("ckpt*")) == []


def test_a_second_run_reuses_every_execution(first: Any, execute: Callable[..., Any]) -> None:
    again = execute()
    assert states(again) == dict.fromkeys(nodes.NODES, "cached")
    assert again.pushed_version == 1
    assert again.evaluation_dir == first.evaluation_dir


def test_a_run_remembers_what_made_it(first: Any, root: Path, data: Path) -> None:
    run = history.find_run(str(root), first.run_id)
    made_by = record.read_record(run)
    assert made_by.settings["train"]["learning_rate"] == 0.01
    assert {"train.num_epochs", "model.filters", "blessing.threshold"} <= set(made_by.changed)
    assert "train.seed" not in made_by.changed
    assert (made_by.data_dir, made_by.machine and made_by.machine.accelerators) == (str(data), ())
    assert made_by.packages["keras"] == importlib.metadata.version("keras")
    assert run.data["counts"] == {"train": 60, "eval": 30}
    assert run.data["digests"].keys() == {file.name for file in data.iterdir()}
    assert "components/trainer/loop.py" in run.code


def test_a_run_that_fails_at_once_has_told_what_it_was_for(
    first: Any, execute: Callable[..., Any], root: Path, data: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(data, tmp_path / "broken")
    (broken / "train-labels-idx1-ubyte").write_bytes(b"no labels")
    with pytest.raises(Exception, match="train-labels"):
        execute(data=broken, asked=Asked(("millrace", "run"), {}, "doomed", ("bad",)))
    run = history.find_run(str(root), "doomed")
    assert (run.state, record.read_record(run).tags) == ("failed", ("bad",))
    assert history.read_runs(str(root), tags=["bad"]) == (run,)


def foreseen(root: Path, data: Path, changes: dict[str, Any], **options: Any) -> dict[str, tuple[str, str]]:
    from pipelines.runs.foresee import foresee

    overrides = {name: {**SETTINGS.get(name, {}), **changes.get(name, {})} for name in {*SETTINGS, *changes}}
    config = RunConfig(data_dir=str(data), pipeline_root=str(root), models_dir=str(root / "models"))
    task, config = apply_overrides(TASKS["mnist"], config, overrides)
    config = config.model_copy(update={"enable_cache": options.pop("enable_cache", True)})
    return {node.node: (node.will, node.why) for node in foresee(task, config, **options)}


def test_what_a_run_would_do_is_foreseen(
    first: Any, execute: Callable[..., Any], root: Path, data: Path, tmp_path: Path
) -> None:
    # The last run is what a part of one goes on from.
    execute()
    before = sorted(path for path in root.rglob("*") if path.is_file())
    same = foreseen(root, data, {})
    assert {will for will, _ in same.values()} == {"reuse"}
    seed = foreseen(root, data, {"train": {"seed": 5}})
    assert [node for node, (will, _) in seed.items() if will == "reuse"] == list(nodes.NODES[:5])
    assert seed[nodes.TRAINER][1].startswith("train.seed is 5, was ")
    assert seed[nodes.PUSHER][1].startswith("input model is made anew")
    later = foreseen(root, data, {"push": {"keep_versions": 4}})
    assert [node for node, (will, _) in later.items() if will == "execute"] == [nodes.PUSHER]
    assert later[nodes.PUSHER][1] == "keep_versions is 4, was 5"
    copy = shutil.copytree(data, tmp_path / "copy")
    other = foreseen(root, copy, {})
    # The schema is declared.
    assert [node for node, (will, _) in other.items() if will == "reuse"] == [nodes.SCHEMA_GEN]
    assert other[nodes.EXAMPLE_GEN][1].endswith("the files of the data changed")
    uncached = foreseen(root, data, {}, enable_cache=False)
    assert set(uncached.values()) == {("execute", "the cache is not asked")}
    part = foreseen(root, data, {}, from_node=nodes.TRAINER, until_node=nodes.EVALUATOR)
    assert [will for will, _ in part.values()] == ["skip"] * 5 + ["reuse"] * 3 + ["skip"] * 2
    # Nothing was written, and it comes as foreseen.
    assert sorted(path for path in root.rglob("*") if path.is_file()) == before
    assert states(execute()) == dict.fromkeys(nodes.NODES, "cached")


def test_where_nothing_has_run_everything_is_foreseen_to_be_executed(data: Path, tmp_path: Path) -> None:
    told = foreseen(tmp_path, data, {})
    assert told[nodes.EXAMPLE_GEN] == ("execute", explain.NEVER)
    assert told[nodes.TRAINER][1].startswith("input examples is made anew")


def test_how_beam_spreads_the_work_is_nothing_new(first: Any, execute: Callable[..., Any]) -> None:
    alone = {"runner": "DirectRunner", "direct_num_workers": "1"}
    assert states(execute(beam=alone)) == dict.fromkeys(nodes.NODES, "cached")


def test_changed_code_redoes_the_nodes_that_run_it(
    first: Any, execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    changed = {"components/evaluator/report.py": "0" * 16, "tensorflow-model-analysis": "9.9.9"}
    original = fingerprint.code

    def code(modules: Any, packages: Any = ()) -> dict[str, str]:
        found = original(modules, packages)
        return {**found, **{name: changed[name] for name in changed if name in found}}

    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "code", code)
        report = execute()
        runs = history.read_runs(str(root), "mnist")
    executed = {node for node, state in states(report).items() if state != "cached"}
    assert executed == {nodes.EVALUATOR, nodes.CANARY, nodes.PUSHER}
    version = importlib.metadata.version("tensorflow-model-analysis")
    why = explain.explain(runs)
    assert why[nodes.EVALUATOR] == (
        f"components/evaluator/report.py changed; tensorflow-model-analysis is 9.9.9, was {version}"
    )
    assert why[nodes.CANARY] == "input model_blessing is another one"
    # The model is live already.
    assert report.pushed_version == 1


def test_a_changed_setting_redoes_only_what_depends_on_it(
    first: Any, execute: Callable[..., Any], root: Path
) -> None:
    report = execute({"train": {"seed": 1}})
    assert states(report)[nodes.TRANSFORM] == "cached"
    assert states(report)[nodes.TRAINER] == "complete"
    why = explain.explain(history.read_runs(str(root), "mnist"))
    assert why[nodes.TRAINER] == "train.seed is 1, was 0"
    assert why[nodes.LATEST_BLESSED_MODEL] == (
        "input candidate is another one; another version is there to compare with"
    )
    metrics = json.loads(Path(report.evaluation_dir, "metrics.json").read_text())
    # The model of the first run is what this one is compared with.
    assert metrics["baseline_metrics"]["accuracy"] >= 0.5


def test_a_model_under_the_threshold_is_not_published(
    first: Any, execute: Callable[..., Any], root: Path
) -> None:
    live = (root / "models/mnist/latest.json").read_text()
    told: list[tuple[str, str]] = []
    refuse = {"blessing": {"threshold": 1.5}}
    report = execute(refuse, on_node=lambda node: told.append((node.node, node.state)))
    assert states(report)[nodes.TRAINER] == "cached"
    assert (report.blessed, report.pushed_version) == (False, None)
    # Both run, and find that there is nothing to do; also where that is remembered.
    for shown in (states(report), dict(told), states(execute(refuse))):
        assert (shown[nodes.CANARY], shown[nodes.PUSHER]) == ("skipped", "skipped")
    reasons = json.loads(Path(report.evaluation_dir, "metrics.json").read_text())["reasons"]
    assert any("below 1.5" in reason for reason in reasons)
    assert (root / "models/mnist/latest.json").read_text() == live


def test_a_run_can_end_early_and_another_can_go_on_from_there(
    first: Any, execute: Callable[..., Any]
) -> None:
    settings = {"train": {"seed": 2}}
    until = execute(settings, until_node=nodes.TRAINER)
    assert states(until)[nodes.TRAINER] == "complete"
    assert states(until)[nodes.EVALUATOR] == "skipped"
    assert (until.blessed, until.pushed_version) == (None, None)
    on = execute(settings, from_node=nodes.EVALUATOR)
    assert states(on)[nodes.TRAINER] == "skipped"
    assert states(on)[nodes.EVALUATOR] == "complete"
    assert on.blessed is not None


def test_going_on_from_where_no_run_ended_is_refused(first: Any, execute: Callable[..., Any]) -> None:
    execute(until_node=nodes.TRANSFORM)
    with pytest.raises(UserError, match="--from Pusher: the last run has nothing to go on from"):
        execute(from_node=nodes.PUSHER)


def test_going_on_passes_over_a_run_that_was_removed(
    first: Any, execute: Callable[..., Any], root: Path
) -> None:
    settings = {"train": {"seed": 4}}
    before = execute(until_node=nodes.TRAINER)
    execute(settings, until_node=nodes.TRAINER)
    cleaning.remove(str(root), lambda: cleaning.of_runs(str(root), ["latest"]))
    on = execute(from_node=nodes.EVALUATOR)
    assert states(on)[nodes.EVALUATOR] in ("complete", "cached")
    assert on.model_dir == before.model_dir


def test_from_after_until_is_refused(execute: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="--from Pusher comes after --until Trainer"):
        execute(from_node=nodes.PUSHER, until_node=nodes.TRAINER)


def test_damaged_data_fails_the_run_and_leaves_no_examples(
    first: Any, execute: Callable[..., Any], data: Path, tmp_path: Path, root: Path
) -> None:
    for file in data.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0b")
    before = set((root / "artifacts/mnist/ExampleGen/examples").glob("*/Split-*"))
    reports: list[Any] = []
    with pytest.raises(Exception, match=r"train-labels-idx1-ubyte: .*11"):
        execute(data=tmp_path, on_node=reports.append)
    assert reports[-1][:2] == (nodes.EXAMPLE_GEN, "failed")
    assert set((root / "artifacts/mnist/ExampleGen/examples").glob("*/Split-*")) == before


def test_what_was_published_and_is_gone_is_published_again(
    first: Any, execute: Callable[..., Any], root: Path
) -> None:
    shutil.rmtree(root / "models")
    report = execute()
    assert states(report)[nodes.TRAINER] == "cached"
    assert (report.pushed_version, report.live_version) == (1, 1)
    assert (root / "models/mnist/1/saved_model.pb").is_file()


def test_artifacts_that_were_deleted_break_no_later_run(
    first: Any, execute: Callable[..., Any], root: Path
) -> None:
    for folder in (root / "artifacts/mnist/Trainer/model").iterdir():
        shutil.rmtree(folder)
    report = execute({"train": {"seed": 3}})
    metrics = json.loads(Path(report.evaluation_dir, "metrics.json").read_text())
    assert metrics["baseline_metrics"]["accuracy"] >= 0.5


def test_what_was_rolled_back_is_not_published_again_unless_forced(
    first: Any, execute: Callable[..., Any], root: Path
) -> None:
    settings = {"train": {"seed": 4}, "blessing": {"max_drop": 1.0}}
    published = execute(settings)
    assert published.pushed_version == published.live_version
    registry.rollback(str(root / "models"), "mnist")
    report = execute(settings)
    assert (report.pushed_version, report.live_version) == (None, published.live_version + 1)
    assert "was rolled back on" in report.push_reason
    assert states(execute(settings))[nodes.PUSHER] == "skipped"
    forced = execute({**settings, "push": {"force": True}})
    assert forced.pushed_version == forced.live_version == published.live_version + 2


def test_a_refused_model_is_remembered(first: Any, execute: Callable[..., Any], root: Path) -> None:
    execute({"blessing": {"threshold": 1.6}})
    refusal = json.loads((root / "models/mnist/refused.json").read_text())[-1]
    assert "below 1.6" in refusal["reason"]


def test_a_training_that_is_not_published_yet_is_taken_up_by_another_run(
    first: Any, execute: Callable[..., Any], root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"train": {"seed": 4, "stop_threshold": 0.5}, "blessing": {"max_drop": 1.0}}
    execute(settings, until_node=nodes.TRAINER)
    before = newest_results(root)
    # MNIST's own test images both end this training and bless its model.
    assert before["saw_blessing_split"] == ["train.stop_threshold"]
    assert (root / "unfinished/mnist" / before["unfinished"] / "checkpoints").is_dir()
    with caplog.at_level(logging.INFO, "components"):
        # All nodes have new outputs then, on which no later run's cache knows anything.
        report = execute(settings, enable_cache=False)
    assert states(report)[nodes.TRAINER] == "complete"
    assert f"resumed at step {before['num_steps']} of 72" in caplog.text
    assert newest_results(root) == before
    assert report.pushed_version is not None
    assert not (root / "unfinished/mnist" / before["unfinished"]).exists()


def newest_results(root: Path) -> Any:
    files = (root / "artifacts/mnist/Trainer/model").glob("*/Format-Serving/assets.extra/millrace.json")
    return json.loads(max(files, key=lambda file: file.stat().st_mtime).read_text())


def test_two_runs_in_one_root_are_refused(execute: Callable[..., Any], root: Path) -> None:
    with lock.held(str(root)), pytest.raises(UserError, match="another run is using this pipeline root"):
        execute()


def test_the_watcher_leaves_logging_as_it_was(first: Any) -> None:
    import absl.logging

    assert not [h for h in absl.logging.get_absl_logger().handlers if "_Watcher" in type(h).__name__]
    assert isinstance(logging.getLogger(), logging.Logger)
