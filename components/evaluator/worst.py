"""The worst mistakes of a model, found in the same Beam pass that measures it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.evaluators import evaluator
from tensorflow_model_analysis.extractors.slice_key_extractor import SLICE_KEY_EXTRACTOR_STAGE_NAME
from tensorflow_model_analysis.writers import writer

from components.protocols import Preprocessing

COUNT: Final = 20
_OUTPUT: Final = "mistakes"


class Mistake(NamedTuple):
    """An example whose most probable class is wrong; the higher its probability, the worse."""

    probability: float
    actual: int
    predicted: int
    example: bytes  # a serialized tf.Example


def find_mistake(extracts: Mapping[str, Any], label: str, model_name: str) -> Iterator[Mistake]:
    """Yields the mistake in TFMA's extracts of one example, if there is one; NaN is none."""
    predictions = extracts[tfma.constants.PREDICTIONS_KEY]
    probabilities = predictions.get(model_name, predictions)["probabilities"].ravel()
    actual = int(extracts[tfma.constants.FEATURES_KEY][label].item())
    predicted = int(np.argmax(probabilities))
    if predicted != actual and np.isfinite(probabilities).all():
        example = extracts[tfma.constants.INPUT_KEY].item()
        yield Mistake(float(probabilities[predicted]), actual, predicted, example)


def to_raw(example: bytes) -> dict[str, Any]:
    """Returns the raw features of a serialized tf.Example: one value as it is, more as a list."""
    features = tf.train.Example.FromString(example).features.feature
    raw = {}
    for key, feature in features.items():
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value) if kind else []
        raw[key] = values[0] if len(values) == 1 else values
    return raw


def to_json(mistakes: list[Mistake], preprocessing: Preprocessing) -> str:
    """Returns the mistakes, worst first, as a JSON list of actual, predicted, probability and html."""
    return json.dumps(
        [
            {
                "actual": mistake.actual,
                "predicted": mistake.predicted,
                "probability": mistake.probability,
                "html": preprocessing.render(to_raw(mistake.example)),
            }
            for mistake in mistakes
        ]
    )


def mistakes_evaluator(label: str, model_name: str) -> evaluator.Evaluator:
    """Returns the TFMA evaluator whose output is one list of the worst mistakes."""

    @beam.ptransform_fn
    def worst(extracts: beam.PCollection) -> evaluator.Evaluation:
        mistakes = extracts | "FindMistakes" >> beam.FlatMap(find_mistake, label, model_name)
        return {_OUTPUT: mistakes | "KeepWorst" >> beam.combiners.Top.Of(COUNT)}

    return evaluator.Evaluator("FindWorstMistakes", SLICE_KEY_EXTRACTOR_STAGE_NAME, worst())


def mistakes_writer(path: str, preprocessing: Preprocessing) -> writer.Writer:
    """Returns the TFMA writer that puts them into one JSON file."""

    @beam.ptransform_fn
    def write(evaluation: evaluator.Evaluation) -> beam.PCollection:
        lines = evaluation[_OUTPUT] | "RenderMistakes" >> beam.Map(to_json, preprocessing)
        return lines | "Write" >> beam.io.WriteToText(path, num_shards=1, shard_name_template="")

    return writer.Writer("WriteWorstMistakes", write())
