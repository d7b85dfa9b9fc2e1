"""The TFX component that looks up which published model a candidate is compared with."""

from __future__ import annotations

from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.baseline import executor


class LatestBlessedModelSpec(types.ComponentSpec):
    """What LatestBlessedModel reads and writes."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        executor.BASE_DIR: ExecutionParameter(type=str),
        executor.MODEL_NAME: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        executor.CANDIDATE: ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {executor.MODEL: ChannelParameter(type=standard_artifacts.Model)}


class LatestBlessedModel(base_component.BaseComponent):
    """Copies the newest version under `base_dir` that is neither the candidate itself nor withdrawn.

    Its output `model` has the custom properties `version` and `source_uri`, or there is none.
    """

    SPEC_CLASS = LatestBlessedModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    DRIVER_CLASS = executor.Driver

    def __init__(self, candidate: types.BaseChannel, base_dir: str, model_name: str) -> None:
        spec = LatestBlessedModelSpec(
            candidate=candidate,
            base_dir=base_dir,
            model_name=model_name,
            model=types.Channel(type=standard_artifacts.Model),
        )
        super().__init__(spec=spec)
