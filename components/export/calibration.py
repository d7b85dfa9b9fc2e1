"""Values that examples choose, such as a threshold, put into a task before its model is exported."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.examples import to_raw
from components.export.serving_model import SERVING_DEFAULT, ServingModel
from components.models.precision import dtype_policy
from components.protocols import Calibrated
from components.task import Task

logger = logging.getLogger(__name__)


class Calibration(NamedTuple):
    """A task that is ready to be exported, and what was chosen for it, by the evaluation's result."""

    task: Task
    # None: there is no such value.
    chosen: Mapping[str, float | None]


def calibrate(
    task: Task, weights: Sequence[np.ndarray[Any, Any]], transform: tft.TFTransformOutput, files: list[str]
) -> Calibration:
    """Returns the task with the value that its evaluation finds best on examples, if one is to be chosen.

    `files` are TFRecords of raw examples. They are asked as the served model is, so that what is chosen holds
    for what is evaluated, tried and published afterwards.
    """
    windowing = task.windowing
    if not isinstance(windowing, Calibrated) or windowing.chosen_by is None:
        return Calibration(task, {})
    with dtype_policy("float32"):
        keras_model = task.model.build()
    keras_model.set_weights(list(weights))
    sums = _sums(task, ServingModel(task, keras_model, transform), files)
    value = float(task.fitted_evaluation.results(sums)[windowing.chosen_by])
    known = None if math.isnan(value) else value
    told = "none" if known is None else f"{known:g}"
    logger.info("%s is %s on the split eval; the exported model answers by it", windowing.chosen_by, told)
    chosen = task.model_copy(update={"windowing": windowing.with_chosen(value)})
    return Calibration(chosen, {windowing.chosen_by: known})


def _sums(task: Task, model: ServingModel, files: list[str]) -> np.ndarray[Any, Any]:
    """Returns the evaluation's sums over all examples."""
    evaluation, answer = task.fitted_evaluation, model.signatures()[SERVING_DEFAULT]
    size = task.windowing.examples_per_call if task.windowing else 1
    sums: Any = 0.0
    for examples in tf.data.TFRecordDataset(files, "GZIP").batch(size):
        answers = {name: np.asarray(value) for name, value in answer(examples).items()}
        for row, example in enumerate(examples.numpy()):
            of_one = {name: value[row] for name, value in answers.items()}
            sums += evaluation.sums(to_raw(example, task.source.features), of_one)
    return np.asarray(sums)
