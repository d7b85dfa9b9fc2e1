"""The Trainer node: TFX's Trainer, which also sees what the model has to remember of its data.

Of raw examples it makes warm-up requests; what they were read from and their statistics go with the model.
"""

from __future__ import annotations

import os
from typing import Any

from tfx import types
from tfx.components.statistics_gen.executor import DEFAULT_FILE_NAME
from tfx.components.trainer import executor, fn_args_utils
from tfx.components.util import udf_utils
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import artifact_utils, channel_utils, standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter
from tfx.utils import io_utils, json_utils

from components.protocols import COUNTS, DATA_DIGESTS
from components.trainer import hosts

RAW_EXAMPLES = "raw_examples"
STATISTICS = "statistics"


class TrainerSpec(standard_component_specs.TrainerSpec):
    """TFX's specification with the examples as they were before Transform, and their statistics."""

    INPUTS = {  # noqa: RUF012 (TFX's own declaration style)
        **standard_component_specs.TrainerSpec.INPUTS,
        RAW_EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        STATISTICS: ChannelParameter(type=standard_artifacts.ExampleStatistics),
    }


class Executor(executor.GenericExecutor):
    """Passes files on to `run_fn` in `custom_config`.

    They are "raw_examples" (of the split eval), "data_digests", "counts" and "statistics".
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        if hosts.is_chief():
            super().Do(input_dict, output_dict, exec_properties)
            return
        # TFX would ask for the model, which the chief alone writes.
        run_fn = udf_utils.get_fn(exec_properties, "run_fn")
        run_fn(self._GetFnArgs(input_dict, output_dict, exec_properties))

    def _GetFnArgs(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> fn_args_utils.FnArgs:
        fn_args = super()._GetFnArgs(input_dict, output_dict, exec_properties)
        raw = input_dict[RAW_EXAMPLES]
        uri = artifact_utils.get_single_uri(raw)
        evaluated = artifact_utils.get_split_uris(raw, "eval")
        statistics = artifact_utils.get_split_uri(input_dict[STATISTICS], "train")
        fn_args.custom_config |= {
            RAW_EXAMPLES: [io_utils.all_files_pattern(split) for split in evaluated],
            "data_digests": os.path.join(uri, DATA_DIGESTS),
            "counts": os.path.join(uri, COUNTS),
            STATISTICS: os.path.join(statistics, DEFAULT_FILE_NAME),
        }
        return fn_args


class Trainer(base_component.BaseComponent):
    """Trains on the `train` split, evaluates on `eval`, and exports a servable model."""

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        raw_examples: types.BaseChannel,
        statistics: types.BaseChannel,
        transform_graph: types.BaseChannel,
        schema: types.BaseChannel,
        run_fn: str,
        custom_config: dict[str, Any],
    ) -> None:
        spec = TrainerSpec(
            examples=examples,
            raw_examples=raw_examples,
            statistics=statistics,
            transform_graph=transform_graph,
            schema=schema,
            run_fn=run_fn,
            custom_config=json_utils.dumps(custom_config),
            train_args=trainer_pb2.TrainArgs(splits=["train"]),
            eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
            model=channel_utils.as_channel([standard_artifacts.Model()]),
            model_run=channel_utils.as_channel([standard_artifacts.ModelRun()]),
        )
        super().__init__(spec=spec)
