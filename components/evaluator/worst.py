"""The examples whose answers are worst, found in the same Beam pass that measures the model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.evaluators import evaluator
from tensorflow_model_analysis.extractors.slice_key_extractor import SLICE_KEY_EXTRACTOR_STAGE_NAME
from tensorflow_model_analysis.writers import writer

from components.evaluator.judging import CANDIDATE, JUDGEMENTS, answers
from components.examples import to_raw
from components.features import Feature
from components.protocols import Evaluation

COUNT: Final = 20
_OUTPUT: Final = "worst"


class BadAnswer(NamedTuple):
    """An answer that is not right; the greater the badness, the worse."""

    badness: float
    # How it is shown. Not the example and its answer, of which those of large scans do not fit into memory.
    html: str


def find_bad(
    extracts: Mapping[str, Any],
    evaluation: Evaluation,
    features: Mapping[str, Feature],
    outputs: Mapping[str, Sequence[str]],
) -> Iterator[BadAnswer]:
    """Yields the candidate's answer in TFMA's extracts of one example, if it is a bad one."""
    badness = extracts[JUDGEMENTS][CANDIDATE].badness
    if badness > 0:
        raw = to_raw(extracts[tfma.constants.INPUT_KEY].item(), features)
        yield BadAnswer(badness, evaluation.show(raw, answers(extracts, outputs)[CANDIDATE]))


def to_json(worst: list[BadAnswer]) -> str:
    """Returns the answers, worst first, as a JSON list of badness and html."""
    return json.dumps([bad._asdict() for bad in worst])


def worst_evaluator(
    evaluation: Evaluation, features: Mapping[str, Feature], outputs: Mapping[str, Sequence[str]]
) -> evaluator.Evaluator:
    """Returns the TFMA evaluator whose output is one list of the worst answers."""

    @beam.ptransform_fn
    def worst(extracts: beam.PCollection) -> evaluator.Evaluation:
        bad = extracts | "FindBad" >> beam.FlatMap(find_bad, evaluation, features, outputs)
        return {_OUTPUT: bad | "KeepWorst" >> beam.combiners.Top.Of(COUNT)}

    return evaluator.Evaluator("FindWorst", SLICE_KEY_EXTRACTOR_STAGE_NAME, worst())


def worst_writer(path: str) -> writer.Writer:
    """Returns the TFMA writer that puts them into one JSON file."""

    @beam.ptransform_fn
    def write(found: evaluator.Evaluation) -> beam.PCollection:
        lines = found[_OUTPUT] | "ShowWorst" >> beam.Map(to_json)
        return lines | "Write" >> beam.io.WriteToText(path, num_shards=1, shard_name_template="")

    return writer.Writer("WriteWorst", write())
