"""The TFX component that tries an exported model before it is pushed."""

from __future__ import annotations

from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.canary import executor


class CanarySpec(types.ComponentSpec):
    """What the Canary reads and writes."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        executor.ABSOLUTE_TOLERANCE: ExecutionParameter(type=float),
        executor.DIFFERING_SHARE: ExecutionParameter(type=float),
        executor.TIMEOUT_S: ExecutionParameter(type=float),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        executor.MODEL: ChannelParameter(type=standard_artifacts.Model),
        executor.MODEL_BLESSING: ChannelParameter(type=standard_artifacts.ModelBlessing, optional=True),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {
        executor.BLESSING: ChannelParameter(type=standard_artifacts.InfraBlessing)
    }


class Canary(base_component.BaseComponent):
    """Blesses a model that, on a model server in a fresh process, repeats the trainer's recorded answers.

    Its output `blessing` has the custom property `blessed` (0 or 1); `canary.json` in it says why. With
    `model_blessing` only models that the Evaluator blessed are tried.
    """

    SPEC_CLASS = CanarySpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        absolute_tolerance: float = 1e-4,
        differing_share: float = 1e-3,
        timeout_s: float = 300.0,
        model_blessing: types.BaseChannel | None = None,
    ) -> None:
        spec = CanarySpec(
            model=model,
            absolute_tolerance=absolute_tolerance,
            differing_share=differing_share,
            timeout_s=timeout_s,
            model_blessing=model_blessing,
            blessing=types.Channel(type=standard_artifacts.InfraBlessing),
        )
        super().__init__(spec=spec)
