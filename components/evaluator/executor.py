"""Runs TensorFlow Model Analysis over a split, blesses the model or not, and writes down why."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final

import apache_beam as beam
import tensorflow_model_analysis as tfma
from absl import logging
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.util import tfxio_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as keys
from tfx.utils import io_utils, path_utils

from components.evaluator import report, result, worst
from components.evaluator.eval_config import BASELINE, CANDIDATE, eval_config
from components.evaluator.files import METRICS_FILE, MISTAKES_FILE, REPORT_FILE
from components.evaluator.settings import EvaluationSettings
from components.files import read_text, write_text

SETTINGS: Final = "settings"
Artifacts = Mapping[str, list[types.Artifact]]


class Executor(base_beam_executor.BaseBeamExecutor):
    """Evaluates a model, against the last blessed one where there is one, in one Beam pass."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: Mapping[str, Any]) -> None:
        """Writes the evaluation and the blessing; exec property `settings`: EvaluationSettings as JSON."""
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = EvaluationSettings.model_validate_json(exec_properties[SETTINGS])
        evaluation_uri = artifact_utils.get_single_uri(output_dict[keys.EVALUATION_KEY])
        self._measure(input_dict, settings, evaluation_uri)
        outcome = result.collect(evaluation_uri, settings)
        worst = json.loads(read_text(os.path.join(evaluation_uri, MISTAKES_FILE)))
        write_text(os.path.join(evaluation_uri, REPORT_FILE), report.html(outcome, worst))
        write_text(os.path.join(evaluation_uri, METRICS_FILE), json.dumps(outcome, indent=2, allow_nan=False))
        blessing = artifact_utils.get_single_instance(output_dict[keys.BLESSING_KEY])
        _bless(blessing, input_dict, outcome["blessed"], self._component_id())
        for reason in outcome["reasons"]:
            logging.warning("%s: not blessed: %s", settings.task, reason)

    def _measure(self, input_dict: Artifacts, settings: EvaluationSettings, output_uri: str) -> None:
        models = _model_paths(input_dict)
        config = eval_config(settings, has_baseline=BASELINE in models)
        shared = [
            tfma.default_eval_shared_model(path, model_name=name, eval_config=config)
            for name, path in models.items()
        ]
        preprocessing = settings.preprocessing.load()
        with self._make_beam_pipeline() as pipeline:
            examples = _read(pipeline, input_dict, settings.example_split)
            _ = examples | "Evaluate" >> tfma.ExtractEvaluateAndWriteResults(
                eval_shared_model=shared,
                eval_config=config,
                extractors=_extractors(config, shared),
                evaluators=[
                    *tfma.default_evaluators(eval_shared_model=shared, eval_config=config),
                    worst.mistakes_evaluator(settings.label, CANDIDATE),
                ],
                writers=[
                    *tfma.default_writers(output_uri, eval_shared_model=shared, eval_config=config),
                    worst.mistakes_writer(os.path.join(output_uri, MISTAKES_FILE), preprocessing),
                ],
            )

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


def _read(pipeline: beam.Pipeline, input_dict: Artifacts, split: str) -> beam.PCollection:
    """Returns the raw examples of the split as Arrow record batches that keep the serialized examples."""
    examples = input_dict[keys.EXAMPLES_KEY]
    make_tfxio = tfxio_utils.get_tfxio_factory_from_artifact(
        examples,
        telemetry_descriptors=["Evaluator"],
        schema=_schema(input_dict),
        raw_record_column_name=tfma.constants.ARROW_INPUT_COLUMN,
    )
    sources = [
        pipeline | f"Read[{index}]" >> make_tfxio(io_utils.all_files_pattern(uri)).BeamSource()
        for index, uri in enumerate(artifact_utils.get_split_uris(examples, split))
    ]
    return sources | "FlattenExamples" >> beam.Flatten()


def _schema(input_dict: Artifacts) -> schema_pb2.Schema | None:
    if not input_dict.get(keys.SCHEMA_KEY):
        return None
    folder = artifact_utils.get_single_uri(input_dict[keys.SCHEMA_KEY])
    return io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(folder))


def _extractors(config: config_pb2.EvalConfig, shared: list[tfma.EvalSharedModel]) -> list[Any]:
    """Returns TFMA's defaults without the one that would run a model's transform layer for features."""
    return [
        tfma.extractors.FeaturesExtractor(eval_config=config),
        tfma.extractors.LabelsExtractor(eval_config=config),
        tfma.extractors.ExampleWeightsExtractor(eval_config=config),
        tfma.extractors.PredictionsExtractor(eval_config=config, eval_shared_model=shared),
        tfma.extractors.UnbatchExtractor(),
        tfma.extractors.SliceKeyExtractor(eval_config=config, materialize=False),
    ]


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
