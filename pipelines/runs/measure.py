"""A model measured on other data than its run's: the Evaluator's pass, without blessing and history."""

from __future__ import annotations

import gc
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.utils import shared
from tfx.types import Artifact, standard_artifacts

from components import files
from components.evaluator.judging import CANDIDATE
from components.evaluator.measuring import Measurement, measure
from components.evaluator.result import Outcome
from components.evaluator.settings import EvaluationSettings
from components.example_gen.executor import describe
from components.example_gen.found import AllFound, accept
from components.example_gen.schema import to_schema
from components.example_gen.shards import shards_of, write_shard
from components.patterns import check_literal
from components.protocols import Source
from components.task import Task
from pipelines.prediction.measured import evaluation_split

logger = logging.getLogger(__name__)


def measure_model(task: Task, model_dir: str, directory: Path, beam_args: Sequence[str]) -> Outcome:
    """Returns how good a SavedModel is on the evaluation split of a folder; raises FormatError, Failure."""
    check_literal(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
        examples = _examples(task.source, directory, f"{folder}/examples")
        schema = to_schema(task.source.features)
        measurement = Measurement({CANDIDATE: model_dir}, [examples], schema, EvaluationSettings.of(task))
        outcome = measure(measurement, f"{folder}/evaluation", lambda: beam.Pipeline(argv=list(beam_args)))
    # Beam keeps the model that it shared last, which TensorFlow cannot free any more when the process ends.
    shared.Shared().acquire(lambda: None)
    gc.collect()
    return outcome


def _examples(source: Source, directory: Path, uri: str) -> Artifact:
    """Writes the examples of the evaluation split, one part after another, and returns them."""
    split = evaluation_split(source)
    for folder in ("attempts", f"Split-{split.name}"):
        files.make_folder(f"{uri}/{folder}")
    found = AllFound.of(map(write_shard, shards_of(source, [split], directory, uri)))
    accept(source, found, [split.name])
    logger.info("measuring %s examples", f"{found.splits[split.name]:,}")
    examples = standard_artifacts.Examples()
    examples.uri = uri
    describe(examples, [split.name])
    return examples
