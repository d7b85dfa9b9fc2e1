"""What the evaluator needs to know of a task, as text that reaches any container."""

from __future__ import annotations

import importlib
from typing import Any

from components.config import Config, ConfigError
from components.evaluator.metrics import check_metrics
from components.task import AtLeast, Preprocessing, Task


class Reference(Config):
    """A preprocessing that travels as the dotted name of its class and its settings."""

    class_name: str
    settings: dict[str, Any]

    @classmethod
    def to(cls, preprocessing: Preprocessing) -> Reference:
        """Returns the reference; ConfigError unless `preprocessing` is a Config and so can become JSON."""
        kind = type(preprocessing)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if not isinstance(preprocessing, Config):
            raise ConfigError(f"{name}: expected a subclass of {Config.__module__}.Config")
        return cls(class_name=name, settings=preprocessing.model_dump(mode="json"))

    def load(self) -> Preprocessing:
        """Imports the class and returns the preprocessing; ConfigError unless it is one."""
        module, _, name = self.class_name.rpartition(".")
        try:
            kind = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"{self.class_name}: cannot be imported: {error}") from error
        if not (isinstance(kind, type) and issubclass(kind, Config) and issubclass(kind, Preprocessing)):
            raise ConfigError(f"{self.class_name}: expected a preprocessing with settings, got {kind!r}")
        return kind(**self.settings)


class EvaluationSettings(Config):
    """The pieces of a task that decide how its models are evaluated."""

    task: str
    label: str
    # 0: as many as the evaluation shows.
    num_classes: int = 0
    class_names: tuple[str, ...] = ()
    example_split: str
    metrics: tuple[str, ...]
    slices: tuple[str, ...] = ()
    blessing: AtLeast
    preprocessing: Reference

    @classmethod
    def of(cls, task: Task) -> EvaluationSettings:
        """Returns the task's pieces; ConfigError for metrics that cannot be measured."""
        check_metrics(task.metrics, task.blessing.metric)
        largest_label = task.source.features[task.source.label].maximum
        return cls(
            task=task.name,
            label=task.source.label,
            num_classes=0 if largest_label is None else largest_label + 1,
            class_names=task.source.label_names,
            example_split=task.source.evaluation_split,
            metrics=task.metrics,
            slices=task.slices,
            blessing=task.blessing,
            preprocessing=Reference.to(task.preprocessing),
        )
