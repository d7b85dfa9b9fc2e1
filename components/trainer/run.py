"""What the Trainer node does: train, export, keep the logs."""

from __future__ import annotations

import json
import logging
import os
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_transform as tft

from components.examples import to_example
from components.export.calibration import Calibration, calibrate
from components.export.origin import Origin, write_origin
from components.export.results import CURVES, SAW_BLESSING_SPLIT, UNFINISHED
from components.export.saved_model import export
from components.protocols import VALIDATION, ReadsAssets
from components.task import Task
from components.trainer import hosts, unfinished
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.strategies import wait_for_all
from components.trainer.train import TrainResult, start, train

NUM_WARMUP_EXAMPLES = 8

logger = logging.getLogger(__name__)


class TrainerFiles(NamedTuple):
    """What the Trainer reads and writes; file patterns and directories."""

    train_examples: Iterable[str]
    eval_examples: Iterable[str]
    raw_examples: Iterable[str]
    # One file each: SHA-256 sums of the raw files by name and numbers of examples by split, as JSON, and a
    # DatasetFeatureStatisticsList.
    data_digests: str
    counts: str
    statistics: str
    transform_graph: str
    model_dir: str
    log_dir: str
    # Checkpoints of trainings whose models are not published, where the next attempt finds them.
    unfinished_dir: str


def run(task: Task, files: TrainerFiles, ingredients: Mapping[str, Any]) -> None:
    """Trains a task and writes a servable model to `model_dir`; `ingredients` is its Origin without data.

    Of several processes the chief alone writes, and all end together.
    """
    origin = Origin(data=json.loads(_read(files.data_digests)), **ingredients)
    name = unfinished.name_of(origin)
    start(task.train)
    if hosts.is_chief():
        unfinished.sweep(files.unfinished_dir, name)
    task = _with_assets(task, files.transform_graph)
    result, seeds = _train(task, files, os.path.join(files.unfinished_dir, name))
    if hosts.is_chief():
        _write_model(task, files, origin, result, seeds)
    # The end of one process is a failure to the others, and so to the chief in the middle of its export.
    wait_for_all()


def _write_model(
    task: Task, files: TrainerFiles, origin: Origin, result: TrainResult, seeds: SeedsReport | None
) -> None:
    """Writes the servable model, what it was made of, and how it was trained."""
    transform = tft.TFTransformOutput(files.transform_graph)
    calibration = calibrate(task, result.weights, transform, _glob(files.raw_examples))
    results = {
        "task": task.name,
        "metrics": dict(result.metrics),
        "num_steps": result.num_steps,
        "kept_step": result.kept_step,
        "train": task.train.model_dump(mode="json"),
        "seeds": seeds._asdict() if seeds else None,
        CURVES: result.curves,
        "chosen": calibration.chosen,
        SAW_BLESSING_SPLIT: _saw_blessing_split(task, result, calibration),
        # The Pusher removes it; until then, another attempt need not train again.
        UNFINISHED: unfinished.name_of(origin),
    }
    examples = _warm_up_examples(task, files)
    export(calibration.task, result.weights, transform, examples, results, files.model_dir)
    write_origin(origin, _read(files.statistics), task.comparable, files.model_dir)
    with tf.io.gfile.GFile(os.path.join(files.log_dir, "results.json"), "w") as file:
        file.write(json.dumps(results, indent=2))


def _with_assets(task: Task, transform_graph: str) -> Task:
    """Returns the task with what its windows take from the files of the transform graph."""
    if not isinstance(task.windowing, ReadsAssets):
        return task
    folder = os.path.join(transform_graph, tft.TFTransformOutput.TRANSFORM_FN_DIR, "assets")
    return task.model_copy(update={"windowing": task.windowing.with_assets(folder)})


def _train(task: Task, files: TrainerFiles, working_dir: str) -> tuple[TrainResult, SeedsReport | None]:
    counts = json.loads(_read(files.counts))
    train_examples, eval_examples = (
        _examples(task, patterns, counts[split], files.transform_graph)
        for split, patterns in (("train", files.train_examples), ("eval", files.eval_examples))
    )
    if task.train.num_seeds > 1:
        return train_seeds(task, train_examples, eval_examples, working_dir, files.log_dir)
    return train(task, train_examples, eval_examples, working_dir, files.log_dir), None


