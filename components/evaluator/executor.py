"""Runs TensorFlow Model Analysis over a split, blesses the model or not, and writes down why."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final

import apache_beam as beam
import tensorflow_model_analysis as tfma
from absl import logging
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.util import tfxio_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as keys
from tfx.utils import io_utils, path_utils

from components import files
from components.evaluator import report, result
from components.evaluator.bootstrap import bootstrap_evaluator, bootstrap_writer
from components.evaluator.files import INTERVALS_FILE, METRICS_FILE, REPORT_FILE, WORST_FILE
from components.evaluator.judging import BASELINE, CANDIDATE, judging
from components.evaluator.settings import EvaluationSettings
from components.evaluator.tfma_setup import eval_config
from components.evaluator.worst import worst_evaluator, worst_writer
from components.export.results import SAW_BLESSING_SPLIT, read_results
from components.protocols import Evaluation

SETTINGS: Final = "settings"
Artifacts = Mapping[str, list[types.Artifact]]


class Executor(base_beam_executor.BaseBeamExecutor):
    """Evaluates a model, against the last blessed one where there is one, in one Beam pass."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: Mapping[str, Any]) -> None:
        """Writes the evaluation and the blessing; exec property `settings`: EvaluationSettings as JSON."""
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = EvaluationSettings.model_validate_json(exec_properties[SETTINGS])
        evaluation = settings.evaluation.load(Evaluation)
        uri = artifact_utils.get_single_uri(output_dict[keys.EVALUATION_KEY])
        self._measure(input_dict, settings, evaluation, uri)
        outcome = result.collect(uri, settings, evaluation, _notes(_model_paths(input_dict)[CANDIDATE]))
        worst = json.loads(files.read_text(os.path.join(uri, WORST_FILE)))
        sections = () if outcome.sums is None else evaluation.sections(outcome.sums)
        files.write_text(os.path.join(uri, REPORT_FILE), report.html(outcome.result, sections, worst))
        metrics = json.dumps(outcome.result, indent=2, allow_nan=False)
        files.write_text(os.path.join(uri, METRICS_FILE), metrics)
        blessing = artifact_utils.get_single_instance(output_dict[keys.BLESSING_KEY])
        _bless(blessing, input_dict, outcome.result["blessed"], self._component_id())
        for reason in outcome.result["reasons"]:
            logging.warning("%s: not blessed: %s", settings.task, reason)

    def _measure(
        self, input_dict: Artifacts, settings: EvaluationSettings, evaluation: Evaluation, output_uri: str
    ) -> None:
        models = _model_paths(input_dict)
        config = eval_config(settings, models)
        shared = [
            tfma.default_eval_shared_model(path, model_name=name, eval_config=config)
            for name, path in models.items()
        ]
        outputs = {name: _output_names(path) for name, path in models.items()}

        def beside(name: str) -> str:
            return os.path.join(output_uri, name)

        with self._make_beam_pipeline() as pipeline:
            examples = _read(pipeline, input_dict, settings)
            _ = examples | "Evaluate" >> tfma.ExtractEvaluateAndWriteResults(
                eval_shared_model=shared,
                eval_config=config,
                extractors=_extractors(config, shared, judging(evaluation, settings.features, outputs)),
                evaluators=[
                    *tfma.default_evaluators(eval_shared_model=shared, eval_config=config),
                    worst_evaluator(outputs),
                    bootstrap_evaluator(),
                ],
                writers=[
                    *tfma.default_writers(output_uri, eval_shared_model=shared, eval_config=config),
                    worst_writer(beside(WORST_FILE), evaluation, settings.features),
                    bootstrap_writer(beside(INTERVALS_FILE), evaluation, settings.blessing.metric),
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


def _notes(model_path: str) -> list[str]:
    """Returns what one has to know of a model's training to read its metrics."""
    return [
        f"train.{setting} looked at the split that blesses, so that these numbers are too good; "
        "source.validation_fraction keeps another one apart"
        for setting in read_results(model_path).get(SAW_BLESSING_SPLIT, ())
    ]


def _output_names(model_path: str) -> tuple[str, ...]:
    """Returns what the answers of a SavedModel are called."""
    model = saved_model_pb2.SavedModel.FromString(
        files.read_bytes(os.path.join(model_path, "saved_model.pb"))
    )
    return tuple(model.meta_graphs[0].signature_def["serving_default"].outputs)


def _read(pipeline: beam.Pipeline, input_dict: Artifacts, settings: EvaluationSettings) -> beam.PCollection:
    """Returns the raw examples of the split as Arrow record batches that keep the serialized examples."""
    examples = input_dict[keys.EXAMPLES_KEY]
    make_tfxio = tfxio_utils.get_tfxio_factory_from_artifact(
        examples,
        telemetry_descriptors=["Evaluator"],
        schema=_schema(input_dict),
        raw_record_column_name=tfma.constants.ARROW_INPUT_COLUMN,
    )
    sources = [
        pipeline
        | f"Read[{index}]" >> make_tfxio(io_utils.all_files_pattern(uri)).BeamSource(settings.batch_size)
        for index, uri in enumerate(artifact_utils.get_split_uris(examples, settings.example_split))
    ]
    return sources | "FlattenExamples" >> beam.Flatten()


def _schema(input_dict: Artifacts) -> schema_pb2.Schema | None:
    if not input_dict.get(keys.SCHEMA_KEY):
        return None
    folder = artifact_utils.get_single_uri(input_dict[keys.SCHEMA_KEY])
    return io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(folder))


def _extractors(
    config: config_pb2.EvalConfig, shared: list[tfma.EvalSharedModel], judging: tfma.extractors.Extractor
) -> list[Any]:
    """Returns TFMA's defaults but for labels, weights and transformed features, and what judges answers."""
    return [
        tfma.extractors.FeaturesExtractor(eval_config=config),
        tfma.extractors.PredictionsExtractor(eval_config=config, eval_shared_model=shared),
        tfma.extractors.UnbatchExtractor(),
        judging,
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
