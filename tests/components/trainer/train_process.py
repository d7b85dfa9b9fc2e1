"""Trains the tiny task in a process of its own: `python train_process.py SETTINGS.json`."""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.features import IMAGE, LABEL
from components.models.mnist_cnn import MnistCnn
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.train import train
from pipelines.tasks import TASKS


def main(settings_file: str) -> None:
    settings = json.loads(Path(settings_file).read_text())
    model = MnistCnn(**settings["model"])
    task = TASKS["mnist"].override({"train": settings["train"]}).model_copy(update={"model": model})
    spec = {
        IMAGE: tf.io.FixedLenFeature(model.image_shape, tf.float32),
        LABEL: tf.io.FixedLenFeature([], tf.int64),
    }
    splits = [
        ExampleFiles(settings[f"{split}_files"], spec, settings[f"{split}_examples"])
        for split in ("train", "eval")
    ]
    result = train(task, *splits, settings["working_dir"], settings["log_dir"])
    if result.is_chief:
        np.savez(settings["result"], *result.weights)


if __name__ == "__main__":
    main(sys.argv[1])
