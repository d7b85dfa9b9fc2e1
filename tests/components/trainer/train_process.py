"""Trains a tiny task in a process of its own: `python train_process.py SETTINGS.json`."""

import json
import sys
from pathlib import Path
from typing import Any

import cut_sequences
import numpy as np
import tensorflow as tf
import tiny_corpus
import tiny_questions

from components.features import IMAGE, LABEL
from components.models.mnist_cnn import MnistCnn
from components.sources.idx import IdxSource
from components.task import Task
from components.trainer import hosts
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.run import train_seeds
from components.trainer.train import train
from pipelines.tasks import TASKS


def main(settings_file: str) -> None:
    settings = json.loads(Path(settings_file).read_text())
    task, spec = MADE[settings["made_of"]](settings)
    splits = [
        ExampleFiles(settings[f"{split}_files"], spec, settings[f"{split}_examples"])
        for split in ("train", "eval")
    ]
    folders = settings["working_dir"], settings["log_dir"]
    if task.train.num_seeds > 1:
        result, _ = train_seeds(task, *splits, *folders)
    else:
        result = train(task, *splits, *folders)
    if hosts.is_chief():
        np.savez(settings["result"], *result.weights)


def images(settings: dict[str, Any]) -> tuple[Task, dict[str, Any]]:
    model = MnistCnn(**settings["model"])
    task = TASKS["mnist"].override({"train": settings["train"]})
    source = IdxSource(image_shape=model.image_shape, num_classes=model.num_classes)
    preprocessing = task.preprocessing.model_copy(update={"image_shape": model.image_shape})
    task = task.model_copy(update={"model": model, "source": source, "preprocessing": preprocessing})
    return task, {
        IMAGE: tf.io.FixedLenFeature(model.image_shape, tf.float32),
        LABEL: tf.io.FixedLenFeature([], tf.int64),
    }


def sequences(settings: dict[str, Any]) -> tuple[Task, dict[str, Any]]:
    task = cut_sequences.make_task(settings["model"]["dropout_rate"], **settings["train"])
    return task, cut_sequences.spec()


def questions(settings: dict[str, Any]) -> tuple[Task, dict[str, Any]]:
    task = tiny_questions.make_task(settings["model"]["encoder"]["dropout_rate"], **settings["train"])
    return task, tiny_questions.spec()


def runs(settings: dict[str, Any]) -> tuple[Task, dict[str, Any]]:
    folder = Path(settings["train_files"][0]).parent
    dropout_rate = settings["model"]["encoder"]["dropout_rate"]
    return tiny_corpus.make_task(folder, dropout_rate, **settings["train"]), tiny_corpus.spec()


MADE = {"images": images, "sequences": sequences, "questions": questions, "runs": runs}


if __name__ == "__main__":
    main(sys.argv[1])
