"""What the evaluator needs to know of a task, as text that reaches any container."""

from __future__ import annotations

from components.config import Config
from components.metrics.classification import check_metrics
from components.reference import Reference
from components.task import AtLeast, Task


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
