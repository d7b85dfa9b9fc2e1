"""The Evaluator as a TFX component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types import standard_component_specs as keys
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.evaluator.executor import SETTINGS, Executor
from components.evaluator.settings import EvaluationSettings
from components.task import Task


class EvaluatorSpec(types.ComponentSpec):
    """The channels of TFX's Evaluator; the settings travel as JSON."""

    PARAMETERS = {SETTINGS: ExecutionParameter(type=str)}  # noqa: RUF012
    INPUTS = {  # noqa: RUF012
        keys.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        keys.MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        keys.BASELINE_MODEL_KEY: ChannelParameter(type=standard_artifacts.Model, optional=True),
        keys.SCHEMA_KEY: ChannelParameter(type=standard_artifacts.Schema, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        keys.EVALUATION_KEY: ChannelParameter(type=standard_artifacts.ModelEvaluation),
        keys.BLESSING_KEY: ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class Evaluator(base_beam_component.BaseBeamComponent):
    """Measures a model, compares it with the last blessed one, and blesses it or not."""

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        settings: EvaluationSettings,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel | None = None,
        schema: types.BaseChannel | None = None,
    ) -> None:
        super().__init__(
            EvaluatorSpec(
                settings=settings.model_dump_json(),
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                schema=schema,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )


def evaluator(
    task: Task,
    examples: types.BaseChannel,
    model: types.BaseChannel,
    baseline_model: types.BaseChannel | None = None,
    schema: types.BaseChannel | None = None,
) -> Evaluator:
    """Returns the Evaluator of a task."""
    return Evaluator(EvaluationSettings.of(task), examples, model, baseline_model, schema)
