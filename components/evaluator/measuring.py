"""Models measured on a split by TensorFlow Model Analysis, in one Beam pass, and what is written of it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.util import tfxio_utils
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components import files
from components.evaluator import card, provenance, report, result
from components.evaluator.answered import answered_evaluator, answered_writer
from components.evaluator.bootstrap import bootstrap_evaluator, bootstrap_writer
from components.evaluator.files import (
    ANSWERS_FILE,
    CARD_FILES,
    INTERVALS_FILE,
    METRICS_FILE,
    MISTAKES_FILE,
    REPORT_FILE,
    WORST_FILE,
)
from components.evaluator.judging import BASELINE, CANDIDATE, judging
from components.evaluator.settings import EvaluationSettings
from components.evaluator.tfma_setup import eval_config
from components.evaluator.worst import mistakes_writer, worst_evaluator, worst_writer
from components.export.results import SAW_BLESSING_SPLIT, read_results
from components.protocols import COUNTS, Compares, Evaluation, Section
from components.statistics import names_of


class Measurement(NamedTuple):
    """What is measured: models by name, CANDIDATE and perhaps BASELINE, and the examples of a split."""

    models: Mapping[str, str]
    # Artifacts that have the split of the settings.
    examples: Sequence[types.Artifact]
    schema: schema_pb2.Schema | None
    settings: EvaluationSettings


def measure(
    measurement: Measurement, output_uri: str, make_pipeline: Callable[[], beam.Pipeline]
) -> result.Outcome:
    """Returns the outcome, and writes TFMA's files, `metrics.json` and `report.html` to `output_uri`."""
    settings = measurement.settings
    evaluation = settings.evaluation.load(Evaluation)
    _run(measurement, evaluation, output_uri, make_pipeline)
    outcome = result.collect(output_uri, settings, evaluation, _notes(measurement.models[CANDIDATE]))
    for name, content in _written(measurement, evaluation, outcome, output_uri).items():
        files.write_text(os.path.join(output_uri, name), content)
    return outcome


def _written(
    measurement: Measurement, evaluation: Evaluation, outcome: result.Outcome, output_uri: str
) -> dict[str, str]:
    """Returns what people and programs read of an outcome, by file."""
    model_dir, names = measurement.models[CANDIDATE], names_of(measurement.settings.features)
    worst = json.loads(files.read_text(os.path.join(output_uri, WORST_FILE)))
    counts, baseline_dir = _counts(measurement.examples), measurement.models.get(BASELINE)
    made = provenance.sections(model_dir, counts, names, baseline_dir)
    cards = card.card(measurement.settings.task, "", [card.quality(outcome.result)], model_dir, names)
    return {
        REPORT_FILE: report.html(outcome.result, _sections(evaluation, outcome), worst, made),
        **dict(zip(CARD_FILES, cards, strict=True)),
        METRICS_FILE: json.dumps(outcome.result, indent=2, allow_nan=False),
    }


def _sections(evaluation: Evaluation, outcome: result.Outcome) -> Iterable[Section]:
    if outcome.sums is None:
        return ()
    if outcome.baseline_sums is not None and isinstance(evaluation, Compares):
        return evaluation.compared_sections(outcome.sums, outcome.baseline_sums)
    return evaluation.sections(outcome.sums)


def _counts(examples: Sequence[types.Artifact]) -> dict[str, int]:
    """Returns the numbers of examples by split, where they are written down."""
    counts: Counter[str] = Counter()
    for artifact in examples:
        path = os.path.join(artifact.uri, COUNTS)
        if files.exists(path):
            counts.update(json.loads(files.read_text(path)))
    return dict(counts)


def _run(
    measurement: Measurement,
    evaluation: Evaluation,
    output_uri: str,
    make_pipeline: Callable[[], beam.Pipeline],
) -> None:
    settings, models = measurement.settings, measurement.models
    config = eval_config(settings, models)
    shared = [
        tfma.default_eval_shared_model(path, model_name=name, eval_config=config)
        for name, path in models.items()
    ]
    outputs = {name: _output_names(path) for name, path in models.items()}

    def beside(name: str) -> str:
        return os.path.join(output_uri, name)

    with make_pipeline() as pipeline:
        _ = _read(pipeline, measurement) | "Evaluate" >> tfma.ExtractEvaluateAndWriteResults(
            eval_shared_model=shared,
            eval_config=config,
            extractors=_extractors(config, shared, judging(evaluation, settings.features, outputs)),
            evaluators=[
                *tfma.default_evaluators(eval_shared_model=shared, eval_config=config),
                worst_evaluator(evaluation, settings.features, outputs),
                answered_evaluator(),
                bootstrap_evaluator(),
            ],
            writers=[
                *tfma.default_writers(output_uri, eval_shared_model=shared, eval_config=config),
                worst_writer(beside(WORST_FILE)),
                mistakes_writer(beside(MISTAKES_FILE)),
                answered_writer(beside(ANSWERS_FILE)),
                bootstrap_writer(beside(INTERVALS_FILE), evaluation, settings.blessing.metric),
            ],
        )


def _notes(model_path: str) -> list[str]:
    """Returns what one has to know of a model's training to read its metrics."""
    return [
        f"{setting} looked at the split that blesses, so that these numbers are too good; "
        "source.validation_fraction keeps another one apart"
        for setting in read_results(model_path).get(SAW_BLESSING_SPLIT, ())
    ]


def _output_names(model_path: str) -> tuple[str, ...]:
    """Returns what the answers of a SavedModel are called."""
    model = saved_model_pb2.SavedModel.FromString(
        files.read_bytes(os.path.join(model_path, "saved_model.pb"))
    )
    return tuple(model.meta_graphs[0].signature_def["serving_default"].outputs)


def _read(pipeline: beam.Pipeline, measurement: Measurement) -> beam.PCollection:
    """Returns the raw examples of the split as Arrow record batches that keep the serialized examples."""
    examples, settings = list(measurement.examples), measurement.settings
    make_tfxio = tfxio_utils.get_tfxio_factory_from_artifact(
        examples,
        telemetry_descriptors=["Evaluator"],
        schema=measurement.schema,
        raw_record_column_name=tfma.constants.ARROW_INPUT_COLUMN,
    )
    sources = [
        pipeline
        | f"Read[{index}]" >> make_tfxio(io_utils.all_files_pattern(uri)).BeamSource(settings.batch_size)
        for index, uri in enumerate(artifact_utils.get_split_uris(examples, settings.example_split))
    ]
    return sources | "FlattenExamples" >> beam.Flatten()


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
