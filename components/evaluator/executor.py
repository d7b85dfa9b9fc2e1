"""Measures models on a split, blesses the newer one or not, and writes down why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from absl import logging
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as keys
from tfx.utils import io_utils, path_utils

from components.evaluator.judging import BASELINE, CANDIDATE
from components.evaluator.measuring import Measurement, measure
from components.evaluator.settings import EvaluationSettings

SETTINGS: Final = "settings"
Artifacts = Mapping[str, list[types.Artifact]]


class Executor(base_beam_executor.BaseBeamExecutor):
    """Evaluates a model, against the last blessed one where there is one, in one Beam pass."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: Mapping[str, Any]) -> None:
        """Writes the evaluation and the blessing; exec property `settings`: EvaluationSettings as JSON."""
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = EvaluationSettings.model_validate_json(exec_properties[SETTINGS])
        uri = artifact_utils.get_single_uri(output_dict[keys.EVALUATION_KEY])
        models, examples = _model_paths(input_dict), input_dict[keys.EXAMPLES_KEY]
        measurement = Measurement(models, examples, _schema(input_dict), settings)
        outcome = measure(measurement, uri, self._make_beam_pipeline)
        blessing = artifact_utils.get_single_instance(output_dict[keys.BLESSING_KEY])
        _bless(blessing, input_dict, outcome.result["blessed"], self._component_id())
        for reason in outcome.result["reasons"]:
            logging.warning("%s: not blessed: %s", settings.task, reason)

    def _component_id(self) -> str:
        node = self._context.pipeline_node if self._context else None
        return node.node_info.id if node else ""


def _model_paths(input_dict: Artifacts) -> dict[str, str]:
    """Returns the SavedModel of the candidate and, where there is one, of the baseline."""
    models = {CANDIDATE: input_dict[keys.MODEL_KEY], BASELINE: input_dict.get(keys.BASELINE_MODEL_KEY)}
    return {
        name: path_utils.serving_model_path(artifact_utils.get_single_uri(artifacts))
        for name, artifacts in models.items()
        if artifacts
    }


def _schema(input_dict: Artifacts) -> schema_pb2.Schema | None:
    if not input_dict.get(keys.SCHEMA_KEY):
        return None
    folder = artifact_utils.get_single_uri(input_dict[keys.SCHEMA_KEY])
    return io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(folder))


def _bless(blessing: types.Artifact, input_dict: Artifacts, blessed: bool, component_id: str) -> None:
    """Sets the properties and the file by which TFX's resolvers and pushers know a blessed model."""
    (model,) = input_dict[keys.MODEL_KEY]
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    for baseline in input_dict.get(keys.BASELINE_MODEL_KEY) or ():
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, baseline.uri)
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, baseline.id)
    if component_id:
        blessing.set_string_custom_property("component_id", component_id)
    value = constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    io_utils.write_string_file(os.path.join(blessing.uri, name), "")
