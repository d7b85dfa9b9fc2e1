"""Task: the one object that declares a problem, from raw files to the threshold of a good model.

A Task knows no runner, imports no TensorFlow and no Beam, and checks itself on construction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Protocol, runtime_checkable

import pydantic
from pydantic import Field

from components.config import Config, ConfigError, unknown_name
from components.features import Feature
from components.train_config import TrainConfig

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


class AtLeast(Config):
    """Blesses a model whose metric is good enough and not much worse than the last blessed model's."""

    metric: str
    threshold: float
    max_drop: float = Field(0.0, ge=0)


class Drift(Config):
    """How far the values of a feature may move from those that the live model was trained on.

    Distances in [0, 1]: for categories the largest change of any one's share (L-infinity norm), for
    quantities the Jensen-Shannon divergence.
    """

    max_distance: float = Field(0.05, ge=0, le=1)
    # In place of `max_distance`, by raw feature.
    by_feature: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)

    def limit(self, feature: str) -> float:
        """Returns the largest distance of a feature that is no drift."""
        return self.by_feature.get(feature, self.max_distance)


class Task(pydantic.BaseModel):
    """A problem: its data, its model, and what counts as solved. See pipelines/tasks/mnist.py."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    summary: str
    source: Source
    preprocessing: Preprocessing
    model: Model
    train: TrainConfig
    # In place of `train` where the model starts from random weights; None: the same.
    train_from_scratch: TrainConfig | None = None
    # Names known to components/evaluator/metrics.py.
    metrics: tuple[str, ...]
    # Raw features by whose values the evaluation is sliced.
    slices: tuple[str, ...] = ()
    blessing: AtLeast
    drift: Drift = Drift()

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Task:
        if self.blessing.metric not in self.metrics:
            raise ValueError(unknown_name("blessing metric", self.blessing.metric, self.metrics))
        for key in (self.source.label, *self.slices):
            if key not in self.source.features:
                raise ValueError(unknown_name("raw feature", key, self.source.features))
        highest = self.source.features[self.source.label].maximum
        classes = getattr(self.model, "num_classes", None)
        if highest is not None and classes is not None and classes <= highest:
            raise ValueError(f"model.num_classes: expected at least {highest + 1}, the labels, got {classes}")
        for key in self.drift.by_feature:
            if key not in self.comparable:
                raise ValueError(unknown_name("comparable feature", key, self.comparable))
        judged = [n for n in ("stop_threshold", "num_seeds") if getattr(self.train, n) not in (None, 1)]
        if judged and self.blessing.metric not in self.model.metrics():
            raise ValueError(f"{judged[0]} needs {self.blessing.metric!r} among the model's own metrics")
        return self

    @property
    def comparable(self) -> tuple[str, ...]:
        """The raw features whose distribution tells something: not the texts and images of requests."""
        return tuple(
            key
            for key, feature in self.source.features.items()
            if feature.dtype != "bytes" or not feature.served or key in self.slices
        )

    def sections(self) -> Iterator[tuple[str, Config]]:
        """Yields the parts that a user may override, by name."""
        for name in ("source", "preprocessing", "model", "train", "blessing", "drift"):
            section = getattr(self, name)
            if isinstance(section, Config):
                yield name, section

    def override(self, changes: Mapping[str, Mapping[str, Any]]) -> Task:
        """Returns a validated copy: override({"train": {"num_epochs": 1}})."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        sections = dict(self.sections())
        for name in changes:
            if name not in sections:
                raise ConfigError(f"{name}: {unknown_name('section', name, sections)}")
        # The model first: other sections follow it.
        for name in ("model", *(name for name in sections if name != "model")):
            if name == "train" and self.train_from_scratch and not values["model"].pretrained:
                # Once only: what is overridden now is not forgotten by the next override.
                values |= {"train": self.train_from_scratch, "train_from_scratch": None}
            if name in changes:
                values[name] = values[name].override(changes[name], name)
        values["preprocessing"] = values["preprocessing"].fitted_to(values["model"])
        try:
            return Task(**values)
        except pydantic.ValidationError as error:
            raise ConfigError(
                f"task {self.name!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
            ) from error
