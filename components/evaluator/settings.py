"""What the evaluator needs to know of a task, as text that reaches any container."""

from __future__ import annotations

from components.config import Config
from components.features import Feature
from components.reference import Reference
from components.task import AtLeast, Task


class EvaluationSettings(Config):
    """The pieces of a task that decide how its models are evaluated."""

    task: str
    example_split: str
    # The raw features of an example.
    features: dict[str, Feature]
    evaluation: Reference
    slices: tuple[str, ...] = ()
    blessing: AtLeast
    # Examples that a model answers at once; None: TFMA decides.
    batch_size: int | None = None

    @classmethod
    def of(cls, task: Task) -> EvaluationSettings:
        """Returns the task's pieces."""
        return cls(
            task=task.name,
            example_split=task.source.evaluation_split,
            features=dict(task.source.features),
            evaluation=Reference.to(task.fitted_evaluation),
            slices=task.slices,
            blessing=task.blessing,
            batch_size=task.windowing.examples_per_call if task.windowing else None,
        )
