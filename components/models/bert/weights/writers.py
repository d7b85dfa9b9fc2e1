"""Writes an encoder and its heads for use elsewhere: as google-research/bert or as `transformers` reads it.

Folders and vocabularies are paths or URIs.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import files
from components.formats.tokenizer_files import TOKENIZER_CONFIG, VOCABULARY
from components.formats.vocabulary import find_cased
from components.models.bert.config import BertConfig
from components.models.bert.weights import names
from components.models.bert.weights.checkpoint import (
    GOOGLE_CONFIG,
    GOOGLE_WEIGHTS,
    HUGGINGFACE_CONFIG,
    HUGGINGFACE_WEIGHTS,
)
from components.models.bert.weights.safetensors import write_safetensors
from components.models.errors import ModelError

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray


def write_google(
    keras_model: keras.Model, config: BertConfig, folder: str, vocabulary: str | None = None
) -> None:
    """Writes bert_model.ckpt, bert_config.json and, where given, vocab.txt into a new folder."""
    import tensorflow as tf

    tensors = _tensors(keras_model, names.GOOGLE_TRANSPOSED)
    with _new_folder(folder) as new:
        # Not tf.train.Checkpoint, which puts names of its own into the file.
        tf.raw_ops.SaveV2(
            prefix=str(new / GOOGLE_WEIGHTS),
            tensor_names=list(tensors),
            shape_and_slices=[""] * len(tensors),
            tensors=[tf.constant(tensor) for tensor in tensors.values()],
        )
        (new / GOOGLE_CONFIG).write_text(config.to_json())
        if vocabulary is not None:
            _copy(vocabulary, new / VOCABULARY)


def write_huggingface(
    keras_model: keras.Model,
    config: BertConfig,
    folder: str,
    vocabulary: str | None = None,
    tokenizer: Mapping[str, Any] | None = None,
) -> None:
    """Writes model.safetensors, config.json and, where given, vocab.txt with tokenizer_config.json.

    `tokenizer` is what the latter is to say in place of what the vocabulary lets one guess.
    """
    tensors = {
        names.huggingface_name(name): tensor
        for name, tensor in _tensors(keras_model, names.HUGGINGFACE_TRANSPOSED).items()
    }
    architecture = "BertModel"
    if any(map(names.is_of_head, tensors)):
        architecture = "BertForPreTraining"
        tensors = {n if names.is_of_head(n) else f"bert.{n}": tensor for n, tensor in tensors.items()}
    kind = {"architectures": [architecture], "model_type": "bert"}
    with _new_folder(folder) as new:
        write_safetensors(new / HUGGINGFACE_WEIGHTS, tensors)
        _write_json(new / HUGGINGFACE_CONFIG, {**kind, **config.to_dict()})
        if vocabulary is not None:
            _copy(vocabulary, new / VOCABULARY)
            guessed = _tokenizer_config(new / VOCABULARY, config)
            _write_json(new / TOKENIZER_CONFIG, {**guessed, **(tokenizer or {})})


def _tensors(keras_model: keras.Model, transposed: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Returns weights of encoder and heads by Google's names; [out, in] where those end in `transposed`."""
    from keras import ops

    arrays = {
        name: ops.convert_to_numpy(variable)
        for variable in keras_model.weights
        if (name := names.google_name(variable.path))
    }
    return {name: array.T if name.endswith(transposed) else array for name, array in arrays.items()}


def _tokenizer_config(vocabulary: Path, config: BertConfig) -> dict[str, Any]:
    """Returns what AutoTokenizer has to know: without `do_lower_case`, every text is put into lower case."""
    cased = find_cased(vocabulary.read_text(encoding="utf-8").split("\n"))
    return {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": cased is None or not cased.upper,
        "model_max_length": config.max_positions,
    }


def _copy(source: str, target: Path) -> None:
    try:
        target.write_bytes(files.read_bytes(source))
    except OSError as error:
        raise ModelError(f"{source}: expected a readable file, got: {error.strerror or error}") from error


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n")


@contextmanager
def _new_folder(folder: str) -> Iterator[Path]:
    """Yields a local folder that becomes `folder` at the end, or is removed after an error."""
    if files.exists(folder):
        raise ModelError(f"{folder}: expected a folder that does not exist yet")
    beside = None if files.is_uri(folder) else os.path.dirname(os.path.abspath(folder))
    if beside is not None:
        os.makedirs(beside, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside) as aside:
        new = Path(aside, "new")
        new.mkdir()
        yield new
        files.move_folder(str(new), folder)
