"""The examples whose answers are worst, found in the same Beam pass that measures the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.evaluators import evaluator
from tensorflow_model_analysis.extractors.slice_key_extractor import SLICE_KEY_EXTRACTOR_STAGE_NAME
from tensorflow_model_analysis.writers import writer

from components.evaluator.answered import key_of
from components.evaluator.judging import CANDIDATE, JUDGEMENTS, answers
from components.examples import to_raw
from components.features import Feature
from components.protocols import Evaluation

COUNT: Final = 20
# Of all bad answers, those with the least keys, unless they are large: another model may answer them rightly.
MOST_SHOWN: Final = 200
MOST_CHARACTERS: Final = 20_000
_OUTPUT: Final = "worst"
_SHOWN: Final = "mistakes"


class BadAnswer(NamedTuple):
    """An answer that is not right; the greater the badness, the worse."""

    badness: float
    # How it is shown. Not the example and its answer, of which those of large scans do not fit into memory.
    html: str
    # Of the example, as `answered.key_of` tells.
    key: str


def find_bad(
    extracts: Mapping[str, Any],
    evaluation: Evaluation,
    features: Mapping[str, Feature],
    outputs: Mapping[str, Sequence[str]],
) -> Iterator[BadAnswer]:
    """Yields the candidate's answer in TFMA's extracts of one example, if it is a bad one."""
    badness = extracts[JUDGEMENTS][CANDIDATE].badness
    if badness > 0:
        example = extracts[tfma.constants.INPUT_KEY].item()
        shown = evaluation.show(to_raw(example, features), answers(extracts, outputs)[CANDIDATE])
        yield BadAnswer(badness, shown, key_of(example))


def to_json(worst: list[BadAnswer]) -> str:
    """Returns the answers, worst first, as a JSON list of badness and html."""
    return json.dumps([{"badness": bad.badness, "html": bad.html} for bad in worst])


def to_pieces(bad: list[BadAnswer]) -> str:
    """Returns the answers as JSON: html by key."""
    return json.dumps({each.key: each.html for each in bad})


def worst_evaluator(
    evaluation: Evaluation, features: Mapping[str, Feature], outputs: Mapping[str, Sequence[str]]
) -> evaluator.Evaluator:
    """Returns the TFMA evaluator whose outputs are one list of the worst answers, and one of any bad ones."""

    @beam.ptransform_fn
    def worst(extracts: beam.PCollection) -> evaluator.Evaluation:
        bad = extracts | "FindBad" >> beam.FlatMap(find_bad, evaluation, features, outputs)
        small = bad | "LeaveLargeOut" >> beam.Filter(lambda each: len(each.html) <= MOST_CHARACTERS)
        return {
            _OUTPUT: bad | "KeepWorst" >> beam.combiners.Top.Of(COUNT),
            _SHOWN: small | "KeepSome" >> beam.combiners.Top.Of(MOST_SHOWN, _key, reverse=True),
        }

    return evaluator.Evaluator("FindWorst", SLICE_KEY_EXTRACTOR_STAGE_NAME, worst())


def worst_writer(path: str) -> writer.Writer:
    """Returns the TFMA writer that puts the worst into one JSON file."""
    return _writer("WriteWorst", _OUTPUT, to_json, path)


def mistakes_writer(path: str) -> writer.Writer:
    """Returns the TFMA writer that puts some bad answers, by key, into one JSON file."""
    return _writer("WriteMistakes", _SHOWN, to_pieces, path)


def _writer(name: str, output: str, show: Callable[[list[BadAnswer]], str], path: str) -> writer.Writer:
    @beam.ptransform_fn
    def write(found: evaluator.Evaluation) -> beam.PCollection:
        lines = found[output] | "Show" >> beam.Map(show)
        return lines | "Write" >> beam.io.WriteToText(path, num_shards=1, shard_name_template="")

    return writer.Writer(name, write())


def _key(bad: BadAnswer) -> str:
    return bad.key
