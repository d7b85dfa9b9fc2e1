"""Checkpoints of BERT encoders: Google's and Hugging Face's are found, described and loaded."""

from __future__ import annotations

import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from components import files
from components.models.bert.config import BertConfig
from components.models.bert.weights import names
from components.models.bert.weights.safetensors import SafeTensors, ShardedSafeTensors, read_index
from components.models.errors import ModelError

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

VOCABULARY: Final = "vocab.txt"
GOOGLE_WEIGHTS, GOOGLE_CONFIG = "bert_model.ckpt", "bert_config.json"
HUGGINGFACE_WEIGHTS, HUGGINGFACE_CONFIG = "model.safetensors", "config.json"
# In place of the weights where they are in several files.
HUGGINGFACE_INDEX = "model.safetensors.index.json"

# Names of each kind in an error.
_SHOWN = 3

logger = logging.getLogger(__name__)


class Stored(NamedTuple):
    """The tensors of a checkpoint by the names that this module asks for."""

    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], NDArray[Any]]


@dataclass(frozen=True)
class BertCheckpoint(ABC):
    """A checkpoint with its configuration and vocabulary beside it; `path` is that of the weights."""

    path: str

    config_name: ClassVar[str]
    # Names of tensors that are known and no part of an encoder.
    extra: ClassVar[re.Pattern[str]]
    # Whether the kernels of dense layers are [out, in] in place of Keras' [in, out].
    transposed: ClassVar[bool]

    @staticmethod
    def find(path: str) -> BertCheckpoint:
        """Returns the checkpoint at a path or URI.

        Either …/bert_model.ckpt, the common beginning of Google's files, or …/model.safetensors, or its
        index, or the folder of one.

        Raises:
          ModelError: neither is there.
        """
        name = os.path.basename(path)
        if name in (HUGGINGFACE_WEIGHTS, HUGGINGFACE_INDEX):
            return HuggingFaceCheckpoint(path)
        if files.exists(f"{path}.index"):
            return GoogleCheckpoint(path)
        present = files.list_folder(path)
        for weights in (HUGGINGFACE_WEIGHTS, HUGGINGFACE_INDEX):
            if weights in present:
                return HuggingFaceCheckpoint(os.path.join(path, weights))
        if f"{GOOGLE_WEIGHTS}.index" in present:
            return GoogleCheckpoint(os.path.join(path, GOOGLE_WEIGHTS))
        expected = f"{path}: expected {GOOGLE_WEIGHTS} (.index and .data files) or {HUGGINGFACE_WEIGHTS}"
        if name == "pytorch_model.bin" or "pytorch_model.bin" in present:
            raise ModelError(
                f"{expected}, got pytorch_model.bin, a pickle, which can run code as it is read; "
                "save the model as safetensors (transformers: model.save_pretrained)"
            )
        got = _first(present) if present else "no such folder, or an empty one"
        raise ModelError(f"{expected}, got {got}")

    @property
    def config_file(self) -> str:
        """The JSON file of the encoder's shape."""
        return self.beside(self.config_name)

    @property
    def vocabulary_file(self) -> str:
        """The vocab.txt beside the weights, whether it exists or not."""
        return self.beside(VOCABULARY)

    @abstractmethod
    def files(self) -> tuple[str, ...]:
        """Returns all files that a model is made from."""

    @abstractmethod
    def open(self) -> Stored:
        """Returns the tensors, by Google's or by Hugging Face's names; nothing is read yet."""

    @abstractmethod
    def name_of(self, google: str) -> str:
        """Returns the stored name of the tensor that Google's checkpoints call `google`."""

    def beside(self, name: str) -> str:
        return os.path.join(os.path.dirname(self.path), name)

    def config(self) -> BertConfig:
        """Returns the shape of the encoder."""
        try:
            text = files.read_text(self.config_file)
        except OSError as error:
            reason = error.strerror or error
            raise ModelError(f"{self.config_file}: expected a readable file, got: {reason}") from error
        except ValueError as error:
            raise ModelError(str(error)) from error
        return BertConfig.from_json(text, self.config_file)

    def load(self, keras_model: keras.Model) -> None:
        """Sets the encoder's weights in a Keras model; others, such as a classifier's, stay as they are.

        Raises:
          ModelError: the tensors are not exactly the encoder's, or not finite; no weight is changed then.
        """
        variables = {
            google: variable
            for variable in keras_model.weights
            if (google := names.google_name(variable.path))
        }
        stored = self.open()
        self._check(stored, {google: tuple(variable.shape) for google, variable in variables.items()})
        arrays = {google: self._read(stored, google) for google in variables}
        for google, variable in variables.items():
            variable.assign(arrays[google])

    def _read(self, stored: Stored, google: str) -> NDArray[Any]:
        import numpy as np

        tensor = stored.read(self.name_of(google))
        if not np.isfinite(tensor).all():
            raise ModelError(f"{self.path}: {self.name_of(google)}: expected finite numbers")
        return tensor.T if self._is_transposed(google) else tensor

    def _check(self, stored: Stored, shapes: Mapping[str, tuple[int, ...]]) -> None:
        expected = {
            self.name_of(google): shape[::-1] if self._is_transposed(google) else shape
            for google, shape in shapes.items()
        }
        missing = [f"{name} {list(shape)}" for name, shape in expected.items() if name not in stored.shapes]
        others = sorted(stored.shapes.keys() - expected.keys())
        unexpected = [f"{name} {list(stored.shapes[name])}" for name in others if not self.extra.match(name)]
        wrong = [
            f"{name}: expected {list(shape)}, got {list(stored.shapes[name])}"
            for name, shape in expected.items()
            if stored.shapes.get(name, shape) != shape
        ]
        problems = {"missing": missing, "unexpected": unexpected, "of another shape": wrong}
        if found := [f"{len(names)} {what} ({_first(names)})" for what, names in problems.items() if names]:
            raise ModelError(
                f"{self.path}: does not fit the encoder of {self.config_file}: {'; '.join(found)}"
            )
        if others:
            logger.info(
                "%s: %d tensors that are no part of the encoder: %s", self.path, len(others), _first(others)
            )

    def _is_transposed(self, google: str) -> bool:
        return self.transposed and names.is_transposed(google)


