"""What an Evaluation says of each model's answers, in TFMA's words: an extract and a metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from numpy.typing import NDArray
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.examples import to_raw
from components.features import Feature
from components.progress import BOARD
from components.protocols import Evaluation
from components.reference import Reference

CANDIDATE: Final = "candidate"
BASELINE: Final = "baseline"
# The metric whose value is float64[k]: the number of examples, that of answers which are not finite, and
# `Evaluation.sums`.
SUMS: Final = "sums"
# Among TFMA's extracts: a Judgement by model.
JUDGEMENTS: Final = "judgements"


class Judgement(NamedTuple):
    """What is to be said of one answer."""

    sums: NDArray[np.float64]
    badness: float
    # Whether it holds neither NaN nor infinity.
    finite: bool


def judging(
    evaluation: Evaluation, features: Mapping[str, Feature], outputs: Mapping[str, Sequence[str]]
) -> Any:
    """Returns TFMA's extractor of judgements; `outputs` are the names of each model's outputs."""

    @beam.ptransform_fn
    def judge(extracts: beam.PCollection) -> beam.PCollection:
        return extracts | "JudgeExample" >> beam.Map(_judged, evaluation, features, outputs)

    return tfma.extractors.Extractor("Judge", judge())


def answers(extracts: Mapping[str, Any], outputs: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Returns each model's answer to the one example of TFMA's extracts, by model and output."""
    predictions = extracts[tfma.constants.PREDICTIONS_KEY]
    # TFMA leaves the names out where there is one model, and where a model has one output.
    by_model = predictions if len(outputs) > 1 else {CANDIDATE: predictions}
    return {
        model: by_model[model] if isinstance(by_model[model], Mapping) else {names[0]: by_model[model]}
        for model, names in outputs.items()
    }


def _judged(
    extracts: Mapping[str, Any],
    evaluation: Evaluation,
    features: Mapping[str, Feature],
    outputs: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    raw = to_raw(extracts[tfma.constants.INPUT_KEY].item(), features)
    judgements = {}
    for model, answer in answers(extracts, outputs).items():
        finite = all(np.isfinite(value).all() for value in answer.values() if value.dtype.kind in "fc")
        sums = np.concatenate([[1.0, not finite], evaluation.sums(raw, answer)])
        judgements[model] = Judgement(sums, evaluation.badness(raw, answer) if finite else 0.0, finite)
    BOARD.count("examples")
    return {**extracts, JUDGEMENTS: judgements}


class Sums(tfma.metrics.Metric):
    """An Evaluation's sums over the examples of a slice, and the numbers that follow from them."""

    def __init__(self, evaluation: Mapping[str, Any], name: str = SUMS) -> None:
        """`evaluation`: a Reference as JSON values."""
        super().__init__(
            metric_util.merge_per_key_computations(_computations), name=name, evaluation=evaluation
        )


def _computations(
    name: str, evaluation: Mapping[str, Any], model_name: str = ""
) -> metric_types.MetricComputations:
    key = metric_types.MetricKey(name=name, model_name=model_name)
    judge = Reference(**evaluation).load(Evaluation)
    numbers = {number: metric_types.MetricKey(name=number, model_name=model_name) for number in judge.numbers}

    def derive(metrics: Mapping[metric_types.MetricKey, Any]) -> dict[metric_types.MetricKey, Any]:
        results = judge.results(metrics[key][2:])
        return {number_key: results[number] for number, number_key in numbers.items()}

    judged = metric_types.StandardMetricInputsPreprocessor(
        include_filter={JUDGEMENTS: {}}, include_default_inputs=False, name=JUDGEMENTS
    )
    return [
        metric_types.MetricComputation([key], [judged], _Sum(key, model_name or CANDIDATE)),
        metric_types.DerivedMetricComputation(list(numbers.values()), derive),
    ]


class _Sum(beam.CombineFn):
    """Adds the sums of one model up."""

    def __init__(self, key: metric_types.MetricKey, model: str) -> None:
        self._key = key
        self._model = model

    def create_accumulator(self) -> Any:
        return 0.0

    def add_input(self, accumulator: Any, element: Mapping[str, Any]) -> Any:
        return accumulator + element[JUDGEMENTS][self._model].sums

    def merge_accumulators(self, accumulators: Iterable[Any]) -> Any:
        return sum(accumulators, 0.0)

    def extract_output(self, accumulator: Any) -> dict[metric_types.MetricKey, Any]:
        return {self._key: accumulator}
