"""Checkpoints of BERT encoders: Google's and Hugging Face's are found, described and loaded."""

from __future__ import annotations

import functools
import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from components import files
from components.formats.stand_ins import told_by_its_head
from components.formats.tokenizer_files import find_vocabulary
from components.models.bert.config import BertConfig
from components.models.bert.weights import names
from components.models.bert.weights.safetensors import (
    FLOATS,
    KNOWN_DTYPES,
    SafeTensors,
    ShardedSafeTensors,
    read_index,
)
from components.models.bert.weights.shapes import encoder_shapes, head_shapes
from components.models.bert.weights.tensor_bundle import read_bundle_index
from components.models.errors import ModelError
from components.patterns import check_literal

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

GOOGLE_WEIGHTS, GOOGLE_CONFIG = "bert_model.ckpt", "bert_config.json"
HUGGINGFACE_WEIGHTS, HUGGINGFACE_CONFIG = "model.safetensors", "config.json"
# In place of the weights where they are in several files.
HUGGINGFACE_INDEX = "model.safetensors.index.json"

# Weights that are not read, and why.
_OF_OTHERS: Final = {
    r"pytorch_model.*\.bin(\.index\.json)?|.*\.(pt|pth)": "a pickle, which can run code as it is read",
    r"tf_model\.h5": "weights for TensorFlow classes of transformers",
    r"flax_model\.msgpack": "weights for Flax",
    r"adapter_model\..*": "an adapter without its model",
}
# Is in each checkpoint of tf.train.Checkpoint.
_OF_OBJECTS: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"
# Names of each kind in an error.
_SHOWN = 3

logger = logging.getLogger(__name__)


class Stored(NamedTuple):
    """The tensors of a checkpoint by the names that this module asks for."""

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]
    read: Callable[[str], NDArray[Any]]
    # What is known to be no part of the encoder by where it is.
    outside: frozenset[str] = frozenset()


