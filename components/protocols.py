"""What a family of tasks consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, runtime_checkable

from components.features import Feature

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    Tensors = Mapping[str, Any]


# The split that is carved from another one.
VALIDATION: Final = "eval"


# Beside the splits of examples: SHA-256 sums of the raw files that they are made of, by name.
DATA_DIGESTS: Final = "data_digests.json"


class Split(NamedTuple):
    """One split of the examples, and the files, relative to the data directory, that it is read from."""

    name: str
    pattern: str
    # In [0, 1): part of the records, chosen by a hash of each, that goes to the split "eval" instead.
    validation_fraction: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """The splits that its records end in."""
        return (self.name, VALIDATION) if self.validation_fraction else (self.name,)


@runtime_checkable
class Source(Protocol):
    """Where raw records come from; a Config."""

    @property
    def executor(self) -> str:
        """Dotted name of the Beam executor that turns the files into tf.Examples."""

    @property
    def features(self) -> Mapping[str, Feature]:
        """The raw features of each example, the label included; the schema is made from them."""

    @property
    def label(self) -> str:
        """Key of the raw feature that the model has to predict."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes in the labels' order; empty where the numbers are the names."""

    @property
    def input_splits(self) -> tuple[Split, ...]:
        """The splits as the files give them."""

    @property
    def evaluation_split(self) -> str:
        """The split that blesses a model."""

    def check(self, directory: Path) -> None:
        """Raises FormatError unless `directory` holds readable data."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Returns the settings as JSON values; Config has it."""


class Request(NamedTuple):
    """One kind of serving request: what a client sends, and how it becomes raw features and back.

    `to_raw` runs in the served graph; `from_raw`, its inverse, makes warm-up requests of real examples.
    """

    inputs: Mapping[str, tf.TensorSpec]
    to_raw: Callable[[Tensors], Tensors]
    from_raw: Callable[[Tensors], Tensors]
    # True: both functions have model features, dense and padded, in place of raw ones.
    of_features: bool = False


@runtime_checkable
class Preprocessing(Protocol):
    """Raw features to model features, the same for training and serving."""

    def preprocessing_fn(self, inputs: Tensors) -> dict[str, Any]:
        """Returns the features of a batch of raw features; for tf.Transform."""

    def requests(self) -> Mapping[str, Request]:
        """Returns the serving signatures beside `serving_default`, by name."""

    def fitted_to(self, model: Model) -> Preprocessing:
        """Returns itself with what it takes from the model, such as the vocabulary of its checkpoint."""

    def render(self, raw: Mapping[str, Any]) -> str:
        """Returns one raw example as a small, self-contained piece of HTML, for reports."""


class StreamingMetric(NamedTuple):
    """A metric that adds up over batches and replicas.

    `update(features, outputs)` returns sums float32[k] over one batch in which each example counts
    by `features[EXAMPLE_WEIGHT]`; `result(sums)` turns their total into the metric.
    """

    update: Callable[[Tensors, Any], Any]
    result: Callable[[Any], float]


@runtime_checkable
class Model(Protocol):
    """What is trained."""

    def build(self) -> keras.Model:
        """Returns a Keras model from a dict of features to logits (or a dict of them)."""

    @property
    def pretrained(self) -> bool:
        """Whether it starts from weights that were trained before."""

    def initialize(self, keras_model: keras.Model) -> None:
        """Sets the initial weights that are not random, such as those of a checkpoint."""

    def save_weights(self, keras_model: keras.Model, export_dir: str) -> None:
        """Adds the trained weights in other tools' formats to a SavedModel's `assets.extra`, if asked to."""

    def learning_rate_multipliers(self, keras_model: keras.Model) -> Mapping[str, float]:
        """Returns factors of the learning rate by the path of a variable; 1 for what is not named."""

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """The terms of the training loss: weighted means over the global batch, which are added up."""

    def loss_weights(self, features: Tensors) -> Mapping[str, Any]:
        """Returns float32 weights by term; an example counts by `features[EXAMPLE_WEIGHT]`."""

    def losses(self, features: Tensors, outputs: Any) -> Mapping[str, Any]:
        """Returns float32 losses by term, of the shapes of `loss_weights`."""

    def metrics(self) -> Mapping[str, StreamingMetric]:
        """Returns what is measured on the eval split while training."""

    def predictions(self, outputs: Any) -> dict[str, Any]:
        """Returns what a served model answers, by name; the batch is the first axis of each."""
