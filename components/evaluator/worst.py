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
    example: bytes  # a serialized tf.Example
    answer: Mapping[str, Any]

    def __lt__(self, other: Any) -> bool:
        # Answers hold arrays, which have no order.
        return bool(self[:2] < other[:2])


def find_bad(extracts: Mapping[str, Any], outputs: Mapping[str, Sequence[str]]) -> Iterator[BadAnswer]:
    """Yields the candidate's answer in TFMA's extracts of one example, if it is a bad one."""
    badness = extracts[JUDGEMENTS][CANDIDATE].badness
    if badness > 0:
        example = extracts[tfma.constants.INPUT_KEY].item()
        yield BadAnswer(badness, example, answers(extracts, outputs)[CANDIDATE])


def to_json(worst: list[BadAnswer], evaluation: Evaluation, features: Mapping[str, Feature]) -> str:
    """Returns the answers, worst first, as a JSON list of badness and html."""
    return json.dumps(
        [
            {"badness": bad.badness, "html": evaluation.show(to_raw(bad.example, features), bad.answer)}
            for bad in worst
        ]
    )


def worst_evaluator(outputs: Mapping[str, Sequence[str]]) -> evaluator.Evaluator:
    """Returns the TFMA evaluator whose output is one list of the worst answers."""

    @beam.ptransform_fn
    def worst(extracts: beam.PCollection) -> evaluator.Evaluation:
        bad = extracts | "FindBad" >> beam.FlatMap(find_bad, outputs)
        return {_OUTPUT: bad | "KeepWorst" >> beam.combiners.Top.Of(COUNT)}

    return evaluator.Evaluator("FindWorst", SLICE_KEY_EXTRACTOR_STAGE_NAME, worst())


def worst_writer(path: str, evaluation: Evaluation, features: Mapping[str, Feature]) -> writer.Writer:
    """Returns the TFMA writer that puts them into one JSON file."""

    @beam.ptransform_fn
    def write(found: evaluator.Evaluation) -> beam.PCollection:
        lines = found[_OUTPUT] | "ShowWorst" >> beam.Map(to_json, evaluation, features)
        return lines | "Write" >> beam.io.WriteToText(path, num_shards=1, shard_name_template="")

    return writer.Writer("WriteWorst", write())