class GoogleCheckpoint(BertCheckpoint):
    """bert_model.ckpt.{index,data-…} of google-research/bert; `path` is the part before the last dot."""

    config_name, extra, transposed = GOOGLE_CONFIG, names.GOOGLE_EXTRA, False

    def files(self) -> tuple[str, ...]:
        prefix = os.path.basename(self.path)
        present = files.list_folder(os.path.dirname(self.path) or ".")
        weights = [n for n in present if n == f"{prefix}.index" or n.startswith(f"{prefix}.data-")]
        return (self.config_file, *(self.beside(name) for name in weights))

    def open(self) -> Stored:
        import tensorflow as tf

        try:
            reader = tf.train.load_checkpoint(self.path)
            shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
        except (tf.errors.OpError, RuntimeError, ValueError) as error:
            raise self._unreadable(error) from error

        def read(name: str) -> NDArray[Any]:
            try:
                return reader.get_tensor(name).astype("float32")
            except (tf.errors.OpError, RuntimeError, ValueError) as error:
                raise self._unreadable(error) from error

        return Stored(shapes, read)

    def name_of(self, google: str) -> str:
        return google

    def _unreadable(self, error: Exception) -> ModelError:
        return ModelError(f"{self.path}: expected a TensorFlow checkpoint, got: {str(error).splitlines()[0]}")


class HuggingFaceCheckpoint(BertCheckpoint):
    """model.safetensors of `transformers`, or its index, of BertModel or of a model with a head."""

    config_name, extra, transposed = HUGGINGFACE_CONFIG, names.HUGGINGFACE_EXTRA, True

    def files(self) -> tuple[str, ...]:
        shards = sorted({*read_index(self.path).values()}) if self._is_sharded else ()
        return (self.config_file, self.path, *(self.beside(name) for name in shards))

    def open(self) -> Stored:
        tensors = ShardedSafeTensors(self.path) if self._is_sharded else SafeTensors(self.path)
        prefixed = any(name.startswith("bert.") for name in tensors.shapes)
        actual = {names.canonical_huggingface_name(name, prefixed): name for name in tensors.shapes}
        shapes = {name: tensors.shapes[actual[name]] for name in actual}
        return Stored(shapes, lambda name: tensors.read(actual[name]))

    def name_of(self, google: str) -> str:
        return names.huggingface_name(google)

    @property
    def _is_sharded(self) -> bool:
        return os.path.basename(self.path) == HUGGINGFACE_INDEX


def _first(names: list[str]) -> str:
    more = f", … and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