@dataclass(frozen=True)
class BertCheckpoint(ABC):
    """A checkpoint with its configuration and vocabulary beside it; `path` is that of the weights."""

    path: str

    config_name: ClassVar[str]
    # Names of tensors that are known and no part of an encoder.
    extra: ClassVar[re.Pattern[str]]
    # Endings of Google's names of what is stored as [out, in] in place of Keras' [in, out].
    transposed: ClassVar[tuple[str, ...]]

    @staticmethod
    def find(path: str) -> BertCheckpoint:
        """Returns the checkpoint at a path or URI.

        Either …/bert_model.ckpt, the common beginning of Google's files, or …/model.safetensors, or its
        index, or the folder of one. Alone in a folder, Google's files may have any name.

        Raises:
          ModelError: neither is there, or nobody can tell.
        """
        try:
            return _found(path)
        except OSError as error:
            reason = error.strerror or error
            raise ModelError(f"{path}: expected a readable folder, got: {reason}") from error

    @property
    def config_file(self) -> str:
        """The JSON file of the encoder's shape."""
        return self.beside(self.config_name)

    @property
    def vocabulary_file(self) -> str:
        """The vocab.txt beside the weights, which may not exist, or tokenizer.json where that is alone."""
        return find_vocabulary(os.path.dirname(self.path))

    @abstractmethod
    def files(self) -> tuple[str, ...]:
        """Returns all files that a model is made from."""

    @abstractmethod
    def open(self, *, header_only: bool = False) -> Stored:
        """Returns the tensors, by Google's or by Hugging Face's names; nothing but headers is read yet.

        With `header_only` no tensor can be read, and a file behind a URI is not fetched.
        """

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
        if told := told_by_its_head(text.encode(), "JSON"):
            raise ModelError(f"{self.config_file}: {told}")
        return BertConfig.from_json(text.removeprefix("\ufeff"), self.config_file)

    def check(self, *, heads: bool = False) -> None:
        """Raises ModelError where headers tell that it cannot be loaded; needs no TensorFlow.

        `heads`: also where it has heads of pretraining that do not fit the encoder.
        """
        stored, config = self.open(header_only=True), self.config()
        shapes = encoder_shapes(config) | (head_shapes(config) if heads else {})
        present = _without(shapes, self._absent(stored, shapes))
        self._check(stored, {google: shapes[google] for google in present})

    def load(self, keras_model: keras.Model) -> None:
        """Sets the weights of encoder and heads in a Keras model; a classifier's, say, stay as they are.

        So do the pooler's and a head's where the checkpoint has none, which is a warning.

        Raises:
          ModelError: the tensors are not exactly the encoder's, or not finite; no weight is changed then.
        """
        variables = {
            google: variable
            for variable in keras_model.weights
            if (google := names.google_name(variable.path))
        }
        stored = self.open()
        absent = self._absent(stored, variables)
        present = _without(variables, absent)
        self._check(stored, {google: tuple(variables[google].shape) for google in present})
        if absent:
            self._warn(absent)
        arrays = {google: self._read(stored, google) for google in present}
        for google, array in arrays.items():
            variables[google].assign(array)

    def _absent(self, stored: Stored, expected: Container[str]) -> dict[str, tuple[str, ...]]:
        """Returns the names of each optional part that is expected and of which nothing is stored."""
        return {
            part: group
            for part, group in names.OPTIONAL.items()
            if group[0] in expected and not any(self.name_of(google) in stored.shapes for google in group)
        }

    def _warn(self, absent: Mapping[str, tuple[str, ...]]) -> None:
        parts = [f"no {part} ({_first(list(map(self.name_of, group)))})" for part, group in absent.items()]
        drawn = "new ones are" if len(parts) > 1 else "a new one is"
        logger.warning("%s: has %s: %s drawn from the seed", self.path, ", ".join(parts), drawn)

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
        unexpected = [
            f"{name} {list(stored.shapes[name])}"
            for name in others
            if name not in stored.outside and not self.extra.match(name)
        ]
        wrong = [
            f"{name}: expected {list(shape)}, got {list(stored.shapes[name])}"
            for name, shape in expected.items()
            if stored.shapes.get(name, shape) != shape
        ]
        no_floats = [
            f"{name}: expected {KNOWN_DTYPES}, got {stored.dtypes[name]}"
            for name in expected
            if stored.dtypes.get(name, FLOATS[0]) not in FLOATS
        ]
        problems = {
            "missing": missing,
            "unexpected": unexpected,
            "of another shape": wrong,
            "of another dtype": no_floats,
        }
        if found := [f"{len(names)} {what} ({_first(names)})" for what, names in problems.items() if names]:
            raise ModelError(
                f"{self.path}: does not fit the encoder of {self.config_file}: {'; '.join(found)}"
            )
        if others:
            logger.info(
                "%s: %d tensors that are no part of the encoder: %s", self.path, len(others), _first(others)
            )

    def _is_transposed(self, google: str) -> bool:
        return google.endswith(self.transposed)


class GoogleCheckpoint(BertCheckpoint):
    """bert_model.ckpt.{index,data-…} of google-research/bert; `path` is the part before the last dot."""

    config_name, extra, transposed = GOOGLE_CONFIG, names.GOOGLE_EXTRA, names.GOOGLE_TRANSPOSED

    def files(self) -> tuple[str, ...]:
        prefix = os.path.basename(self.path)
        present = files.list_folder(os.path.dirname(self.path) or ".")
        weights = [n for n in present if n == f"{prefix}.index" or n.startswith(f"{prefix}.data-")]
        return (self.config_file, *(self.beside(name) for name in weights))

    def open(self, *, header_only: bool = False) -> Stored:
        check_literal(self.path)
        entries = read_bundle_index(self.path)
        if _OF_OBJECTS in entries:
            raise ModelError(
                f"{self.path}: expected variables by name, as google-research/bert saves them,"
                " got the objects of a TensorFlow 2 program"
            )
        shapes = {name: entry.shape for name, entry in entries.items()}
        return Stored(shapes, {name: entry.dtype for name, entry in entries.items()}, self._read_tensor)

    def _read_tensor(self, name: str) -> NDArray[Any]:
        import tensorflow as tf

        try:
            return self._reader.get_tensor(name).astype("float32")
        except (tf.errors.OpError, RuntimeError, ValueError) as error:
            raise self._unreadable(error) from error

    @functools.cached_property
    def _reader(self) -> Any:
        import tensorflow as tf

        return tf.train.load_checkpoint(self.path)

    def name_of(self, google: str) -> str:
        return google

    def _unreadable(self, error: Exception) -> ModelError:
        return ModelError(f"{self.path}: expected a TensorFlow checkpoint, got: {str(error).splitlines()[0]}")


