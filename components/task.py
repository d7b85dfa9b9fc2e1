"""Task: the one object that declares a problem, from raw files to the threshold of a good model.

A Task knows no runner, imports no TensorFlow and no Beam, and checks itself on construction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import pydantic
from pydantic import Field

from components.config import Config, ConfigError, check_keys, in_words, unknown_name
from components.protocols import Asking, Calibrated, Evaluation, Model, Preprocessing, Source, Windowing
from components.train_config import TrainConfig

# The parts that a user may override.
_SECTIONS: Final = (
    "source", "preprocessing", "windowing", "model", "train", "evaluation", "blessing", "drift"
)  # fmt: skip


# Settings that say the same wherever they are: to give one of them is enough.
_SHARED: Final = (
    *("image_shape", "spatial_dims", "patch_size", "spacing_mm"),
    *("num_classes", "label_names", "score_range"),
)

_SPATIAL: Final = ("depth", "height", "width")


class AtLeast(Config):
    """Blesses a model whose metric is good enough and not much worse than the last blessed model's."""

    metric: str = Field(description="Which metric decides.")
    threshold: float = Field(description="The least that a good model reaches.")
    max_drop: float = Field(0.0, ge=0, description="How far below the last blessed model it may be.")


class Drift(Config):
    """How far the values of a feature may move from those that the live model was trained on.

    Distances in [0, 1]: for categories the largest change of any one's share (L-infinity norm), for
    quantities the Jensen-Shannon divergence.
    """

    max_distance: float = Field(
        0.05, ge=0, le=1, description="The largest distance that is no drift, in [0, 1]."
    )
    by_feature: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="In place of max_distance, by raw feature."
    )

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
    # How examples are cut where they are larger than the model's input.
    windowing: Windowing | None = None
    # In place of `windowing` where the model starts from random weights; None: the same.
    windowing_from_scratch: Windowing | None = None
    model: Model
    train: TrainConfig
    # In place of `train` where the model starts from random weights; None: the same.
    train_from_scratch: TrainConfig | None = None
    evaluation: Evaluation
    asking: Asking
    # Raw features by whose values the evaluation is sliced.
    slices: tuple[str, ...] = ()
    blessing: AtLeast
    drift: Drift = Drift()
    # The requests that a published model carries, for servers to warm up with: made ones, or real examples,
    # whose texts and images are then published with it.
    warm_up: Literal["made", "real"] = "made"
    # "package.module:TASK" where that is how it is found, in place of its name.
    location: str = ""
    # False where files that settings name are only where nodes run: these take what follows from them.
    opened: bool = True

    @pydantic.model_validator(mode="before")
    @classmethod
    def _of_known_keys(cls, values: Any) -> Any:
        check_keys(values, cls.model_fields)
        return values

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Task:
        numbers = self.fitted_evaluation.numbers
        if self.blessing.metric not in numbers:
            raise ValueError(unknown_name("blessing metric", self.blessing.metric, numbers))
        chosen_by = self.windowing.chosen_by if isinstance(self.windowing, Calibrated) else None
        if chosen_by is not None and chosen_by not in self.metrics:
            got = ", ".join(self.metrics)
            raise ValueError(f"metrics: expected {chosen_by} among them, which windowing takes, got {got}")
        for key in self.slices:
            if key not in self.source.features:
                raise ValueError(unknown_name("raw feature", key, self.source.features))
        texts = [k for k, f in self.source.features.items() if f.dtype == "bytes" and f.served]
        for key in getattr(self.preprocessing, "text_features", ()):
            if key not in texts:
                raise ValueError(f"preprocessing.text_features: {unknown_name('text', key, texts)}")
        self.model.check_features(self.source.features)
        _check_intensities(self.source, self.preprocessing)
        if self.train.partition is not None:
            _check_partition(self.train.partition, self.model)
        for key in self.drift.by_feature:
            if key not in self.comparable:
                raise ValueError(unknown_name("comparable feature", key, self.comparable))
        judged = [n for n in ("stop_threshold", "num_seeds") if getattr(self.train, n) not in (None, 1)]
        if judged and self.blessing.metric not in self.model.metrics():
            raise ValueError(f"{judged[0]} needs {self.blessing.metric!r} among the model's own metrics")
        return self

    @property
    def reference(self) -> str:
        """What command lines and other processes find it by: its name, or where it is declared."""
        return self.location or self.name

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of what is measured."""
        return self.fitted_evaluation.metrics

    @property
    def fitted_evaluation(self) -> Evaluation:
        """The evaluation with what it takes from the source and the model."""
        return self.evaluation.fitted_to(self.source.features, self.model)

    @property
    def fitted_asking(self) -> Asking:
        """The asking with what it takes from the source and the preprocessing."""
        return self.asking.fitted_to(self.source, self.preprocessing)

    @property
    def comparable(self) -> tuple[str, ...]:
        """The raw features whose distribution tells something: numbers and slices, but no other texts.

        The most frequent values of texts, such as right answers, are training data.
        """
        return tuple(
            key
            for key, feature in self.source.features.items()
            if not feature.opaque and (feature.dtype != "bytes" or key in self.slices)
        )

    def parts(self, names: Iterable[str]) -> dict[str, Any]:
        """Returns the parts of these names, without those that it does not have."""
        return {name: part for name in names if (part := getattr(self, name)) is not None}

    def sections(self) -> Iterator[tuple[str, Config]]:
        """Yields the parts that a user may override, by name."""
        for name in _SECTIONS:
            section = getattr(self, name)
            if isinstance(section, Config):
                yield name, section

    def override(self, changes: Mapping[str, Mapping[str, Any]], opened: bool = True) -> Task:
        """Returns a validated copy: override({"train": {"num_epochs": 1}}).

        No file that a setting names is read unless they are to be `opened`.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields}
        sections = dict(self.sections())
        for name in changes:
            if name not in sections:
                raise ConfigError(f"{name}: {unknown_name('section', name, sections)}")
        changes = _spread(changes, sections)
        # The model first: other sections follow it.
        for name in ("model", *(name for name in sections if name != "model")):
            if not values["model"].pretrained and values.get(f"{name}_from_scratch") is not None:
                # Once only: what is overridden now is not forgotten by the next override.
                values |= {name: values[f"{name}_from_scratch"], f"{name}_from_scratch": None}
            if name in changes:
                values[name] = values[name].override(changes[name], name)
            if name in sections and opened:
                values[name].check_input_files()
        _check_shared(values)
        values["opened"] = opened
        if opened:
            values |= _fitted(values["preprocessing"], values["windowing"], values["model"])
        try:
            return Task(**values)
        except pydantic.ValidationError as error:
            raise ConfigError(f"task {self.name!r}: {in_words(error.errors()[0])}") from error


