"""What decides whether a model is good enough; apart from the fingerprint, which the Trainer depends on."""

from __future__ import annotations

from typing import Final

from components.reference import Reference
from components.task import Task
from pipelines.dag.fingerprint import code, digest
from pipelines.dag.settings import RunConfig

_MODULES: Final = ("components.evaluator.executor", "components.canary.executor")


def judge(task: Task, config: RunConfig) -> str:
    """Returns a digest of the settings and the code that judge a task's models; imports nothing heavy."""
    evaluation = Reference.to(task.fitted_evaluation).model_dump(mode="json")
    settings = [task.blessing.model_dump(mode="json"), evaluation, task.slices, config.canary.model_dump()]
    return digest([settings, code([*_MODULES, type(task.evaluation).__module__])])