def _examples(task: Task, patterns: Iterable[str], count: int, transform_graph: str) -> ExampleFiles:
    """Returns examples as they come to the Trainer: transformed, or raw where they are not materialized."""
    names, multiple = _glob(patterns), task.train.pad_to_multiple_of
    transform = tft.TFTransformOutput(transform_graph)
    if task.preprocessing.materialized:
        return ExampleFiles(names, transform.transformed_feature_spec(), count, multiple)
    layer = _TransformLayer(transform_graph)
    return ExampleFiles(names, transform.raw_feature_spec(), count, multiple, layer)


class _TransformLayer:
    """What makes features of raw ones; in another process it is read from its files."""

    def __init__(self, transform_graph: str) -> None:
        self._transform_graph = transform_graph
        self._layer = tft.TFTransformOutput(transform_graph).transform_features_layer()

    def __call__(self, raw: dict[str, Any]) -> dict[str, Any]:
        return dict(self._layer(raw))

    def __reduce__(self) -> tuple[type[_TransformLayer], tuple[str]]:
        return _TransformLayer, (self._transform_graph,)


def _saw_blessing_split(task: Task, result: TrainResult, calibration: Calibration) -> list[str]:
    """Returns what was decided on the very split that blesses the model."""
    if task.source.evaluation_split != VALIDATION:
        return []
    config = task.train
    decided = {
        "train.stop_threshold": result.stopped_early and config.stop_threshold is not None,
        "train.patience": result.stopped_early and config.patience is not None,
        "train.keep": config.keep == "best",
        "train.num_seeds": config.num_seeds > 1,
    }
    decided |= {f"the choice of {name}": value is not None for name, value in calibration.chosen.items()}
    return [what for what, is_so in decided.items() if is_so]


class SeedsReport(NamedTuple):
    """How the blessing's metric came out on the eval split, by seed, and which seed's model was kept."""

    metric: str
    values: dict[int, float]
    mean: float
    standard_deviation: float
    kept: int


def train_seeds(
    task: Task, train_examples: ExampleFiles, eval_examples: ExampleFiles, working_dir: str, log_dir: str
) -> tuple[TrainResult, SeedsReport]:
    """Trains once for each seed and returns the result of median quality: the lower one of an even number."""
    metric = task.blessing.metric
    by_seed: dict[int, TrainResult] = {}
    for seed in range(task.train.seed, task.train.seed + task.train.num_seeds):
        logger.info("seed %d, %d of %d", seed, len(by_seed) + 1, task.train.num_seeds)
        by_seed[seed] = train(
            task.override({"train": {"seed": seed}}),
            train_examples,
            eval_examples,
            os.path.join(working_dir, f"seed-{seed}"),
            os.path.join(log_dir, f"seed-{seed}"),
        )
    values = {seed: float(result.metrics[metric]) for seed, result in by_seed.items()}
    median = statistics.median_low(values.values())
    kept = next(seed for seed, value in values.items() if value == median)
    report = SeedsReport(
        metric, values, statistics.fmean(values.values()), statistics.stdev(values.values()), kept
    )
    logger.info(
        "%s over %d seeds: %.4f ± %.4f; keeping seed %d with %.4f",
        metric, len(values), report.mean, report.standard_deviation, kept, median,
    )  # fmt: skip
    return by_seed[kept], report


def _glob(patterns: Iterable[str]) -> list[str]:
    return sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern))


def _read(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        return bytes(file.read())


def _warm_up_examples(task: Task, files: TrainerFiles) -> list[bytes]:
    """Returns serialized tf.Examples: made ones, unless the task lets real ones be published.

    No more than a server is to answer at once.
    """
    count = (
        min(NUM_WARMUP_EXAMPLES, task.windowing.examples_per_call)
        if task.windowing
        else (NUM_WARMUP_EXAMPLES)
    )
    if task.warm_up == "real":
        return _first_records(_glob(files.raw_examples), count)
    records = task.source.sample(count, task.train.seed)
    return [to_example(record).SerializeToString(deterministic=True) for record in records]


def _first_records(files: list[str], count: int) -> list[bytes]:
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP").take(count)
    return list(dataset.as_numpy_iterator())
