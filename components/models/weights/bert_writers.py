"""Writes an encoder for use elsewhere: as google-research/bert reads it, or as `transformers` does."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.models.bert import BertConfig
from components.models.errors import ModelError
from components.models.weights import bert_names
from components.models.weights.bert_checkpoint import (
    GOOGLE_CONFIG,
    GOOGLE_WEIGHTS,
    HUGGINGFACE_CONFIG,
    HUGGINGFACE_WEIGHTS,
    VOCABULARY,
)
from components.models.weights.safetensors import write_safetensors

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray


def write_google(
    keras_model: keras.Model, config: BertConfig, folder: Path, vocabulary: Path | None = None
) -> None:
    """Writes bert_model.ckpt, bert_config.json and, where given, vocab.txt into a new folder."""
    import tensorflow as tf

    tensors = _encoder_tensors(keras_model)
    with _new_folder(folder) as new:
        # Not tf.train.Checkpoint, which puts names of its own into the file.
        tf.raw_ops.SaveV2(
            prefix=str(new / GOOGLE_WEIGHTS),
            tensor_names=list(tensors),
            shape_and_slices=[""] * len(tensors),
            tensors=[tf.constant(tensor) for tensor in tensors.values()],
        )
        (new / GOOGLE_CONFIG).write_text(config.to_json())
        _copy_vocabulary(vocabulary, new)


def write_huggingface(
    keras_model: keras.Model, config: BertConfig, folder: Path, vocabulary: Path | None = None
) -> None:
    """Writes model.safetensors, config.json and, where given, vocab.txt into a new folder."""
    tensors = {
        bert_names.huggingface_name(name): tensor.T if bert_names.is_transposed(name) else tensor
        for name, tensor in _encoder_tensors(keras_model).items()
    }
    kind = {"architectures": ["BertModel"], "model_type": "bert"}
    with _new_folder(folder) as new:
        write_safetensors(new / HUGGINGFACE_WEIGHTS, tensors)
        (new / HUGGINGFACE_CONFIG).write_text(json.dumps({**kind, **config.to_dict()}, indent=2) + "\n")
        _copy_vocabulary(vocabulary, new)


def _encoder_tensors(keras_model: keras.Model) -> dict[str, NDArray[Any]]:
    """Returns the encoder's weights by Google's names."""
    from keras import ops

    return {
        name: ops.convert_to_numpy(variable)
        for variable in keras_model.weights
        if (name := bert_names.google_name(variable.path))
    }


def _copy_vocabulary(vocabulary: Path | None, folder: Path) -> None:
    if vocabulary is not None:
        shutil.copyfile(vocabulary, folder / VOCABULARY)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yields a folder beside `folder` that gets its name at the end, or is removed after an error."""
    if folder.exists():
        raise ModelError(f"{folder}: expected a folder that does not exist yet")
    new = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    new.mkdir(parents=True)
    try:
        yield new
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new)
        raise