def _spread(
    changes: Mapping[str, Mapping[str, Any]], sections: Mapping[str, Config]
) -> dict[str, Mapping[str, Any]]:
    """Returns the changes, those of a setting that several sections share for all of them.

    Where none has it, what follows from the changes of the source has, such as the number of its classes.
    """
    spread = dict(changes)
    source = sections.get("source")
    followed = source.override(changes["source"], "source") if source and "source" in changes else source
    for key in _SHARED:
        given = [section[key] for section in changes.values() if key in section]
        if getattr(followed, key, None) != getattr(source, key, None):
            given.append(getattr(followed, key))
        for name, section in sections.items():
            if given and key in type(section).model_fields:
                spread[name] = {key: given[0], **spread.get(name, {})}
    return spread


def _fitted(preprocessing: Preprocessing, windowing: Windowing | None, model: Model) -> dict[str, Any]:
    """Returns the parts that follow others, by name, with what they take from these."""
    preprocessing = preprocessing.fitted_to(model)
    if windowing is not None:
        windowing = windowing.fitted_to(preprocessing)
        _check_length(windowing, model)
    return {"preprocessing": preprocessing, "windowing": windowing}


def _check_shared(values: Mapping[str, Any]) -> None:
    """Raises ConfigError where sections differ in a setting that they share."""
    for key in _SHARED:
        # An evaluation follows the model.
        parts = {name: values[name] for name in ("source", "preprocessing", "windowing", "model")}
        found = {name: getattr(part, key) for name, part in parts.items() if hasattr(part, key)}
        if len(set(found.values())) > 1:
            got = ", ".join(f"{_plain(value)} in {name}" for name, value in found.items())
            raise ConfigError(f"{key}: expected the same in {', '.join(found)}, got {got}")


def _check_intensities(source: Source, preprocessing: Preprocessing) -> None:
    """Raises ValueError where a served scan keeps intensities that the source clips, so that none trains."""
    stored, kept = (getattr(part, "window_hu", None) for part in (source, preprocessing))
    if stored and kept and not stored[0] <= kept[0] < kept[1] <= stored[1]:
        raise ValueError(
            f"preprocessing.window_hu: expected a part of source.window_hu {list(stored)}, got {list(kept)}"
        )


def _check_partition(partition: tuple[int, ...], model: Model) -> None:
    """Raises ValueError unless a model is of patches that can be cut into the parts."""
    patch = getattr(model, "patch_size", None)
    if patch is None:
        raise ValueError(f"train.partition: expected a model of patches, got {type(model).__name__}")
    axes = ("batch", *_SPATIAL[-len(patch) :], "channels")
    if len(partition) != len(axes):
        raise ValueError(f"train.partition: expected a number each of {', '.join(axes)}, got {[*partition]}")
    for axis, size, parts in zip(axes[1:-1], patch, partition[1:-1], strict=True):
        if size % parts:
            raise ValueError(f"train.partition: expected a divisor of the patch's {axis} {size}, got {parts}")


def _plain(value: Any) -> Any:
    """Returns a value as it is written in settings."""
    return list(value) if isinstance(value, tuple) else value


def _check_length(windowing: Windowing, model: Model) -> None:
    """Raises ConfigError where a window is longer than the model's input, if both have a length."""
    length = getattr(windowing, "max_sequence_length", None)
    most = getattr(model, "max_sequence_length", None)
    if length is not None and most is not None and length > most:
        raise ConfigError(
            f"windowing.max_sequence_length: expected at most {most}, which the model can take, got {length}"
        )
