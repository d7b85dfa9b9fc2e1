"""How bad the answer to each example is, so that two models can be compared example by example."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.evaluators import evaluator
from tensorflow_model_analysis.extractors.slice_key_extractor import SLICE_KEY_EXTRACTOR_STAGE_NAME
from tensorflow_model_analysis.writers import writer

from components.evaluator.judging import CANDIDATE, JUDGEMENTS

# Those with the least keys, so that of equal data every model has the same ones.
MOST_EXAMPLES: Final = 50_000
_OUTPUT: Final = "answered"


def key_of(example: bytes) -> str:
    """Returns what a serialized tf.Example is known by in all runs: 16 hexadecimal digits."""
    return hashlib.blake2b(example, digest_size=8).hexdigest()


def answered(extracts: Mapping[str, Any]) -> tuple[str, float | None]:
    """Returns an example's key and how bad the candidate's answer is, of TFMA's extracts; None: no number."""
    judgement = extracts[JUDGEMENTS][CANDIDATE]
    key = key_of(extracts[tfma.constants.INPUT_KEY].item())
    return key, float(judgement.badness) if judgement.finite else None


def answered_evaluator() -> evaluator.Evaluator:
    """Returns the TFMA evaluator whose output is one list of keys and badnesses."""

    @beam.ptransform_fn
    def answer(extracts: beam.PCollection) -> evaluator.Evaluation:
        every = extracts | "KeyAnswers" >> beam.Map(answered)
        return {_OUTPUT: every | "KeepAnswers" >> beam.combiners.Top.Of(MOST_EXAMPLES, _key, reverse=True)}

    return evaluator.Evaluator("KeepAnswers", SLICE_KEY_EXTRACTOR_STAGE_NAME, answer())


def answered_writer(path: str) -> writer.Writer:
    """Returns the TFMA writer that puts them into one JSON file: {"badness": {key: number or null}}."""

    @beam.ptransform_fn
    def write(found: evaluator.Evaluation) -> beam.PCollection:
        lines = found[_OUTPUT] | "ShowAnswers" >> beam.Map(_to_json)
        return lines | "WriteAnswers" >> beam.io.WriteToText(path, num_shards=1, shard_name_template="")

    return writer.Writer("WriteAnswers", write())


def _key(found: tuple[str, float | None]) -> str:
    return found[0]


def _to_json(found: Sequence[tuple[str, float | None]]) -> str:
    return json.dumps({"badness": dict(found)})
