"""A small task whose examples are longer than its model's input: is a signal positive on the whole?

Raw data: files of lines such as "1 0.5 -0.25 …", the label and any number of values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.config import Config
from components.features import EXAMPLE_WEIGHT, LABEL, Feature
from components.formats.errors import FormatError
from components.protocols import (
    BadRecord,
    Found,
    Given,
    Question,
    Record,
    Reply,
    Request,
    Section,
    Split,
    StreamingMetric,
)
from components.task import AtLeast, Task
from components.train_config import TrainConfig

SIGNAL, LENGTH = "signal", "length"
WIDTH, STRIDE = 8, 4


class Lines(NamedTuple):
    path: Path

    @property
    def file(self) -> str:
        return self.path.name

    def records(self) -> Iterator[Record | BadRecord]:
        for line in self.path.read_text().splitlines():
            label, *values = line.split()
            yield {LABEL: int(label), SIGNAL: [float(value) for value in values]}


class Signals(Config):
    input_splits: ClassVar[tuple[Split, ...]] = (Split("train", "train.txt"), Split("eval", "eval.txt"))
    evaluation_split: ClassVar[str] = "eval"
    group_key: ClassVar[None] = None
    counted_by: ClassVar[None] = None

    @property
    def features(self) -> dict[str, Feature]:
        return {
            SIGNAL: Feature(dtype="float32", shape=None),
            LABEL: Feature(dtype="int64", minimum=0, maximum=1, categorical=True, served=False),
        }

    def check(self, directory: Path) -> None:
        if not (directory / "train.txt").is_file():
            raise FormatError(f"{directory}: expected train.txt, got none")

    def parts(self, directory: Path, split: Split) -> Sequence[Lines]:
        return [Lines(directory / split.pattern)]

    def check_found(self, file: str, found: Found) -> None:
        pass

    def sample(self, count: int, seed: int) -> list[Record]:
        random = np.random.default_rng(seed)
        return [{SIGNAL: random.normal(size=size).tolist()} for size in random.integers(1, 40, count)]


class Values(Config):
    materialized: ClassVar[bool] = True

    def preprocessing_fn(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        # Batches are padded, so that how long a signal is has to be said.
        length = tf.RaggedTensor.from_sparse(inputs[SIGNAL]).row_lengths()
        return {**inputs, LENGTH: length}

    def requests(self) -> dict[str, Request]:
        spec = tf.TensorSpec((None,), tf.string, name="text")
        return {"spaced": Request({"text": spec}, _to_values, _to_text)}

    def fitted_to(self, model: Any) -> Values:
        return self


def _to_values(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {SIGNAL: tf.strings.to_number(tf.strings.split(inputs["text"])).to_sparse()}


def _to_text(raw: Mapping[str, Any]) -> dict[str, Any]:
    # Every digit of a float32, so that both ways of asking mean the same number.
    values = tf.RaggedTensor.from_sparse(raw[SIGNAL])
    texts = values.with_values(tf.strings.as_string(values.values, precision=12))
    return {"text": tf.strings.reduce_join(texts, axis=1, separator=" ")}


class Overlapping(Config):
    """Windows at 0, 4, 8, … until one reaches the end; the answer is the mean of the outputs."""

    per_call: int = 3
    examples_per_call: int = 5
    drawn_per_example: ClassVar[None] = None

    def fitted_to(self, preprocessing: Any) -> Overlapping:
        return self

    def places(self, features: Mapping[str, Any]) -> Any:
        further = tf.maximum(features[LENGTH] + (STRIDE - 1 - WIDTH), 0) // STRIDE
        starts = tf.ragged.range(1 + further) * STRIDE
        return tf.stack([starts.value_rowids(), starts.values], axis=1)

    def drawn(self, features: Mapping[str, Any], seed: Any) -> Any:
        return self.places(features)

    def take(self, features: Mapping[str, Any], places: Any) -> dict[str, Any]:
        padded = tf.pad(features[SIGNAL], [[0, 0], [0, WIDTH]])
        indices = places[:, 1:] + tf.range(WIDTH, dtype=tf.int64)
        windows = {"window": tf.gather(tf.gather(padded, places[:, 0]), indices, batch_dims=1)}
        if LABEL in features:
            windows[LABEL] = tf.gather(features[LABEL], places[:, 0])
        return windows

    def served(self, taken: Mapping[str, Any]) -> dict[str, Any]:
        return dict(taken)

    def start(self, features: Mapping[str, Any]) -> dict[str, Any]:
        zeros = tf.zeros_like(features[LENGTH], tf.float32)
        return {"sum": zeros, "count": zeros}

    def add(self, state: Mapping[str, Any], places: Any, outputs: Any) -> dict[str, Any]:
        rows = places[:, :1]
        return {
            "sum": tf.tensor_scatter_nd_add(state["sum"], rows, outputs[:, 0]),
            "count": tf.tensor_scatter_nd_add(state["count"], rows, tf.ones_like(outputs[:, 0])),
        }

    def answers(self, state: Mapping[str, Any], features: Mapping[str, Any]) -> dict[str, Any]:
        return {"score": state["sum"] / state["count"]}


class WindowModel(Config):
    """One dense unit on a window of 8 values."""

    pretrained: ClassVar[bool] = False
    loss_terms: ClassVar[tuple[str, ...]] = ("logistic",)

    def build(self) -> keras.Model:
        window = keras.Input((WIDTH,), name="window")
        return keras.Model({"window": window}, keras.layers.Dense(1)(window))

    def check_features(self, features: Mapping[str, Feature]) -> None:
        pass

    def initialize(self, keras_model: Any) -> None:
        pass

    def save_weights(self, keras_model: Any, export_dir: str) -> None:
        pass

    def learning_rate_multipliers(self, keras_model: Any) -> dict[str, float]:
        return {}

    def loss_weights(self, features: Mapping[str, Any]) -> dict[str, Any]:
        return {"logistic": features[EXAMPLE_WEIGHT]}

    def losses(self, features: Mapping[str, Any], outputs: Any) -> dict[str, Any]:
        labels = tf.cast(features[LABEL], tf.float32)
        logistic = tf.nn.sigmoid_cross_entropy_with_logits(labels, tf.cast(outputs[:, 0], tf.float32))
        return {"logistic": logistic}

    def metrics(self) -> dict[str, StreamingMetric]:
        return {}

    def answers(self, outputs: Any, features: Mapping[str, Feature]) -> dict[str, Any]:
        raise NotImplementedError("the windowing answers")


class Sign(Config):
    """The share of signals whose score has the right sign."""

    metrics: tuple[str, ...] = ("right",)
    numbers: tuple[str, ...] = ("right",)

    def fitted_to(self, features: Mapping[str, Feature], model: Any) -> Sign:
        return self

    def sums(self, raw: Mapping[str, Any], answer: Mapping[str, Any]) -> NDArray[Any]:
        return np.array([1.0, self.badness(raw, answer) == 0])

    def results(self, sums: NDArray[Any]) -> dict[str, float]:
        return {"right": sums[1] / sums[0] if sums[0] else np.nan}

    def details(self, sums: NDArray[Any]) -> dict[str, Any]:
        return {"num_right": int(sums[1])}

    def badness(self, raw: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
        score = answer["score"].item()
        return 0.0 if (score > 0) == bool(raw[LABEL]) else abs(score) + 1e-9

    def show(self, raw: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
        return f"<p>{len(raw[SIGNAL])} values: {answer['score'].item():.3f}</p>"

    def sections(self, sums: NDArray[Any]) -> Iterator[Section]:
        yield Section("Signs", f"<p>{escape(str(int(sums[1])))} right</p>")


class AskSignals:
    takes = "values with spaces between them"
    fields = ()
    sample = Given(["0.5 -0.25 1"])

    def fitted_to(self, source: Any, preprocessing: Any) -> AskSignals:
        return self

    def questions(self, given: Given) -> Iterator[Question]:
        texts = np.array([text.encode() for text in given.inputs], object)
        yield Question("spaced", {"text": texts}, given.inputs)

    def replies(self, question: Question, outputs: Mapping[str, Any]) -> Iterator[Reply]:
        for name, score in zip(question.names, outputs["score"], strict=True):
            yield Reply(name, {"score": float(score)}, f"score {score:.3f}", {"score>": f"{score:.3f}"})


SIGNALS = Task(
    name="signals",
    summary="Is a signal positive on the whole?",
    source=Signals(),
    preprocessing=Values(),
    windowing=Overlapping(),
    model=WindowModel(),
    train=TrainConfig(global_batch_size=8, num_epochs=6, learning_rate=0.03, steps_per_loop=10),
    evaluation=Sign(),
    asking=AskSignals(),
    slices=(LABEL,),
    blessing=AtLeast(metric="right", threshold=0.85),
)


def write_signals(folder: Path) -> None:
    """Writes 200 and 60 signals of 1 to 40 values around a mean of 0.5 or -0.5."""
    random = np.random.default_rng(5)
    for split, count in (("train", 200), ("eval", 60)):
        lines = []
        for label in random.integers(0, 2, count):
            values = random.normal(label - 0.5, 0.5, random.integers(1, 41))
            lines.append(" ".join([str(label), *(f"{value:.6f}" for value in values)]))
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
