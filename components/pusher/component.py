"""The TFX component that publishes a blessed model."""

from __future__ import annotations

from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.pusher import executor


class PusherSpec(types.ComponentSpec):
    """What the Pusher reads and writes."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        executor.BASE_DIR: ExecutionParameter(type=str),
        executor.MODEL_NAME: ExecutionParameter(type=str),
        executor.KEEP_VERSIONS: ExecutionParameter(type=int),
        executor.UNFINISHED_DIR: ExecutionParameter(type=str, optional=True),
        executor.FORCE: ExecutionParameter(type=int),
        executor.JUDGE: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        executor.MODEL: ChannelParameter(type=standard_artifacts.Model),
        executor.MODEL_BLESSING: ChannelParameter(type=standard_artifacts.ModelBlessing, optional=True),
        executor.INFRA_BLESSING: ChannelParameter(type=standard_artifacts.InfraBlessing, optional=True),
        executor.EVALUATION: ChannelParameter(type=standard_artifacts.ModelEvaluation, optional=True),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {
        executor.PUSHED_MODEL: ChannelParameter(type=standard_artifacts.PushedModel)
    }


class Pusher(base_component.BaseComponent):
    """Publishes the model as the next version under `base_dir`, if every given blessing holds.

    What its training left in `unfinished_dir` is removed then.
    Its output `pushed_model` has the custom properties `pushed` (0 or 1), `pushed_version` and
    `pushed_destination`. What a rollback withdrew is published with `force` alone; a refused model is
    remembered with the digest of its `judge`.
    """

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    DRIVER_CLASS = executor.Driver

    def __init__(
        self,
        model: types.BaseChannel,
        base_dir: str,
        model_name: str,
        keep_versions: int = 5,
        force: bool = False,
        judge: str = "",
        model_blessing: types.BaseChannel | None = None,
        infra_blessing: types.BaseChannel | None = None,
        evaluation: types.BaseChannel | None = None,
        unfinished_dir: str | None = None,
    ) -> None:
        spec = PusherSpec(
            model=model,
            base_dir=base_dir,
            model_name=model_name,
            keep_versions=keep_versions,
            **({executor.UNFINISHED_DIR: unfinished_dir} if unfinished_dir else {}),
            force=int(force),
            judge=judge,
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            evaluation=evaluation,
            pushed_model=types.Channel(type=standard_artifacts.PushedModel),
        )
        super().__init__(spec=spec)