class HuggingFaceCheckpoint(BertCheckpoint):
    """model.safetensors of `transformers`, or its index, of BertModel or of a model with a head."""

    config_name, extra = HUGGINGFACE_CONFIG, names.HUGGINGFACE_EXTRA
    transposed = names.HUGGINGFACE_TRANSPOSED

    def files(self) -> tuple[str, ...]:
        shards = sorted({*read_index(self.path).values()}) if self._is_sharded else ()
        return (self.config_file, self.path, *(self.beside(name) for name in shards))

    def open(self, *, header_only: bool = False) -> Stored:
        opened = ShardedSafeTensors if self._is_sharded else SafeTensors
        tensors = opened(self.path, header_only=header_only)
        shapes, dtypes = tensors.shapes, tensors.dtypes
        prefix = self._prefix(shapes)
        actual: dict[str, str] = {}
        for stored in shapes:
            name = names.canonical_huggingface_name(stored, prefix)
            if name in actual:
                raise ModelError(f"{self.path}: expected one {name}, got {actual[name]} and {stored}")
            actual[name] = stored
        return Stored(
            {name: shapes[stored] for name, stored in actual.items()},
            {name: dtypes[stored] for name, stored in actual.items()},
            lambda name: tensors.read(actual[name]),
            frozenset(name for name, stored in actual.items() if not stored.startswith(prefix)),
        )

    def _prefix(self, stored: Iterable[str]) -> str:
        found = names.huggingface_prefixes(stored)
        if len(found) > 1:
            raise ModelError(f"{self.path}: expected one encoder, got {len(found)}: {_first(found)}")
        return found[0] if found else ""

    def name_of(self, google: str) -> str:
        return names.huggingface_name(google)

    @property
    def _is_sharded(self) -> bool:
        return self.path.endswith(".index.json")


def _found(path: str) -> BertCheckpoint:
    """Returns the checkpoint at a path or URI; raises ModelError where there is none, and OSError."""
    name = os.path.basename(path)
    if name.endswith((".safetensors", ".safetensors.index.json")):
        return HuggingFaceCheckpoint(path)
    prefix = path.removesuffix(".index")
    if files.exists(f"{prefix}.index"):
        return GoogleCheckpoint(prefix)
    present = files.list_folder(path)
    for weights in (HUGGINGFACE_WEIGHTS, HUGGINGFACE_INDEX):
        if weights in present:
            return HuggingFaceCheckpoint(os.path.join(path, weights))
    indexes = [each for each in present if each.endswith(".index")]
    if f"{GOOGLE_WEIGHTS}.index" in indexes or len(indexes) == 1:
        chosen = GOOGLE_WEIGHTS if len(indexes) > 1 else indexes[0].removesuffix(".index")
        return GoogleCheckpoint(os.path.join(path, chosen))
    expected = f"{path}: expected {GOOGLE_WEIGHTS} (.index and .data files) or {HUGGINGFACE_WEIGHTS}"
    raise ModelError(f"{expected}, got {_what_is_there(path, present)}")


def _without(expected: Iterable[str], absent: Mapping[str, tuple[str, ...]]) -> list[str]:
    left_out = {google for group in absent.values() for google in group}
    return [google for google in expected if google not in left_out]


def _what_is_there(path: str, present: list[str]) -> str:
    """Returns what there is in place of a checkpoint, of the names in a folder."""
    name = os.path.basename(path)
    for pattern, what in _OF_OTHERS.items():
        if found := [each for each in (*present, name) if re.fullmatch(pattern, each)]:
            return f"{found[0]}, {what}; save the model as safetensors (transformers: model.save_pretrained)"
    if present:
        return _first(present)
    return "another file" if files.exists(path) else "no such folder, or an empty one"


def _first(names: list[str]) -> str:
    more = f", … and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
