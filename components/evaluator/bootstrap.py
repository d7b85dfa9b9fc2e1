"""How sure a metric is: a Poisson bootstrap in the same Beam pass that measures the models.

Each replicate counts an example as often as a Poisson(1) variable says, which adds up over bundles and
workers; the variable depends on the example alone, so that two models are compared on equal replicates.
N. Chamandy et al., Estimating Uncertainty for Massive Data Streams (Google, 2012).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from numpy.typing import NDArray
from tensorflow_model_analysis.evaluators import evaluator
from tensorflow_model_analysis.extractors.slice_key_extractor import SLICE_KEY_EXTRACTOR_STAGE_NAME
from tensorflow_model_analysis.writers import writer

from components.evaluator.judging import BASELINE, CANDIDATE, JUDGEMENTS
from components.protocols import Evaluation

REPLICATES: Final = 400
# Of the replicates, those between these shares of them: a 95% interval.
SHARES: Final = (0.025, 0.975)
_OUTPUT: Final = "bootstrap"
# Examples that are multiplied with their weights at once.
_BLOCK: Final = 64

Interval = tuple[float, float]


class Intervals(NamedTuple):
    """95% intervals; None where the metric does not exist, or there is nothing to compare with."""

    metric: Interval | None
    difference: Interval | None


class _Replicates(NamedTuple):
    # float64[models, replicates, k]; 0.0 where nothing was added.
    sums: Any
    # What is not added yet: (weights int64[replicates], sums float64[models, k]) of an example each.
    waiting: tuple[tuple[NDArray[Any], NDArray[Any]], ...] = ()


class Bootstrap(beam.CombineFn):
    """TFMA's extracts of all examples to the replicates' sums, float64[models, replicates, k]."""

    def create_accumulator(self) -> _Replicates:
        return _Replicates(0.0)

    def add_input(self, accumulator: _Replicates, extracts: Mapping[str, Any]) -> _Replicates:
        judged = extracts[JUDGEMENTS]
        sums = np.stack([judged[model].sums for model in (CANDIDATE, BASELINE) if model in judged])
        waiting = (*accumulator.waiting, (weights(extracts[tfma.constants.INPUT_KEY].item()), sums))
        grown = _Replicates(accumulator.sums, waiting)
        return self.compact(grown) if len(waiting) >= _BLOCK else grown

    def compact(self, accumulator: _Replicates) -> _Replicates:
        """Returns the accumulator with all examples added."""
        if not accumulator.waiting:
            return accumulator
        drawn, sums = (np.stack(part) for part in zip(*accumulator.waiting, strict=True))
        return _Replicates(accumulator.sums + np.einsum("er,emk->mrk", drawn, sums, optimize=True))

    def merge_accumulators(self, accumulators: Iterable[_Replicates]) -> _Replicates:
        return _Replicates(sum((self.compact(accumulator).sums for accumulator in accumulators), 0.0))

    def extract_output(self, accumulator: _Replicates) -> Any:
        return self.compact(accumulator).sums


def weights(example: bytes) -> NDArray[np.float64]:
    """Returns float64[replicates]: how often each replicate counts a serialized tf.Example."""
    seed = int.from_bytes(hashlib.blake2b(example, digest_size=8).digest(), "big")
    return np.random.default_rng(seed).poisson(1.0, REPLICATES).astype(np.float64)


def intervals(replicates: Any, evaluation: Evaluation, metric: str) -> Intervals:
    """Returns how sure a metric is, and its difference between the candidate and the baseline."""
    values = [
        np.array([evaluation.results(sums[2:])[metric] for sums in model], float)
        for model in np.asarray(replicates).reshape(-1, REPLICATES, np.shape(replicates)[-1])
    ]
    return Intervals(_interval(values[0]), _interval(values[0] - values[1]) if len(values) > 1 else None)


def _interval(values: NDArray[np.float64]) -> Interval | None:
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    low, high = np.quantile(known, SHARES)
    return float(low), float(high)


def bootstrap_evaluator() -> evaluator.Evaluator:
    """Returns the TFMA evaluator whose output is the replicates' sums."""

    @beam.ptransform_fn
    def replicate(extracts: beam.PCollection) -> evaluator.Evaluation:
        return {_OUTPUT: extracts | "Replicate" >> beam.CombineGlobally(Bootstrap())}

    return evaluator.Evaluator("Bootstrap", SLICE_KEY_EXTRACTOR_STAGE_NAME, replicate())


def bootstrap_writer(path: str, evaluation: Evaluation, metric: str) -> writer.Writer:
    """Returns the TFMA writer that puts the intervals into a JSON file."""

    @beam.ptransform_fn
    def write(found: evaluator.Evaluation) -> beam.PCollection:
        lines = found[_OUTPUT] | "FindIntervals" >> beam.Map(_to_json, evaluation, metric)
        return lines | "WriteIntervals" >> beam.io.WriteToText(path, num_shards=1, shard_name_template="")

    return writer.Writer("WriteBootstrap", write())


def _to_json(replicates: Any, evaluation: Evaluation, metric: str) -> str:
    # A number stands for no examples at all.
    nothing = not np.ndim(replicates)
    return json.dumps(Intervals(None, None) if nothing else intervals(replicates, evaluation, metric))
